# SPDX-License-Identifier: MIT
"""The values of tags at the edges of their grammar (RFC 6376 sections 2.10, 2.11, 3.5)."""

import pytest

from lib.mail import tag_values

# value -> bytes that it stands for, None: it is not in the grammar
QUOTED = {
    b"": b"", b"abc": b"abc", b"a=40b": b"a@b", b"=40=40": b"@@", b"=3D": b"=", b"=3d": b"=",
    b"=4 0": b"@", b" a\r\n b\t": b"ab", b"=00": b"\0",
    b"=": None, b"a=": None, b"=4": None, b"a=4": None, b"=4=40": None, b"=4g": None,
    b"=g4": None, b"==40": None, b"=+4": None,
}


@pytest.mark.parametrize("value", QUOTED)
def test_quoted_printable(value):
    assert tag_values.quoted_printable(value) == QUOTED[value]


# (value, most digits) -> number
NUMBERS = {
    (b"0", 1): 0, (b"007", 3): 7, (b"999", 3): 999, (b"1000", 3): 1000, (b"9999", 3): 1000,
    (b"9" * 100_000, 12): 10 ** 12,
    (b"", 3): None, (b"-1", 3): None, (b"+1", 3): None, (b"1 ", 3): None, (b"1_0", 3): None,
    ("\u0663".encode(), 3): None,
}


@pytest.mark.parametrize("value, most", NUMBERS, ids=lambda value: str(value)[:20])
def test_number(value, most):
    assert tag_values.number(value, most) == NUMBERS[value, most]


# 253 bytes, the longest name
LONGEST = b".".join([b"a" * 63] * 3 + [b"b" * 57, b"com"])


@pytest.mark.parametrize("value, least, good", [
    (LONGEST, 2, True), (b"a" + LONGEST[:63] + LONGEST[63:], 2, False),
    (LONGEST + b"x", 2, False), (b"a" * 63 + b".com", 2, True), (b"a" * 64 + b".com", 2, False),
    (b"com", 2, False), (b"com", 1, True), (b"", 1, False), (b"a.", 1, False), (b".a", 1, False),
    (b"_x.Example.com", 2, True), (b"x" * 100_000, 1, False)],
    ids=lambda value: str(value)[:20])
def test_domain_name(value, least, good):
    assert tag_values.domain_name(value, least) == (value.lower() if good else None)
