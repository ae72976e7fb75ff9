# SPDX-License-Identifier: MIT
"""The message as it lies in the queue: header fields, where the body starts, CR."""

import re

import pytest
from hypothesis import given, settings, strategies as st

from lib.mail import message
from tests.support.headers import FLAWED, IN_ORDER

SMALL = 7   # bytes of a chunk, so that every boundary is met


def cut(text, size):
    return [text[at:at + size] for at in range(0, len(text), size)]


def split(text, size=SMALL):
    """message.split() -> (Header, body)."""
    header, body = message.split(cut(text, size))
    return header, b"".join(body)


@pytest.mark.parametrize("text, fields, body, body_follows", IN_ORDER,
                         ids=[repr(row[0]) for row in IN_ORDER])
def test_in_order(text, fields, body, body_follows):
    for size in range(1, len(text) + 2):
        header, rest = split(text, size)
        assert (list(header.fields), rest, header.body_follows, header.flaw) == (
            fields, body, body_follows, "")


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
    assert header.flaw and not header.fields and list(body) == []
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
