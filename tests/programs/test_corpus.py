# SPDX-License-Identifier: MIT
"""Every message of the third-party corpus gives the result that its manifest expects.

The corpus lies beside the checkout, or where CORPUS says.  What we are held to
is `strict_rfc8301`, for DKIM's rsa-sha1 and RSA keys under 1024 bits do not
pass here, and what `also` allows beside it (nopass for l= and for a DomainKeys
key under 1024 bits).  Where the RFCs alone say pass, the signature must be
found right, so that the only way not to pass is `policy`.
"""

import os

import pytest

from lib.crypto import RSA_LEAST
from lib.mail import message
from lib.verifying import examination
from lib.verifying.report import Terms
from tests.support.corpus import CORPUS, NOW, entries, expected, lookup_in


def examined(entry):
    with open(os.path.join(CORPUS, entry["file"]), "rb") as file:
        text = file.read()
    if entry["eol"] == "crlf":      # as qmail-smtpd stores it
        text = text.replace(b"\r\n", b"\n")
    header, body = message.split([text])
    return examination.examine(header, body, Terms(RSA_LEAST), lookup_in(entry["dns"]), NOW)


@pytest.mark.skipif(not entries(), reason="needs the corpus beside the checkout")
def test_the_corpus_is_there():
    assert len(entries()) > 100


@pytest.mark.parametrize("entry", [pytest.param(entry, id=entry["id"]) for entry in entries()])
def test_result(entry):
    results = examined(entry).results
    assert [result.protocol for result in results] == [
        signature["type"] for signature in entry["signatures"]]
    for result, signature in zip(results, entry["signatures"]):
        assert result.status in expected(signature), (signature, result.reason)
        if result.status == "pass":
            assert (result.domain, result.selector) == (
                signature["d"].lower(), signature["s"].lower())
