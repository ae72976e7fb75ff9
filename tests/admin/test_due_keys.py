# SPDX-License-Identifier: MIT
"""The age of a key, and what the DNS says of it, as qmail-dk rotate --due takes them."""

import os
import time
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
NOW = time.mktime((2026, 6, 1, 12, 0, 0, 0, 0, -1))
MODIFIED = NOW - 86400 * 3

# Selector -> the day that counts, None for that of the file.
DATES = {
    "s20260101": (2026, 1, 1), "s20260101b": (2026, 1, 1), "ed20251231z": (2025, 12, 31),
    "20260101": (2026, 1, 1), "key-20260101": (2026, 1, 1), "s20260601": (2026, 6, 1),
    "default": None, "s2026a": None, "s20261301": None, "s20260230": None, "s12345678": None,
    "s20260602": None, "s99991231": None, "s202601011": None, "s20260101.x": None, "s1": None,
}


@pytest.mark.parametrize("selector", DATES)
def test_when_a_key_was_made(tmp_path, monkeypatch, selector):
    path = tmp_path / selector
    path.touch()
    os.utime(path, (MODIFIED, MODIFIED))
    monkeypatch.setattr(time, "time", lambda: NOW)
    key = SigningKey(b"example.com", selector.encode(), os.fsencode(path), False, None)
    expected = (MODIFIED if DATES[selector] is None
                else time.mktime((*DATES[selector], 0, 0, 0, 0, 0, -1)))
    assert due_keys.made(key) == expected


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
