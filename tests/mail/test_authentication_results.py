# SPDX-License-Identifier: MIT
"""What is written is what the authres package reads; what pretends to be ours is found."""

import string

import authres
import pytest
from hypothesis import given, settings, strategies as st

from lib.mail import authentication_results, message
from lib.verifying import examination
from lib.verifying.results import SignatureResult
from tests.support import readers
from tests.support.forged_results import OTHERS, OURS
from tests.support.verifying import (
    MESSAGE, NAME, dkim_signed, domainkeys_signed, examine, golden_rsa,
)

ID = b"mx.example.org"
STATUSES = ("pass", "fail", "policy", "neutral", "temperror", "permerror")


def parsed(field):
    """The field as authres reads it, after all that a field must keep to."""
    lines = field.split(b"\n")
    assert lines.pop() == b""
    assert all(0 < len(line) <= 998 and line.strip() for line in lines)
    assert all(line.startswith(b" ") for line in lines[1:])
    assert all(len(line) <= 78 or b" " not in line.strip() for line in lines)
    unfolded = field.decode("ascii").replace("\n", "").strip()
    assert all(" " <= character <= "~" for character in unfolded)
    return authres.AuthenticationResultsHeader.parse(unfolded)


def properties(result):
    return {f"{prop.type}.{prop.name}": prop.value for prop in result.properties}


def made(protocol, status, **attributes):
    result = SignatureResult(protocol, status, "A", attributes.pop("reason", ""))
    for name, value in attributes.items():
        setattr(result, name, value)
    return result


def test_golden():
    results = [
        made("dkim", "pass", domain="example.com", selector="s2026a", algorithm="rsa-sha256",
             signature_start="Ab+/5678"),
        made("dkim", "temperror", domain="example.net", selector="x", algorithm="ed25519-sha256",
             signature_start="12345678", reason="the key can't be had now: timeout"),
        made("domainkeys", "fail", domain="example.com", sender_field="from",
             sender_domain="example.com", reason="the signature is wrong for this message",
             test_mode=True),
        made("domainkeys", "none", sender_field="from", sender_domain="example.net", reason="x"),
        made("domainkeys", "neutral", sender_field="sender", sender_domain="example.net",
             reason="y"),
    ]
    assert authentication_results.field(ID, results).decode() == """\
Authentication-Results: mx.example.org;
  dkim=pass header.d=example.com header.s=s2026a header.a=rsa-sha256
 header.b="Ab+/5678";
  dkim=temperror reason="the key can't be had now: timeout"
 header.d=example.net header.s=x header.a=ed25519-sha256 header.b=12345678;
  domainkeys=fail (test mode) reason="the signature is wrong for this message"
 header.d=example.com;
  domainkeys=none reason="x" header.from=example.net;
  domainkeys=neutral reason="y" header.sender=example.net
"""


def test_unsigned():
    field = authentication_results.field(ID, [])
    assert [(result.method, result.result) for result in parsed(field).results] == [
        ("dkim", "none"), ("domainkeys", "none")]


text = st.text(st.characters(max_codepoint=0x2ff), max_size=80)
token = st.text(string.ascii_letters + string.digits + "-._", max_size=253)


@given(st.lists(st.builds(
    made, st.sampled_from(["dkim", "domainkeys"]), st.sampled_from(STATUSES),
    reason=text, domain=text | token, selector=text | token, algorithm=text,
    signature_start=text, sender_domain=text, sender_field=st.sampled_from(["from", "sender"]),
    test_mode=st.booleans()), max_size=12))
def test_whatever_is_in_the_results_is_data(results):
    """Even text that never gets there: no property, result or field can be made with it."""
    header = parsed(authentication_results.field(ID, results))
    assert header.authserv_id == ID.decode()
    if not results:
        return
    assert [(found.method, found.result) for found in header.results] == [
        (result.protocol, result.status) for result in results]
    for found, result in zip(header.results, results):
        assert set(properties(found)) <= {"header.d", "header.s", "header.a", "header.b",
                                          "header.from", "header.sender"}
        if result.domain and set(result.domain) <= set(string.printable[:62] + "-._"):
            assert properties(found)["header.d"] == result.domain


tag = st.binary(max_size=40) | st.sampled_from([
    b"a.com(.evil.com", b"a.com; dkim=pass header.d=evil.com", b'a.com" x="', b"a.com\n b",
    b"a.com\\", b"\xe2\x80\xaeexample.com", b"example.com", b"\0", b"(", b")", b"rsa-sha256",
    b"a" * 5000, b"x)dkim=pass("])


@given(d=tag, s=tag, a=tag, b=tag, i=tag, protocol=st.sampled_from([b"DKIM", b"DomainKey"]))
def test_hostile_tags_of_a_message_do_not_get_out(d, s, a, b, i, protocol):
    field = protocol + b"-Signature: v=1; h=from; bh=AAAA; d=%s; s=%s; a=%s; b=%s; i=%s" % (
        d, s, a, b, i)
    found = examine(field + b"\n" + MESSAGE, {NAME: golden_rsa().record()})
    fields = examination.header_fields(found, ID)
    authentication, status, end = fields.rpartition(b"DomainKey-Status: ")
    assert status and b"\n" not in end[:-1]
    header = parsed(authentication)
    assert len(header.results) == len(found.results) or not found.results
    assert "pass" not in [result.result for result in header.results]
    for result in header.results:
        shown = properties(result)
        for name in ("header.d", "header.s", "header.a"):
            assert not set(shown.get(name, "")) - set(string.ascii_letters + string.digits + "-._")


def test_what_a_message_with_two_signatures_gets():
    signed = dkim_signed(domainkeys_signed())
    found = examine(signed, {NAME: golden_rsa().record()})
    field, _, rest = examination.header_fields(found, ID).partition(b"DomainKey-Status: ")
    assert rest == b"good\n"
    dkim, domainkeys = parsed(field).results
    assert (dkim.method, dkim.result, domainkeys.method, domainkeys.result) == (
        "dkim", "pass", "domainkeys", "pass")
    start = signed[signed.index(b"\tb=") + 3:][:8].decode()
    assert properties(dkim) == {"header.d": "example.com", "header.s": "sel",
                                "header.a": "rsa-sha256", "header.b": start}
    assert properties(domainkeys) == {"header.d": "example.com"}


@pytest.mark.parametrize("field", OURS)
def test_pretenders_are_removed_wherever_they_are(field):
    text = OTHERS[0] + field + b"Subject: x\n" + field.replace(b"\xa0\n", b"") + b"\nbody\n"
    header, _ = message.split([text])
    removed = examination.fields_to_remove(header, ID)
    left = b"".join(field for index, (_, field) in enumerate(header.fields)
                    if index not in removed)
    assert left.replace(b"\xa0\n", b"") == OTHERS[0] + b"Subject: x\n"


@pytest.mark.parametrize("claim", ["mx.\u212aiosk.example", '"mx.kio\u017fk.example"',
                                   "mx.k\u0131osk.example"])
def test_letters_that_some_readers_take_for_ours(claim):
    field = f"Authentication-Results: {claim}; none\n".encode()
    assert authentication_results.is_ours(b"authentication-results", field, b"mx.kiosk.example")


def test_such_letters_count_behind_a_carriage_return_too():
    for name in ("Authentication-Re\u017fults: mx.example.org", "Doma\u0131nKey-Statu\u017f: good"):
        assert authentication_results.is_ours(b"x", b"X: y\r" + name.encode() + b"\n", ID)


def test_all_others_stay():
    header, _ = message.split([b"".join(OTHERS) + b"\n"])
    assert examination.fields_to_remove(header, ID) == set()


def test_a_version_may_be_the_end_of_a_name():
    for name, claim in ((b"mx1", b"mx 1"), (b"mx.1", b"mx . 1"), (b"mx1", b"mx (c)\n 1")):
        field = b"Authentication-Results: " + claim + b"; dkim=pass\n"
        assert authentication_results.is_ours(b"authentication-results", field, name)
        assert not authentication_results.is_ours(b"authentication-results", field, b"mx2")


PIECES = st.sampled_from([b"(", b")", b"\\", b'"', b" ", b"\n ", b"\t", b";", b"=", b"'", b",",
                          b".", b"x", b"1", b"/1", b"(c)", b"(\\)", b'"("', b"\\(", b"other ",
                          b'"other" ', b"dkim=pass", b"mx.example.org"])


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(PIECES, st.integers(0, 60)), min_size=1, max_size=7))
def test_no_reader_finds_our_name_in_what_stays(insertions):
    """Whatever is written into it, and wherever.  The fuzz target "claim" has more of it."""
    value = ID
    for piece, at in insertions:
        value = value[:at] + piece + value[at:]
    field = b"Authentication-Results:" + value + b"; dkim=pass header.d=example.com\n"
    if not authentication_results.is_ours(b"authentication-results", field, ID):
        assert not readers.finders(field, ID)
        assert ID not in readers.authserv_ids(field.lower())


@given(st.lists(st.sampled_from([b"(", b")", b"\\", b'"', b"mx.example.org", b" ", b"\n ", b";",
                                 b"x", b"\xff", b"/1"])))
def test_removal_never_fails_and_agrees_with_authres(pieces):
    field = b"Authentication-Results:" + b"".join(pieces) + b"\n"
    found = authentication_results.is_ours(b"authentication-results", field, ID)
    try:
        theirs = authres.AuthenticationResultsHeader.parse(
            field.decode("latin-1").replace("\n ", " ").strip())
    except (authres.core.AuthResError, ValueError, IndexError):
        return
    if (theirs.authserv_id or "").lower() == ID.decode():
        assert found
