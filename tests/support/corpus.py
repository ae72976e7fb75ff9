# SPDX-License-Identifier: MIT
"""The third-party corpus of signed messages, and the results that its manifest expects.

It is beside the checkout, or in the directory named by the variable CORPUS.
"""

import json
import os

from lib.lookup.answer import Answer

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CORPUS = os.environ.get("CORPUS", os.path.join(HERE, "..", "..", "shared", "corpus"))
NOW = 1763000000    # seconds since 1970: after the last of the messages

# The manifest's words in those of RFC 8601 section 2.7.
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
    """Returns a lookup function on the dns.json files of a message; later files win."""
    records = {}
    for name in files:
        with open(os.path.join(CORPUS, name), encoding="utf-8") as file:
            records.update(json.load(file))
    records = {name.lower().rstrip("."): record for name, record in records.items()}

    def lookup(name, kind="TXT"):
        record = records.get(name.decode("ascii"))
        if record is None:
            return Answer("none", reason="NXDOMAIN")
        if isinstance(record, dict):
            if record.get("rcode") == "NXDOMAIN":
                return Answer("none", reason="NXDOMAIN")
            return Answer("temporary", reason=record.get("rcode", "timeout"))
        return Answer("found", [text.encode("latin-1") for text in record])
    return lookup


def expected(signature):
    """Returns the RFC 8601 statuses that are right for a signature, a set of str.

    signature: of the manifest
    """
    statuses = set()
    for word in [signature["strict_rfc8301"]] + signature["also"]:
        statuses |= ALLOWED[word]
    # Valid by RFC 6376 or RFC 4870: only a policy of ours may say otherwise.
    if signature["expect"] == "pass":
        statuses &= {"pass", "policy"}
    return statuses


def zone(entry):
    records = {}
    for name in entry["dns"]:
        with open(os.path.join(CORPUS, name), encoding="utf-8") as file:
            records.update(json.load(file))
    return records


def as_stored(entry):
    """Returns the message (bytes) as qmail-smtpd passes it to the queue program."""
    with open(os.path.join(CORPUS, entry["file"]), "rb") as file:
        text = file.read()
    return text.replace(b"\r\n", b"\n") if entry["eol"] == "crlf" else text
