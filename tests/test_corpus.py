# SPDX-License-Identifier: MIT
"""Every message of the third-party corpus gives the result that its manifest expects.

The corpus lies beside the checkout, or where CORPUS says.  What we are held to
is `strict_rfc8301`, for DKIM's rsa-sha1 and RSA keys under 1024 bits do not
pass here, and what `also` allows beside it (nopass for l= and for a DomainKeys
key under 1024 bits).  Where the RFCs alone say pass, the signature must be
found right, so that the only way not to pass is `policy`.
"""

import json
import os

import pytest

from lib import inbound, message
from lib.results import TxtAnswer

HERE = os.path.dirname(os.path.abspath(__file__))
CORPUS = os.environ.get("CORPUS", os.path.join(HERE, "..", "..", "shared", "corpus"))
NOW = 1763000000    # seconds since 1970: after the last of the messages

# What the manifest's words are in RFC 8601's.
ALLOWED = {
    "pass": {"pass"},
    "nopass": {"fail", "policy", "neutral", "permerror"},
    "temperror": {"temperror"},
}


def entries():
    path = os.path.join(CORPUS, "manifest.json")
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def lookup_in(files):
    """A lookup function on the dns.json files of a message, later ones first."""
    records = {}
    for name in files:
        with open(os.path.join(CORPUS, name), encoding="utf-8") as file:
            records.update(json.load(file))
    records = {name.lower().rstrip("."): record for name, record in records.items()}

    def lookup(name):
        record = records.get(name.decode("ascii"))
        if record is None:
            return TxtAnswer("none", reason="NXDOMAIN")
        if isinstance(record, dict):
            if record.get("rcode") == "NXDOMAIN":
                return TxtAnswer("none", reason="NXDOMAIN")
            return TxtAnswer("temporary", reason=record.get("rcode", "timeout"))
        return TxtAnswer("found", [text.encode("latin-1") for text in record])
    return lookup


def expected(signature):
    """The RFC 8601 statuses that are right for a signature of the manifest."""
    statuses = set()
    for word in [signature["strict_rfc8301"]] + signature["also"]:
        statuses |= ALLOWED[word]
    # Right by RFC 6376 or RFC 4870 without any policy: then it is ours, and only that.
    if signature["expect"] == "pass":
        statuses &= {"pass", "policy"}
    return statuses


def examined(entry):
    with open(os.path.join(CORPUS, entry["file"]), "rb") as file:
        text = file.read()
    if entry["eol"] == "crlf":      # as qmail-smtpd stores it
        text = text.replace(b"\r\n", b"\n")
    header, body = message.split([text])
    return inbound.examine(header, body, inbound.Limits(), lookup_in(entry["dns"]), NOW)


@pytest.mark.skipif(not entries(), reason="needs the corpus beside the checkout")
def test_the_corpus_is_there():
    assert len(entries()) > 100


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry["id"])
def test_result(entry):
    results = examined(entry).results
    assert [result.protocol for result in results] == [
        signature["type"] for signature in entry["signatures"]]
    for result, signature in zip(results, entry["signatures"]):
        assert result.status in expected(signature), (signature, result.reason)
        if result.status == "pass":
            assert (result.domain, result.selector) == (
                signature["d"].lower(), signature["s"].lower())
