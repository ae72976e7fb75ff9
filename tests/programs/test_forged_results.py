# SPDX-License-Identifier: MIT
"""Nothing in a message passes for a result of ours, or continues one."""

import pytest

from lib.mail import message
from lib.verifying import annotation
from tests.support import header_readers, readers
from tests.support.forged_results import FORGED, ID, LENIENT, NOTHING_FOUND, annotated


@pytest.mark.parametrize("field", FORGED, ids=repr)
def test_forged_results_do_not_get_in(tmp_path, field):
    """A CR is a line's end to some readers, and on the wire after notqmail 1.09."""
    text = annotated(b"To: x\n" + field.rstrip(b"\n") + b"\nSubject: x\n\nbody\n", tmp_path)
    ours, _, theirs = text.partition(b"DomainKey-Status: no signature\n")
    assert theirs == b"To: x\nSubject: x\n\nbody\n"
    assert set(readers.authserv_ids(ours)) == {ID}


@pytest.mark.parametrize("field", FORGED[:6] + FORGED[9:12] + FORGED[15:18], ids=repr)
def test_readers_would_take_them_for_ours(field):
    assert ID in readers.authserv_ids(field)


@pytest.mark.parametrize("value, judge", LENIENT)
def test_lenient_parsers_would_too(value, judge):
    """OpenDMARC leaves quotes and brackets out; the other knows no backslash."""
    kind = getattr(readers, judge)
    if not kind.is_installed():
        pytest.skip(f"needs the Debian package {kind.package}")
    field = b"Authentication-Results: " + value + b"; dkim=pass header.d=example.com\n"
    assert judge in readers.finders(field, ID)


# A header field of more than message.HEADER_LIMIT bytes -> whether it may be taken for ours.
LONG = b"x" * message.HEADER_LIMIT
LONG_FIELDS = {
    "ours": (b"Authentication-Results: (" + LONG + b") mx.example.org; dkim=pass\n", True),
    "status": (b"DomainKey-Status :" + LONG + b"\n", True),
    "no field": (b"Authentication-Results\v: " + LONG + b"; mx.example.org; none\n", True),
    "behind a CR": (b"X: " + LONG + b"\rAuthentication-Results: mx.example.org; none\n", True),
    "in front of a CR": (b"X: Authentication-Results" + LONG + b"\rY: z\n", True),
    "another": (b"To: " + LONG + b"\n a@example.com\n", False),
    "of many lines": (b"To: x\n" + b" x\n" * (message.HEADER_LIMIT // 2), False),
    "with a CR": (b"X: " + LONG + b"\rX: y\n", False),
    "with our name": (b"X: " + LONG + b"Authentication-Results: mx.example.org; none\n", False),
    "a line": (LONG + b"\rx\n", False),
}


@pytest.mark.parametrize("case", LONG_FIELDS)
@pytest.mark.parametrize("place", ["first", "between", "last", "all there is"])
def test_long_fields(tmp_path, case, place):
    field, removed = LONG_FIELDS[case]
    above, below = {"first": (b"", b"Subject: x\n\nbody\n\n"),
                    "between": (b"To: x\n" * 9, b"Subject: x\n\nbody\n"),
                    "last": (b"To: x\n" * 9, b"\nbody\n\nX: y\n"),
                    "all there is": (b"", b"")}[place]
    text = annotated(above + field + below, tmp_path)
    _, _, theirs = text.partition(b"DomainKey-Status: no signature\n")
    separator = annotation.SEPARATOR if (case, above) == ("a line", b"") else b""
    assert theirs == separator + above + (b"" if removed else field) + below


# What a message begins with, and what stays of that.
FIRST_LINES = [(line, line) for line in (
    b" good\n", b"\t; dkim=pass\n", b" \n", b"good\n", b"good\n bad\n", b": good\n",
    b"\xa0good: x\n", b"\x1fgood: x\n", b"\vgood\n", b"(good): x\n", b";good: x\n",
    b"\rgood\n", b"good : x\n", b">From alice\n", b"From alice\n",
    b"From alice Thu Jan  1 00:00:00 2026\n", b"X: y\n")] + [
    (b"DomainKey-Status: x\ngood\n", b"good\n"),
    (b"Authentication-Results: mx.example.org; x\n y\nDomainKey-Status: x\n: good\n", b": good\n")]
PLAIN = b"From: alice@example.com\nTo: bob@example.net\n\nx\n"


@pytest.mark.parametrize("reader", header_readers.READERS)
@pytest.mark.parametrize("first, left", FIRST_LINES)
def test_a_first_line_does_not_continue_ours(tmp_path, reader, first, left):
    """Email::MIME takes a line that is no field for a continuation, too."""
    text = annotated(first + PLAIN, tmp_path)
    assert text.endswith(left + PLAIN)
    ours = dict(header_readers.python(NOTHING_FOUND)[0])
    found, _ = reader(text)
    for name in (b"authentication-results", b"domainkey-status"):
        assert [value for field, value in found if field == name] == [ours[name]]


@pytest.mark.parametrize("text", [b" ", b"good", b"good\n", b"\n good\n", b"\n", b""])
def test_nothing_is_put_between_ours_and_a_body(tmp_path, text):
    separator = annotation.SEPARATOR if text[:1] not in (b"", b"\n") else b""
    assert annotated(text, tmp_path).endswith(b"no signature\n" + separator + text)
