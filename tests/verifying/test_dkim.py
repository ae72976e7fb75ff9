# SPDX-License-Identifier: MIT
"""DKIM's rules, each broken alone in a signature that is right otherwise (RFC 6376 section 6.1)."""

import pytest

from lib.crypto import RSA_LEAST
from lib.lookup.answer import Answer
from lib.mail import message
from lib.verifying import examination
from lib.verifying.report import Terms
from tests.support import judges
from tests.support.signature_cases import P, RECORDS, TAGS
from tests.support.verifying import (
    MESSAGE, NAME, NOW, Ed25519, RsaNumbers, dkim_signed, examine, golden_rsa, only, rsa_of,
)


def test_the_signer_of_these_tests_is_right():
    record = golden_rsa().record()
    for canonicalization in ("relaxed", "simple"):
        signed = dkim_signed(c=f"{canonicalization}/{canonicalization}")
        verdicts = judges.verdicts(signed.replace(b"\n", b"\r\n"), {NAME: record})
        assert {verdict.result for found in verdicts.values() for verdict in found} == {"pass"}


@pytest.mark.parametrize("tags, status, letter", TAGS,
                         ids=lambda value: str(getattr(value, "reason", value))[:40])
def test_tags(tags, status, letter):
    result = only(dkim_signed(**tags))
    assert (result.status, result.letter, bool(result.reason)) == (status, letter, letter != "A")


def test_what_the_dns_says_comes_before_what_the_signature_is_worth():
    """RFC 6376 section 6.1.2: to be tried again, for the key may say why it is so."""
    timeout = Answer("temporary", reason="timeout")
    for tags in ({"b": "AAA"}, {"bh": "AAA"}, {"b": "AAAA"}, {"x": "1"}, {"l": "33"}):
        assert only(dkim_signed(**tags), timeout).status == "temperror"


@pytest.mark.parametrize("record, status, letter", RECORDS,
                         ids=lambda value: str(getattr(value, "reason", value))[:40])
def test_key_records(record, status, letter):
    result = only(dkim_signed(), record)
    assert (result.status, result.letter) == (status, letter)


@pytest.mark.parametrize("identity, status", [
    ("@example.com", "pass"), ("a@EXAMPLE.com", "pass"), ("@sub.example.com", "permerror")])
def test_identity_must_be_the_domain_with_t_s(identity, status):
    assert only(dkim_signed(i=identity), "t=s; " + P).status == status


# Keys that fit their signatures, but are no good.
KEYS = [
    (rsa_of(1024), {}, "pass", "A"),
    (rsa_of(1023), {}, "policy", "E"),
    (rsa_of(512), {}, "policy", "E"),
    (rsa_of(512), {"least_rsa_bits": 512}, "pass", "A"),
    (rsa_of(768), {"least_rsa_bits": 769}, "policy", "E"),
    (rsa_of(1024, 3), {}, "pass", "A"),
    # x ** 1 mod n: a signature that anybody makes for any message
    (RsaNumbers(golden_rsa().modulus, 1, 1), {}, "permerror", "E"),
    (RsaNumbers(golden_rsa().modulus + 1, 65537, 1), {}, "permerror", "E"),
    (RsaNumbers(golden_rsa().modulus, 65536, 1), {}, "permerror", "E"),
    (RsaNumbers(golden_rsa().modulus, (1 << 32) + 1, 1), {}, "permerror", "E"),
    (RsaNumbers((1 << 8192) + 1, 65537, 1), {}, "permerror", "E"),
    (RsaNumbers((1 << 8192) - 1, (1 << 32) - 1, 1), {}, "fail", "B"),
    (Ed25519(), {}, "pass", "A"),
]


@pytest.mark.parametrize("key, limits, status, letter", KEYS)
def test_keys(key, limits, status, letter):
    result = only(dkim_signed(key=key), key.record(), **limits)
    assert (result.status, result.letter) == (status, letter)


def test_an_ed25519_key_in_any_other_form():
    record = Ed25519().record()
    for wrong in (record[:-8], record.replace("p=", "p=MCowBQYDK2VwAyEA"), record + "AAAA"):
        assert only(dkim_signed(key=Ed25519()), wrong).letter == "E"


def test_sha1_does_not_pass():
    record = golden_rsa().record()
    signed = dkim_signed(hash_name="sha1")
    assert (only(signed, record).status, only(signed, record).letter) == ("policy", "B")
    assert only(signed.replace(b"line", b"lime"), record).status == "fail"
    assert only(signed, Answer("temporary", reason="timeout")).status == "temperror"


def test_a_signature_longer_than_the_modulus():
    signed = only(dkim_signed(b="A" * 344)).status, only(dkim_signed(b="A" * 4000)).status
    assert signed == ("fail", "fail")


MBOX = b"From alice@example.com Thu Jan  1 00:00:00 1970"

# What is done to a signed message -> status of its signature.
CHANGES = [
    (lambda text: text, "pass"),
    (lambda text: text.replace(b"Subject: a", b"subject:a"), "pass"),
    (lambda text: text.replace(b"Received: from a", b"Received: from b"), "pass"),
    (lambda text: b"Received: more\n" + text, "pass"),
    (lambda text: b"DKIM-Signature: junk\n" + text, None),
    (lambda text: text + b"\n \n\t\n", "pass"),
    (lambda text: text[:-3], "pass"),               # no LF at the end
    (lambda text: text.replace(b" \t", b"\t \t"), "pass"),
    (lambda text: text + b"more", "fail"),
    (lambda text: text.replace(b"line", b"lime"), "fail"),
    (lambda text: text.replace(b"One", b"One\r"), "fail"),
    (lambda text: text.replace(b"subject", b"sub\rject"), "fail"),
    (lambda text: text.replace(b"subject \n", b"subject\v\n"), "fail"),
    (lambda text: text.replace(b"Alice", b"Mallory"), "fail"),
    (lambda text: text.replace(b"To: bob@example.net\n", b""), "fail"),
    (lambda text: b"To: carol@example.net\n" + text, "pass"),   # h= has but the lowest
    (lambda text: b"From: carol@example.net\n" + text, "policy"),
    (lambda text: text.replace(b"From: ", b"Fron: "), "permerror"),
    (lambda text: MBOX + b"\n" + text, "pass"),
    (lambda text: MBOX + b"\r\n" + text, "pass"),
    # Some readers end the header there, and show the rest as the body.
    (lambda text: text.replace(b"Subject:", b"Subject :"), "policy"),
    (lambda text: b"From mbox line\n" + text, "policy"),
    (lambda text: b">" + MBOX + b"\n" + text, "policy"),
    (lambda text: b" " + MBOX + b"\n" + text, "policy"),
    (lambda text: b"Received: by us\n" + MBOX + b"\n" + text, "policy"),
    (lambda text: MBOX + b"\rFrom: carol@example.net\n" + text, "policy"),
    (lambda text: MBOX + b"\n From: carol@example.net\n" + text, "policy"),
    (lambda text: MBOX + b"\n" + MBOX + b"\n" + text, "policy"),
    (lambda text: MBOX.replace(b"Thu", b"the") + b"\n" + text, "policy"),
    (lambda text: MBOX.replace(b":00", b"") + b"\n" + text, "policy"),
    (lambda text: MBOX.replace(b"1970", b"today") + b"\n" + text, "policy"),
    (lambda text: b" a fold at the start\n" + text, "policy"),
    (lambda text: text.replace(b"\nTo:", b"\nno field\nTo:"), "policy"),
    (lambda text: text.replace(b"\nTo:", b"\nX : y\nTo:"), "policy"),
]


@pytest.mark.parametrize("number", range(len(CHANGES)))
def test_changes_to_the_message(number):
    change, status = CHANGES[number]
    results = examine(change(dkim_signed()), {NAME: P}).results
    assert results[-1].status == (status or "pass")


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 131072])
@pytest.mark.parametrize("c", ["relaxed/relaxed", "simple/simple"])
def test_chunks_of_any_size(chunk, c):
    assert only(dkim_signed(c=c), chunk=chunk).status == "pass"


@pytest.mark.parametrize("body", [None, b"", b"\n", b"\n\n\n", b" \n", b" \t\n\n x", b"\r\n", b"x"])
def test_odd_bodies(body):
    text = MESSAGE.partition(b"\n\n")[0] + b"\n" + (b"" if body is None else b"\n" + body)
    assert only(dkim_signed(text)).status == "pass"


def test_all_that_is_shown_of_a_signature():
    result = only(dkim_signed(i="a@sub.example.com", d="EXAMPLE.com", b="AB\n\tCDEFGHIJKL"))
    assert (result.protocol, result.domain, result.selector) == ("dkim", "example.com", "sel")
    assert (result.algorithm, result.signature_start) == ("rsa-sha256", "ABCDEFGH")


def in_utf8(text):
    """text as the values of tags are given here: a character for each byte."""
    return text.encode("utf-8").decode("latin-1")


# d=, i=: what becomes of a signature whose key is at xn--bcher-kva.example.
INTERNATIONAL = [
    ("b\u00fccher.example", None, "pass"),
    ("B\u00dcCHER.example", None, "pass"),
    ("b\u00fccher.example", "a@b\u00fccher.example", "pass"),
    ("b\u00fccher.example", "a@xn--bcher-kva.example", "pass"),
    ("xn--bcher-kva.example", "a@b\u00fccher.example", "pass"),
    ("xn--bcher-kva.example", "a@x.b\u00fccher.example", "pass"),
    ("xn--bcher-kva.example", "\u00e9@xn--bcher-kva.example", "pass"),
    ("xn--bcher-kva.example", "a=40b=C3=BCcher.example", "pass"),
    ("b\u00fccher.example", "a@bucher.example", "neutral"),
    ("b\u00fccher.example", "a@b\u00fcchern.example", "neutral"),
    ("bu\u0308cher.example", None, "neutral"),      # not in the form C of Unicode
    ("b\u00fccher\u3002example", None, "neutral"),  # an ideographic full stop
]


@pytest.mark.parametrize("domain, identity, status", INTERNATIONAL)
def test_international_domains_in_either_form(domain, identity, status):
    text = dkim_signed(d=in_utf8(domain), i=identity and in_utf8(identity))
    result, = examine(text, {"sel._domainkey.xn--bcher-kva.example": P}).results
    assert result.status == status
    assert status != "pass" or result.domain == "xn--bcher-kva.example"


def test_no_other_domain_is_taken_for_an_international_one():
    """IDNA 2003 and 2008 have different names for these: neither is looked up."""
    for domain in ("stra\u00dfe.example", "\u03b4\u03c2.example"):
        asked = []
        header, body = message.split([dkim_signed(d=in_utf8(domain))])
        found = examination.examine(header, body, Terms(RSA_LEAST),
                                    lambda name, kind: asked.append(name), NOW)
        assert (found.results[0].status, asked) == ("neutral", [])
