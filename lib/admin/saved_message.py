# SPDX-License-Identifier: MIT
"""Reads a message that a mail client has saved in a file; some clients write CR LF."""

from ..mail import message


def text_of(fd):
    """Returns the chunks of a message, with LF line ends if it was saved with CR LF."""
    chunks = message.chunks(fd)
    return message.without_cr(chunks) if has_crlf(fd) else chunks


def has_crlf(fd):
    """Returns whether all lines of a file end in CR LF, and it has no other CR."""
    pairs = cr = lf = 0
    held = b""
    for chunk in message.chunks(fd):
        pairs += (held + chunk).count(b"\r\n")
        cr += chunk.count(b"\r")
        lf += chunk.count(b"\n")
        held = b"\r" if chunk.endswith(b"\r") else b""
    return 0 < pairs == cr == lf
