# SPDX-License-Identifier: MIT
"""Golden signatures: fixed keys, fixed clock, the exact bytes that are handed on.

golden/*.msg are messages as they lie in the queue, golden/*.signed what is
handed on for them; golden/keys are test keys that sign nothing else.  The golden
files don't vouch for themselves: the verifiers pass each of their signatures.
After a wanted change of form:

    python tests/test_golden.py         (writes *.signed anew; read the diff)
"""

import os
import sys
import tempfile

import pytest

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import judges
import signing

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden")

# name of .signed: (name of .msg, settings, the signatures that stand in it)
CASES = {
    "plain": ("plain", {}, "dkim domainkeys"),
    "two-keys": ("plain", {}, "dkim dkim domainkeys"),
    "simple": ("plain", {"DKIMCANON": "simple/simple"}, "dkim domainkeys"),
    "relaxed-simple": ("plain", {"DKIMCANON": "relaxed/simple"}, "dkim domainkeys"),
    "simple-relaxed": ("plain", {"DKIMCANON": "simple/relaxed"}, "dkim domainkeys"),
    "headers": ("plain", {"DKIMHEADERS": "X-Mailer -Message-ID"}, "dkim domainkeys"),
    "dkim-only": ("plain", {"DKPROTOCOLS": "dkim"}, "dkim"),
    "domainkeys-only": ("plain", {"DKPROTOCOLS": "domainkeys"}, "domainkeys"),
    "expire-identity": ("subdomain", {"DKIMEXPIRE": "900000000", "DKIMIDENTITY": "@news.%"},
                        "dkim domainkeys"),
    "list": ("list", {}, "dkim domainkeys"),
    "carriage-returns": ("carriage-returns", {}, "dkim domainkeys"),
}


def content(name):
    with open(os.path.join(GOLDEN, name), "rb") as file:
        return file.read()


def sign(name, directory):
    """-> (what is handed on, DNS records)."""
    keys = signing.EXAMPLE_BOTH if name == "two-keys" else signing.EXAMPLE
    message, settings, _ = CASES[name]
    signer = signing.Signer(directory, keys, **settings)
    return signer.sign(content(message + ".msg")), signer.records


@pytest.mark.parametrize("name", CASES)
def test_golden(name, tmp_path):
    signed, _ = sign(name, tmp_path)
    assert signed == content(name + ".signed")


@pytest.mark.parametrize("name", CASES)
def test_verifiers_accept_golden(name, tmp_path):
    _, records = sign(name, tmp_path)
    message = content(name + ".signed").replace(b"\n", b"\r\n")
    for judge, verdicts in judges.verdicts(message, records).items():
        protocols = CASES[name][2].split()
        if judge != "mail_dkim":
            protocols = [protocol for protocol in protocols if protocol == "dkim"]
        assert [verdict.protocol for verdict in verdicts] == protocols, judge
        assert all(verdict.result in ("pass", "unsupported") for verdict in verdicts), verdicts


def write():
    for name in CASES:
        with tempfile.TemporaryDirectory() as directory:
            signed, _ = sign(name, directory)
        with open(os.path.join(GOLDEN, name + ".signed"), "wb") as file:
            file.write(signed)


if __name__ == "__main__":
    write()
