# SPDX-License-Identifier: MIT
"""Signs the messages of tests/golden.

After an intended change of form:

    python -m tests.support.golden          (writes *.signed anew; read the diff)
"""

import os
import tempfile

from tests.support import signing

GOLDEN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "golden")

# name of .signed: (name of .msg, settings, the signatures in it)
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
    """Returns (the message that is passed on, DNS records)."""
    keys = signing.EXAMPLE_BOTH if name == "two-keys" else signing.EXAMPLE
    message, settings, _ = CASES[name]
    signer = signing.Signer(directory, keys, **settings)
    return signer.sign(content(message + ".msg")), signer.records


def write():
    for name in CASES:
        with tempfile.TemporaryDirectory() as directory:
            signed, _ = sign(name, directory)
        with open(os.path.join(GOLDEN, name + ".signed"), "wb") as file:
            file.write(signed)


if __name__ == "__main__":
    write()
