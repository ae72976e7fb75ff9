# SPDX-License-Identifier: MIT
"""DomainKeys' rules, each broken alone in a signature that is right otherwise (RFC 4870)."""

import re

import pytest

from lib.lookup.answer import Answer
from tests.support import judges
from tests.support.verifying import (
    MESSAGE, NAME, Ed25519, domainkeys_signed, examine, golden_rsa, only, rsa_of,
)

WITH_SENDER = MESSAGE.replace(b"Subject:", b"Sender: list-owner@lists.example.com\nSubject:")


def test_the_signer_of_these_tests_is_right():
    for c in ("simple", "nofws"):
        signed = domainkeys_signed(c=c).replace(b"\n", b"\r\n")
        verdict, = judges.mail_dkim(signed, {NAME: golden_rsa().record()})
        assert (verdict.protocol, verdict.result) == ("domainkeys", "pass")


# Tags of a signature that is made with them, and what becomes of it.
TAGS = [
    ({}, "pass", "A"),
    ({"c": "simple"}, "pass", "A"),
    ({"c": "NOFWS"}, "fail", "B"),              # the signer of these tests made it simple
    ({"c": None}, "pass", "A"),                 # as libdomainkeys: simple
    ({"c": "relaxed"}, "neutral", "G"),
    ({"c": "\xe9"}, "neutral", "G"),
    ({"a": None}, "pass", "A"),
    ({"a": "RSA-SHA1"}, "pass", "A"),
    ({"a": "rsa-sha256"}, "neutral", "G"),
    ({"q": None}, "pass", "A"),                 # as libdomainkeys: dns
    ({"q": ""}, "neutral", "G"),
    ({"q": "dns/txt"}, "neutral", "G"),
    ({"b": None}, "neutral", "C"),
    ({"d": None}, "neutral", "C"),
    ({"s": None}, "neutral", "C"),
    ({"d": "EXAMPLE.com"}, "pass", "A"),
    ({"d": "example.net"}, "neutral", "G"),
    ({"d": "ample.com"}, "neutral", "G"),
    ({"d": "sub.example.com"}, "neutral", "G"),
    ({"d": ".example.com"}, "neutral", "G"),
    ({"d": "example.com."}, "neutral", "G"),
    ({"s": "other"}, "permerror", "D"),
    ({"s": "a b"}, "neutral", "G"),
    ({"h": "received:from:to:subject"}, "pass", "A"),
    ({"h": "FROM : to"}, "pass", "A"),
    ({"h": "from:missing:from"}, "pass", "A"),
    ({"h": "to:subject"}, "neutral", "G"),
    ({"h": ""}, "neutral", "G"),
    ({"i": "x@y.example"}, "pass", "A"),        # an unknown tag
    ({"x": "1; d=example.com"}, "neutral", "G"),    # twice
    ({"x": "A" * 16384}, "neutral", "G"),
]


@pytest.mark.parametrize("value, status", [
    ("AAA", "fail"), ("A", "fail"), ("QUF=", "fail"), ("Q=Q=", "neutral"), ("=", "neutral"),
    ("", "neutral"), ("QU\xe9=", "neutral")])
def test_other_signatures(value, status):
    """As libdomainkeys: what may be base64 is held against the key, where there is one."""
    text = re.sub(rb"b=\S+\n", b"b=" + value.encode("latin-1") + b"\n", domainkeys_signed())
    assert only(text).status == status
    if status == "fail":
        assert only(text, Answer("temporary", reason="timeout")).status == "temperror"


@pytest.mark.parametrize("tags, status, letter", TAGS,
                         ids=lambda value: str(getattr(value, "reason", value))[:40])
def test_tags(tags, status, letter):
    result = only(domainkeys_signed(**tags))
    assert (result.status, result.letter, bool(result.reason)) == (status, letter, letter != "A")


P = golden_rsa().record("")
RECORDS = [
    (P, "pass", "A"),
    ("k=rsa; t=y; n=note; " + P, "pass", "A"),
    ("k=dsa; " + P, "permerror", "E"),
    ("g=; " + P, "pass", "A"),
    ("g=*; " + P, "pass", "A"),
    ("g=alice; " + P, "pass", "A"),
    ("g=al*ce; " + P, "pass", "A"),
    ("g=alice*; " + P, "pass", "A"),
    ("g=ali*lice; " + P, "permerror", "E"),     # its two ends overlap
    ("g=bob; " + P, "permerror", "E"),
    ("g=ali; " + P, "permerror", "E"),
    ("g=a*x; " + P, "permerror", "E"),
    # a DKIM record is as good, but for one without SHA-1
    ("v=DKIM1; k=rsa; s=email; t=s; " + P, "pass", "A"),
    ("k=rsa; v=DKIM1; " + P, "pass", "A"),
    ("h=sha1:sha256; " + P, "pass", "A"),
    ("h=sha256; " + P, "permerror", "E"),
    ("p=", "permerror", "J"),
    ("k=rsa", "permerror", "E"),
    ("p=AAAA", "permerror", "E"),
    (Ed25519().record(), "permerror", "E"),
    (["junk", "p=", P], "pass", "A"),
    (Answer("none", reason="NXDOMAIN"), "permerror", "D"),
    (Answer("temporary", reason="timeout"), "temperror", "F"),
]


@pytest.mark.parametrize("record, status, letter", RECORDS,
                         ids=lambda value: str(getattr(value, "reason", value))[:40])
def test_key_records(record, status, letter):
    result = only(domainkeys_signed(), record)
    assert (result.status, result.letter) == (status, letter)


def test_the_flag_s_does_not_matter_below_the_domain():
    """RFC 4870 section 3.2.3 has no t=s; Mail::DKIM applies DKIM's (doc/interoperability)."""
    signed = domainkeys_signed(WITH_SENDER, d="example.com")
    assert only(signed, "t=s; " + P).status == "pass"


def test_size_of_the_key():
    signed = domainkeys_signed(key=rsa_of(512))
    assert (only(signed, rsa_of(512).record()).status, only(signed, rsa_of(512).record()).letter
            ) == ("policy", "E")
    assert only(signed, rsa_of(512).record(), least_rsa_bits=512).status == "pass"


# Messages that are signed as they are: who sends them, and above the signature what.
SENDERS = [
    (WITH_SENDER, b"", {"d": "lists.example.com"}, "pass"),
    (WITH_SENDER, b"", {"d": "example.com"}, "pass"),
    (WITH_SENDER.replace(b"lists.", b"lists.not"), b"", {}, "neutral"),
    (WITH_SENDER, b"", {"h": "from:to"}, "neutral"),
    (WITH_SENDER, b"", {"h": "from:sender"}, "pass"),
    (WITH_SENDER.replace(b"list-owner@lists.example.com", b"evil doer"), b"", {}, "neutral"),
    (MESSAGE, b"Sender: list@lists.example.net\n", {}, "pass"),     # added on the way
    (WITH_SENDER, b"Sender: list@lists.example.net\n", {}, "neutral"),
    (MESSAGE, b"From: mallory@example.net\n", {}, "neutral"),
    (MESSAGE.replace(b"To:", b"From: bob@example.com\nTo:"), b"", {}, "neutral"),
    (MESSAGE.replace(b"From:", b"Fron:"), b"From: alice@example.com\n", {}, "permerror"),
    (MESSAGE.replace(b"From:", b"Fron:"), b"", {}, "permerror"),
    (MESSAGE.replace(b"<alice@example.com>", b"<alice@example.com>, bob@example.net"), b"", {},
     "pass"),                                                       # the first counts
    (MESSAGE.replace(b"Alice <alice@", b"bob@example.net, alice@"), b"", {}, "neutral"),
    (MESSAGE.replace(b"alice@example.com", b"team: alice@example.com;"), b"", {}, "neutral"),
    (MESSAGE.replace(b"alice@", b"a" * 17000 + b"@"), b"", {}, "neutral"),
    (MESSAGE.replace(b"example.com", "exämple.com".encode()), b"", {"d": "xn--exmple-cua.com"},
     "pass"),
    (MESSAGE.replace(b"example.com", "exämple.com".encode()), b"", {}, "neutral"),
    (MESSAGE.replace(b"example.com", b"ex\xe4mple.com"), b"", {}, "neutral"),
    (MESSAGE.replace(b"alice@", b"alice@a!b."), b"", {}, "pass"),   # no host has such a name
]


@pytest.mark.parametrize("number", range(len(SENDERS)))
def test_sending_address(number):
    text, above, tags, status = SENDERS[number]
    name = f"sel._domainkey.{tags.get('d', 'example.com')}"
    result, = examine(domainkeys_signed(text, above=above, **tags), {name: P}).results
    assert result.status == status, result.reason


def test_no_from_is_no_signature():
    assert only(domainkeys_signed(MESSAGE.replace(b"From:", b"Fron:"))).letter == "C"


@pytest.mark.parametrize("g, status", [("list-owner", "pass"), ("alice", "permerror")])
def test_g_is_held_against_sender(g, status):
    assert only(domainkeys_signed(WITH_SENDER), f"g={g}; {P}").status == status


# What is done to the message -> whether it passes as (simple, nofws).
CHANGES = [
    (lambda text: text, True, True),
    (lambda text: b"Received: more\n" + text, True, True),
    (lambda text: text.replace(b"To: bob", b"To:bob"), False, True),
    (lambda text: text.replace(b"subject \n", b"sub\n\tject\n"), False, True),
    (lambda text: text.replace(b"One line", b"One  line\r"), False, True),
    (lambda text: text + b"\n\n", True, True),
    (lambda text: text + b" \n", False, True),
    (lambda text: text.replace(b"To:", b"to:"), False, False),
    (lambda text: text.replace(b"line", b"lime"), False, False),
    (lambda text: text.replace(b"To: bob@example.net\n", b""), False, False),
    (lambda text: text.replace(b"\nTo:", b"\nX-New: field\nTo:"), False, False),
    (lambda text: text + b"more", False, False),
]


@pytest.mark.parametrize("number", range(len(CHANGES)))
@pytest.mark.parametrize("c", ["simple", "nofws"])
def test_changes_to_the_message(c, number):
    change, simple, nofws = CHANGES[number]
    result = only(change(domainkeys_signed(c=c)))
    assert (result.status == "pass") == (simple if c == "simple" else nofws), result.reason


@pytest.mark.parametrize("c", ["simple", "nofws"])
@pytest.mark.parametrize("body", [None, b"", b"\n", b"\n\n\n", b" \n", b" \t\n\n x\n", b"x"])
def test_odd_bodies(c, body):
    text = MESSAGE.partition(b"\n\n")[0] + b"\n" + (b"" if body is None else b"\n" + body)
    assert only(domainkeys_signed(text, c=c)).status == "pass"


@pytest.mark.parametrize("c", ["simple", "nofws"])
def test_h_takes_every_field_of_a_name_in_the_order_of_the_message(c):
    text = b"To: x@example.net\n" + MESSAGE
    assert only(domainkeys_signed(text, c=c, h="from:to")).status == "pass"


# Fields as they were signed, in the order of h=, and as they arrive.
FROM, TO, CC = b"From: alice@example.com\n", b"To: x@example.net\n", b"Cc: y@example.net\n"
ANOTHER_TO = TO.replace(b"x@", b"z@")
REORDERED = [
    ("to:from:cc", TO + FROM + CC, CC + FROM + TO),
    ("to:from:to", TO + FROM + ANOTHER_TO, FROM + TO + ANOTHER_TO),
    ("to:cc:from", TO + ANOTHER_TO + CC + FROM, FROM + TO + CC + ANOTHER_TO),
    ("to:from:cc:to", TO + ANOTHER_TO + FROM + CC + TO, TO + FROM + ANOTHER_TO + TO + CC),
    ("to:from:to", TO + ANOTHER_TO + FROM + TO, TO + FROM + ANOTHER_TO + TO),
    ("to:from:missing", TO + FROM, FROM + TO),
]


@pytest.mark.parametrize("c", ["simple", "nofws"])
@pytest.mark.parametrize("h, signed, arrived", REORDERED)
def test_h_gives_the_order_too(c, h, signed, arrived):
    text = domainkeys_signed(signed + b"\nbody\n", c=c, h=h)
    text = text.replace(signed, arrived)
    verdict, = judges.mail_dkim(text.replace(b"\n", b"\r\n"), {NAME: golden_rsa().record()})
    assert verdict.result == only(text).status == "pass"
    assert only(text.replace(b"body", b"bode")).letter == "B"


def test_no_other_order():
    text = domainkeys_signed(TO + FROM + CC + b"\nbody\n", h="to:from:cc")
    assert only(text).status == "pass"
    for arrived in (FROM + TO + CC, CC + TO + FROM):
        assert only(text.replace(TO + FROM + CC, arrived)).status == "pass"
        other = text.replace(b"h=to:from:cc", b"h=from:cc:to").replace(TO + FROM + CC, arrived)
        assert only(other).letter == "B"


@pytest.mark.parametrize("c", ["simple", "nofws"])
@pytest.mark.parametrize("line", [b"no field\n", b"X : y\n", b"X: y\rz\n"])
def test_a_line_that_readers_dispute_does_not_pass(c, line):
    """Nor where it is covered: nofws covers neither a CR nor a blank."""
    text = domainkeys_signed(MESSAGE.replace(b"To:", line + b"To:"), c=c)
    assert only(text).status == "policy"
    assert only(text.replace(line, b"V" + line)).status == "fail"
    assert only(line + domainkeys_signed(c=c)).status == "policy"


def test_all_that_is_shown_of_a_signature():
    result = only(domainkeys_signed())
    assert (result.protocol, result.domain, result.selector) == (
        "domainkeys", "example.com", "sel")
    assert (result.sender_field, result.sender_domain) == ("from", "example.com")
    result = only(domainkeys_signed(WITH_SENDER, d="lists.example.com"))
    assert (result.sender_field, result.sender_domain) == ("sender", "lists.example.com")
