# SPDX-License-Identifier: MIT
"""SPF and DMARC beside the signatures of a message: which results they give together."""

import pytest

from lib.lookup.answer import Answer
from lib.verifying import examination, sender_policies
from lib.crypto import RSA_LEAST
from lib.mail import message
from lib.verifying.client import Client
from lib.verifying.report import Terms
from tests.support.verifying import (
    MESSAGE, NAME, dkim_signed, domainkeys_signed, examine, golden_rsa,
)

KEY = golden_rsa().record()
DEAD = Answer("temporary", reason="timeout")
RECORDS = {NAME: KEY, "_dmarc.example.com": "v=DMARC1; p=reject",
           "example.com": "v=spf1 ip4:192.0.2.0/24 -all",
           "other.example": "v=spf1 ip4:198.51.100.0/24 -all",
           "sel._domainkey.other.example": KEY}
OURS, STRANGER = bytes((192, 0, 2, 7)), bytes((198, 51, 100, 7))
SIGNED = dkim_signed()
BROKEN = SIGNED + b"x\n"
HIDING = b"X-Note: x\rFrom: chief@other.example\n"


def client(address, sender=b"a@example.com", helo=b"mail.example.com"):
    return Client(address, helo, sender)


# message, client, changes in the DNS -> (spf, dmarc, the policy to reject applies)
CASES = {
    "signed and sent by its host": (SIGNED, client(OURS), {}, ("pass", "pass", False)),
    "signed, forwarded": (SIGNED, client(STRANGER), {}, ("fail", "pass", False)),
    "signed, forwarded by SRS": (
        SIGNED, client(STRANGER, b"srs0=x@other.example"), {}, ("pass", "pass", False)),
    "broken, sent by its host": (BROKEN, client(OURS), {}, ("pass", "pass", False)),
    "broken by a list": (
        BROKEN, client(STRANGER, b"list@other.example"), {}, ("pass", "fail", True)),
    "forged": (MESSAGE, client(STRANGER), {}, ("fail", "fail", True)),
    "another's signature": (dkim_signed(d="other.example"), client(STRANGER), {},
                            ("fail", "fail", True)),
    "DomainKeys alone": (domainkeys_signed(), client(STRANGER), {}, ("fail", "fail", True)),
    "a bounce of its host": (MESSAGE, client(OURS, b"", b"example.com"), {},
                             ("pass", "pass", False)),
    "a bounce of a stranger": (MESSAGE, client(STRANGER, b"", b"other.example"), {},
                               ("pass", "fail", True)),
    "no DMARC record": (MESSAGE, client(STRANGER), {"_dmarc.example.com": None},
                        ("fail", "none", False)),
    "quarantine": (MESSAGE, client(STRANGER), {"_dmarc.example.com": "v=DMARC1; p=quarantine"},
                   ("fail", "fail", False)),
    "reject, in test mode": (MESSAGE, client(STRANGER),
                             {"_dmarc.example.com": "v=DMARC1; p=reject; t=y"},
                             ("fail", "fail", False)),
    "two authors of one domain": (
        MESSAGE.replace(b"From: ", b"From: x@example.com, "), client(STRANGER), {},
        ("fail", "fail", True)),
    "two authors": (MESSAGE.replace(b"From: ", b"From: x@example.org, "), client(STRANGER), {},
                    ("fail", "none", False)),
    "two From fields": (b"From: x@example.com\n" + MESSAGE, client(STRANGER), {},
                        ("fail", "none", False)),
    # a header in which some readers find another author: no pass, but a failure stays one
    "an author behind a CR, sent by its host": (
        HIDING + MESSAGE, client(OURS), {}, ("pass", "none", False)),
    "an author behind a CR, forged": (
        HIDING + MESSAGE, client(STRANGER), {}, ("fail", "fail", True)),
    "an author behind a line that is no field": (
        b"no field\n" + MESSAGE, client(OURS), {}, ("pass", "none", False)),
    "a mailbox's first line": (
        b"From a@example.com Thu Jan  1 00:00:00 1970\n" + MESSAGE, client(OURS), {},
        ("pass", "pass", False)),
    "nothing known of the client": (MESSAGE, None, {}, (None, "permerror", False)),
    "signed, nothing known of the client": (SIGNED, None, {}, (None, "pass", False)),
    # what can't be known now refuses nothing for good
    "SPF dead": (MESSAGE, client(STRANGER), {"example.com": DEAD},
                 ("temperror", "temperror", False)),
    "SPF dead, but signed": (SIGNED, client(STRANGER), {"example.com": DEAD},
                             ("temperror", "pass", False)),
    "SPF of another domain dead": (MESSAGE, client(STRANGER, b"a@other.example"),
                                   {"other.example": DEAD}, ("temperror", "fail", True)),
    "key dead": (SIGNED, client(STRANGER), {NAME: DEAD}, ("fail", "temperror", False)),
    "key dead, but sent by its host": (SIGNED, client(OURS), {NAME: DEAD}, ("pass", "pass", False)),
    "another's key dead": (dkim_signed(d="other.example"), client(STRANGER),
                           {"sel._domainkey.other.example": DEAD}, ("fail", "fail", True)),
    "DMARC dead": (MESSAGE, client(OURS), {"_dmarc.example.com": DEAD},
                   ("pass", "temperror", False)),
}


@pytest.mark.parametrize("name", CASES)
def test_together(name):
    text, known, changes, expected = CASES[name]
    records = {name: value for name, value in {**RECORDS, **changes}.items() if value is not None}
    found = examine(text, records, dmarc=True, client=known).policies
    assert (found.spf and found.spf.status, found.dmarc.status,
            bool(sender_policies.rejecting(found))) == expected


def test_not_asked_for():
    assert examine(SIGNED, RECORDS, client=client(OURS)).policies is None


def test_one_question_for_each_name_and_type():
    """Of all of DKIM, SPF and DMARC."""
    asked = []

    def find(name, kind="TXT"):
        asked.append((name, kind))
        value = RECORDS.get(name.decode())
        return (Answer("found", [value.encode()]) if value and kind == "TXT"
                else Answer("none", reason="NXDOMAIN"))
    header, body = message.split([dkim_signed(domainkeys_signed())])
    terms = Terms(RSA_LEAST, True, b"mx.example.net", True, client(STRANGER))
    found = examination.examine(header, body, terms, find, 1_000_000_000)
    assert found.policies.dmarc.status == "pass"
    assert len(asked) == len(set(asked)) == 3
