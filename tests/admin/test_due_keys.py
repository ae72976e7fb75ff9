# SPDX-License-Identifier: MIT
"""What the DNS says of a key, as qmail-dk rotate --due takes it."""

import types

import pytest

from lib import crypto
from lib.admin import due_keys
from lib.admin.published import Said
from lib.lookup.answer import Answer
from lib.signing.key_files import SigningKey
from tests.support import signing

KEY = crypto.load_private_key(signing.key("rsa.pem"))
RECORD = signing.record(signing.key("rsa.pem")).encode()


def said(*answers, instead=""):
    return types.SimpleNamespace(ask=lambda name: Said(
        [(f"ns{number}", answer) for number, answer in enumerate(answers)], instead))


RIGHT, GONE, DEAD = Answer("found", [RECORD]), Answer("none", [], "NXDOMAIN"), Answer(
    "temporary", [], "timeout")
SPACED = Answer("found", [RECORD.replace(b"MII", b"M I\tI")])
REVOKED, ANY = Answer("found", [b"k=rsa; p="]), Answer("found", [b"any"])

# Answers of the name servers -> (whether the record is published, whether the key may sign).
ANSWERS = {
    "all": ([RIGHT, RIGHT], True, True), "another form": ([SPACED], True, True),
    "one": ([RIGHT, GONE], True, False), "one is dead": ([RIGHT, DEAD], True, False),
    "none": ([GONE, GONE], False, False), "none, one is dead": ([GONE, DEAD], False, False),
    "all are dead": ([DEAD, DEAD], None, False), "revoked": ([REVOKED], False, False),
    "a wildcard": ([ANY], False, False),
    "both": ([Answer("found", [RECORD, b"v=DKIM1; p=MIIB"])], True, False),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers(name):
    answers, is_published, may_sign = ANSWERS[name]
    key = SigningKey(b"example.com", b"s1", b"/s1", False, KEY)
    assert due_keys.is_published(due_keys.record_of(key), said(*answers)) is is_published
    assert (not due_keys.faults(key, said(*answers))) is may_sign
    assert due_keys.faults(key, said(*answers, instead="no NS records"))
