# SPDX-License-Identifier: MIT
"""Writes a verified message with its new header fields, all else as it came."""

import posix

from . import message, spool

# Keeps a first line that starts with a blank from continuing the field above it.
SEPARATOR = b"X-No-Header-Field:\n"


def write(target, added, header, removable, source):
    """Writes the message of source to target, with its new header fields.

    added: header fields (bytes) for the top
    source: a regular file; header: its message.Header
    removable: function of a Header -> indexes of its fields to leave out
    All other bytes stay as they are.  Raises SpoolTrouble, OSError.
    """
    spool.write(target, added)
    if posix.pread(source, 1, 0) in (b" ", b"\t"):
        spool.write(target, SEPARATOR)
    written = 0
    for part in message.long_header(source) if header.too_long else (header,):
        removed = frozenset(removable(part))
        kept = bytearray()      # for join() takes 80 bytes more for each field
        for index, (_, field) in enumerate(part.fields):
            if index not in removed:
                kept += field
            written += len(field)
        spool.write(target, kept)
    for chunk in message.chunks(source, written):
        spool.write(target, chunk)
