# SPDX-License-Identifier: MIT
"""The message as it lies in the queue: header fields, where the body starts, CR."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib import message

SMALL = 7   # bytes of a chunk, so that every boundary is met


def cut(text, size):
    return [text[at:at + size] for at in range(0, len(text), size)]


def split(text, size=SMALL):
    """message.split() -> (Header, body)."""
    header, body = message.split(cut(text, size))
    return header, b"".join(body)


# (message, fields as (name, bytes), body, whether an empty line was there)
IN_ORDER = [
    (b"", [], b"", False),
    (b"\n", [], b"", True),
    (b"\nbody\n", [], b"body\n", True),
    (b"\n\nbody\n", [], b"\nbody\n", True),
    (b"A: b\n", [(b"a", b"A: b\n")], b"", False),
    (b"A: b\n\n", [(b"a", b"A: b\n")], b"", True),
    (b"A: b\n\nbody", [(b"a", b"A: b\n")], b"body", True),
    (b"A: b\n\n\n\nbody\n", [(b"a", b"A: b\n")], b"\n\nbody\n", True),
    (b"A:b\nC:\n", [(b"a", b"A:b\n"), (b"c", b"C:\n")], b"", False),
    (b"A: b\n\tc\n d\nE: f\n\nx\n", [(b"a", b"A: b\n\tc\n d\n"), (b"e", b"E: f\n")], b"x\n", True),
    (b"A: b\n \nC: d\n\nx\n", [(b"a", b"A: b\n \n"), (b"c", b"C: d\n")], b"x\n", True),
    (b"A: b\nA: c\n\n", [(b"a", b"A: b\n"), (b"a", b"A: c\n")], b"", True),
    (b"A::b\n\n", [(b"a", b"A::b\n")], b"", True),
]


@pytest.mark.parametrize("text, fields, body, body_follows", IN_ORDER,
                         ids=[repr(row[0]) for row in IN_ORDER])
def test_in_order(text, fields, body, body_follows):
    for size in range(1, len(text) + 2):
        header, rest = split(text, size)
        assert (header.fields, rest, header.body_follows, header.flaw) == (
            fields, body, body_follows, "")


# (message, a word of the flaw, names that are still seen)
FLAWED = [
    (b"A: b", "ends within", [b"a"]),
    (b"garbage\nA: b\n\n", "line 1 ", [b"", b"a"]),
    (b"A: b\ngarbage\n folded\nC: d\n\n", "line 2 ", [b"a", b"", b"c"]),
    (b" b\nA: b\n\n", "line 1 ", [b"", b"a"]),
    (b"From x\nA: b\n\n", "line 1 ", [b"", b"a"]),
    (b"A : b\n\n", "line 1 ", [b"a"]),
    (b"A\t: b\n\n", "line 1 ", [b"a"]),
    (b": b\n\n", "line 1 ", [b""]),
    (b"A b: c\n\n", "line 1 ", [b""]),
    (b"A;b: c\n\n", "line 1 ", [b""]),
    (b"\xe4: c\n\n", "line 1 ", [b""]),
    (b"A: \0\n\n", "NUL", [b"a"]),
    (b"A: \v\n\n", "VT", [b"a"]),
    (b"A: \f\n\n", "FF", [b"a"]),
    (b"A: " + b"x" * 70000 + b"\n\n", "longer", [b"a"]),
    (b"A: " + b"x\n " * 30000 + b"\n\n", "longer", [b"a"]),
]


@pytest.mark.parametrize("text, flaw, names", FLAWED, ids=[repr(row[0])[:30] for row in FLAWED])
def test_flawed(text, flaw, names):
    header, _ = split(text, 65536)
    assert flaw in header.flaw
    assert [name for name, _ in header.fields] == names
    assert b"".join(field for _, field in header.fields) == text.partition(b"\n\n")[0] + b"\n" * (
        b"\n\n" in text)


def test_header_too_long():
    """Not parsed, so that a message of one endless header costs no memory."""
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield b"X: y\n" * 10000

    header, body = message.split(endless())
    assert header.flaw and header.fields == [] and list(body) == []
    assert len(taken) <= message.HEADER_LIMIT // 50000 + 1


def test_header_of_the_longest_length():
    """As long as is allowed, found wherever its end is."""
    text = b"X: y\n" * (message.HEADER_LIMIT // 5) + b"\nbody"
    header, body = split(text, message.CHUNK)
    assert len(header.fields) == message.HEADER_LIMIT // 5
    assert (header.flaw, body) == ("", b"body")


TEXT = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"A: b", b" ", b".", b"\0"]),
                max_size=40).map(b"".join)


@settings(max_examples=400, deadline=None)
@given(TEXT, st.integers(1, 20))
def test_without_cr(text, size):
    """CR LF, and a CR alone, become LF, wherever the chunks are cut."""
    assert b"".join(message.without_cr(cut(text, size))) == re.sub(b"\r\n|\r", b"\n", text)


@settings(max_examples=200, deadline=None)
@given(TEXT, st.integers(1, 20))
def test_nothing_is_lost_by_splitting(text, size):
    header, body = split(text, size)
    put_together = b"".join(field for _, field in header.fields)
    put_together += b"\n" * header.body_follows + body
    assert put_together == text


def test_chunks_leave_the_offset_alone(tmp_path):
    path = tmp_path / "message"
    path.write_bytes(b"x" * (message.CHUNK + 5))
    with open(path, "rb", buffering=0) as file:
        found = list(message.chunks(file.fileno()))
        assert [len(chunk) for chunk in found] == [message.CHUNK, 5]
        assert file.tell() == 0
        assert list(message.chunks(file.fileno(), message.CHUNK + 3)) == [b"xx"]
