# SPDX-License-Identifier: MIT
"""How a target takes its input apart, and an authserv-id."""

from lib.qmail import spool

AUTHSERV_ID = b"mx.example.org"


def pieces(data):
    """-> (the text after the first byte, the same in pieces of a size that the byte says)."""
    size, text = (data[0] if data else 0) + 1, data[1:]
    return text, [text[at:at + size] for at in range(0, len(text), size)]


def memory_file(text=b""):
    """An open file with text in it: a file on disk costs more than most targets do."""
    file = open(spool.anonymous_file(len(text)), "w+b", buffering=0)
    file.write(text)
    return file
