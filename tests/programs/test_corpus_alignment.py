# SPDX-License-Identifier: MIT
"""DMARC of the third-party corpus: which of its signatures are aligned with From:.

Python's email reads From:, and the Public Suffix List finds organizations, as receivers
did before RFC 9989.  A record at the organizational domain makes the tree walk find the
same, since the list has no psd=.
"""

import email
import email.utils
import os

import pytest

from lib.crypto import RSA_LEAST
from lib.lookup.answer import Answer
from lib.mail import message
from lib.verifying import examination
from lib.verifying.client import Client
from lib.verifying.report import Terms
from tests.support.corpus import CORPUS, NOW, entries, lookup_in
from tests.support.public_suffixes import organizational_domain, suffixes

STRANGER = Client(bytes((192, 0, 2, 1)), b"", b"x@sender.invalid")


def text_of(entry):
    with open(os.path.join(CORPUS, entry["file"]), "rb") as file:
        text = file.read()
    return text.replace(b"\r\n", b"\n") if entry["eol"] == "crlf" else text


def author_domains(text):
    """The domains in the From: fields, by Python's email; set of str."""
    values = email.message_from_bytes(text).get_all("From", [])
    return {address.rpartition("@")[2].lower()
            for _, address in email.utils.getaddresses(map(str, values))}


@pytest.mark.skipif(not entries(), reason="needs the corpus beside the checkout")
@pytest.mark.parametrize("alignment", ["r", "s"])
def test_alignment(alignment):
    """Of all messages that have one author, and a signature that passes or none."""
    rules = suffixes()
    seen = []
    for entry in entries():
        text = text_of(entry)
        authors = author_domains(text)
        keys = lookup_in(entry["dns"])
        if len(authors) != 1 or not all(name.isascii() and "." in name for name in authors):
            continue
        (author,) = authors
        organization = organizational_domain(author, rules)

        def find(name, kind="TXT"):
            if name == b"_dmarc." + organization.encode():
                return Answer("found", [f"v=DMARC1; p=reject; adkim={alignment}".encode()])
            return Answer("none", reason="NXDOMAIN") if b"_dmarc." in name else keys(name, kind)
        header, body = message.split([text])
        found = examination.examine(header, body, Terms(RSA_LEAST, dmarc=True, client=STRANGER),
                                    find, NOW)
        statuses = {result.status for result in found.results if result.protocol == "dkim"}
        if "temperror" in statuses or found.policies.dmarc.status == "none":
            continue        # not decided now, or an author on whom readers don't agree
        passing = [result.domain for result in found.results
                   if (result.protocol, result.status) == ("dkim", "pass")]
        is_aligned = any(domain == author or alignment == "r"
                         and organizational_domain(domain, rules) == organization
                         for domain in passing)
        assert found.policies.dmarc.status == ("pass" if is_aligned else "fail"), entry["id"]
        seen.append(is_aligned)
    assert seen.count(True) > 10 and seen.count(False) > 10
