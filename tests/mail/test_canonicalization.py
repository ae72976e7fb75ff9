# SPDX-License-Identifier: MIT
"""Streaming canonicalization against the RFCs' sentences, and against dkimpy.

The reference takes a whole text and follows the RFC's sentences one by one with
regular expressions; the chunks of the stream are cut anywhere.
"""

import re

import pytest
from hypothesis import given, settings, strategies as st

from lib.mail import canonicalization as ours
from tests.support import growth
from tests.support.reference_canonicalization import (
    lines, reference_nofws_message, reference_relaxed_body, reference_relaxed_field,
    reference_simple_body,
)


def streamed(new, body, cuts):
    """What a body consumer makes of body, cut into chunks at the cuts."""
    pieces = []
    consumer = new(pieces.append)
    start = 0
    for cut in sorted(cut % (len(body) + 1) for cut in cuts) + [len(body)]:
        consumer.feed(body[start:cut])
        start = cut
    consumer.finish()
    return b"".join(pieces)


# Rich in what canonicalization is about, without CR: message.without_cr() comes first.
BODIES = st.lists(st.sampled_from(
    [b" ", b"  ", b"\t", b"\n", b"\n\n", b" \n", b"a", b"b c", b".", b"\xe4", b"\0", b"\v", b"\f",
     b" " * 15, b" " * 16, b" " * 17, b" " * 40, b"\n" * 5000]), max_size=40).map(b"".join)
CUTS = st.lists(st.integers(0, 10000), max_size=8)
VALUES = st.lists(st.sampled_from([b" ", b"\t", b"\n ", b"\n\t", b"a", b"B", b":", b"\xe4", b"  "]),
                  max_size=20).map(b"".join)


@settings(max_examples=400)
@given(BODIES, CUTS)
def test_relaxed_body(body, cuts):
    assert streamed(ours.RelaxedBody, body, cuts) == reference_relaxed_body(body)


@settings(max_examples=400)
@given(BODIES, CUTS)
def test_simple_body(body, cuts):
    assert streamed(ours.SimpleBody, body, cuts) == reference_simple_body(body)


@settings(max_examples=400)
@given(BODIES, CUTS)
def test_nofws_body(body, cuts):
    header = b"From:a@example.com\r\n"
    assert header + streamed(ours.NofwsBody, body, cuts) == reference_nofws_message(header, body)


@pytest.mark.parametrize("new, dkimpys", [(ours.RelaxedBody, "Relaxed"),
                                          (ours.SimpleBody, "Simple")])
def test_bodies_as_dkimpy_does(new, dkimpys):
    theirs = getattr(pytest.importorskip("dkim.canonicalization"), dkimpys)

    @settings(max_examples=300)
    @given(BODIES, CUTS)
    def check(body, cuts):
        assert streamed(new, body, cuts) == theirs.canonicalize_body(lines(body))
    check()


@given(VALUES)
def test_relaxed_field(value):
    field = b"SubJect" + b" :" + value + b"\n"
    assert ours.relaxed_field(field) == reference_relaxed_field(field)


def test_relaxed_field_as_dkimpy_does():
    theirs = pytest.importorskip("dkim.canonicalization").Relaxed

    @given(VALUES)
    def check(value):
        (name, canonical), = theirs.canonicalize_headers(
            [(b"SubJect", value.replace(b"\n", b"\r\n") + b"\r\n")])
        assert ours.relaxed_field(b"SubJect:" + value + b"\n") == name + b":" + canonical
    check()


# RFC 6376 section 3.4.5, its two examples; <SP> <HTAB> <CRLF> written out
FIELD_A, FIELD_B = b"A: X\n", b"B : Y\t\n\tZ  \n"
RFC_BODY = b" C \nD \t E\n\n\n"


def test_examples_of_rfc_6376():
    assert ours.relaxed_field(FIELD_A) + ours.relaxed_field(FIELD_B) == b"a:X\r\nb:Y Z\r\n"
    assert ours.simple_field(FIELD_A) + ours.simple_field(FIELD_B) == (
        b"A: X\r\nB : Y\t\r\n\tZ  \r\n")
    assert streamed(ours.RelaxedBody, RFC_BODY, []) == b" C\r\nD E\r\n"
    assert streamed(ours.SimpleBody, RFC_BODY, []) == b" C \r\nD \t E\r\n"


# (body, DKIM relaxed, DKIM simple, nofws with the separating empty line)
TABLE = [
    (b"", b"", b"\r\n", b""),
    (b"\n", b"", b"\r\n", b""),
    (b"\n\n\n", b"", b"\r\n", b""),
    (b" \n\t\n", b"", b" \r\n\t\r\n", b""),
    (b"a", b"a\r\n", b"a\r\n", b"\r\na\r\n"),
    (b"a \t\n \n", b"a\r\n", b"a \t\r\n \r\n", b"\r\na\r\n"),
    (b"\n\na b\n", b"\r\n\r\na b\r\n", b"\r\n\r\na b\r\n", b"\r\n\r\n\r\nab\r\n"),
    (b" a", b" a\r\n", b" a\r\n", b"\r\na\r\n"),
]


@pytest.mark.parametrize("body, relaxed, simple, nofws", TABLE, ids=[repr(row[0]) for row in TABLE])
def test_table(body, relaxed, simple, nofws):
    for cuts in ([], range(len(body))):
        assert streamed(ours.RelaxedBody, body, cuts) == relaxed
        assert streamed(ours.SimpleBody, body, cuts) == simple
        assert streamed(ours.NofwsBody, body, cuts) == nofws


def test_nofws_without_separator():
    """A message that is a header alone has no empty line to count."""
    pieces = []
    body = ours.NofwsBody(pieces.append, separator=False)
    body.finish()
    assert pieces == []


FIELDS = [b"Subject : a \tb\n  c\n", b"X:\n", b"Y:\n \n\t\n z\n", b"Z: \r\n\t\r\n", b"no field \n",
          b"a\rb: c\n\t \n"]


@given(st.lists(st.sampled_from(FIELDS), min_size=1))
def test_nofws_fields(fields):
    """Each unfolded and without blanks, on a line of its own, however many there are."""
    assert ours.nofws_fields(b"".join(fields)) == b"".join(
        re.sub(rb"[ \t\r\n]", b"", field) + b"\r\n" for field in fields)


HOSTILE = {
    "blanks": b"a" + b" " * 99999,
    "tabs and blanks": b"a" + b" \t" * 50000,
    "empty lines": b"a" + b"\n" * 99999,
    "blank lines": b"a" + b" \n" * 50000,
    "blanks between words": (b"a" + b" " * 999) * 100,
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("new", [ours.RelaxedBody, ours.SimpleBody, ours.NofwsBody])
def test_time_is_linear(new, kind):
    """Four times the text takes nowhere near the sixteen times of a quadratic way."""
    chunk = HOSTILE[kind]

    def feed(count):
        body = new(lambda piece: None)
        for _ in range(count):
            body.feed(chunk)
        body.feed(b"b")
        body.finish()

    small = 16
    while growth.seconds(feed, small) < 10 * growth.STEP:
        small *= 2
    assert growth.grows_less_than(9, feed, small, 4 * small)


def test_one_long_run_of_blanks():
    body = b"a" + b" " * 200000 + b"b" + b"\t" * 200000 + b"\n"
    assert streamed(ours.RelaxedBody, body, []) == b"a b\r\n"
