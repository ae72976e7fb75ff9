# SPDX-License-Identifier: MIT
"""Time grows with the size of the input, not with its square."""

import pytest

from lib.mail import address, authentication_results, message
from lib.verifying import key_record
from tests.support import growth
from tests.support.forged_results import ID


def parse(texts):
    try:
        key_record.parse_all(texts)
    except key_record.Malformed:
        pass


def claims(text):
    authentication_results.is_ours(b"authentication-results", b"authentication-results:" + text, ID)


def hidden(text):
    authentication_results.is_ours(b"x", text, ID)


def split(text):
    message.split([text[at:at + 65536] for at in range(0, len(text), 65536)])


# function, what it gets for a size
GROWING = {
    "tags": (parse, lambda size: [b"".join(b"t%d=x;" % n for n in range(size // 8))]),
    "semicolons": (parse, lambda size: [b"p=x" + b";" * size]),
    "blanks in a record": (parse, lambda size: [b"p=" + b" " * size + b"x"]),
    "equals signs": (parse, lambda size: [b"p=" + b"=" * size]),
    "folds in a record": (parse, lambda size: [b"p=A" + b"\r\n " * (size // 3) + b"A"]),
    "comments": (claims, lambda size: b"(" * size),
    "comments, closed": (claims, lambda size: b"(" * (size // 2) + b")" * (size // 2)),
    "comments in a name": (claims, lambda size: b"m(" * (size // 2)),
    "quotes": (claims, lambda size: b'"' + b"\\" * size),
    "words": (claims, lambda size: b" x" * (size // 2)),
    "CRs": (hidden, lambda size: b"a\r" * (size // 2)),
    "CRs after a forged one": (hidden, lambda size: (
        b"a\rauthentication-results: x" + b"\r" * (size // 2) + b"\ra" * (size // 4))),
    "forged after CRs": (hidden, lambda size: b"authentication-results: x\r" * (size // 20)),
    "fields": (split, lambda size: b"a:\n" * (size // 3)),
    "folds": (split, lambda size: b"a:\n" + b" \n" * (size // 2)),
    "no colon": (split, lambda size: b"a\n" * (size // 2)),
    "From: atoms": (address.domains, lambda size: b"a " * (size // 2)),
    "From: dots": (address.domains, lambda size: b"." * size),
    "From: commas": (address.domains, lambda size: b"," * size),
    "From: angles": (address.domains, lambda size: b"<" * size),
    "From: routes": (address.domains, lambda size: b"<" + b"@a," * (size // 3) + b":a@b.c>"),
    "From: escapes": (address.domains, lambda size: b'"' + b"\\x" * (size // 2) + b'"@a.b'),
}


@pytest.mark.parametrize("what", GROWING)
def test_time_grows_with_the_size(what):
    """Eight times the text, nowhere near the 64 times of a quadratic way."""
    function, make = GROWING[what]
    size = 10000
    while growth.seconds(function, make(size)) < growth.STEP and size < 100_000:
        size *= 2
    assert growth.grows_less_than(32, function, make(size), make(8 * size))
