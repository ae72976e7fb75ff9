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
    if header.too_long:
        read = write_long_header(target, removable, source)
    else:
        read = write_fields(target, header.fields, frozenset(removable(header)))
    spool.write_all(target, message.chunks(source, read))


def write_long_header(target, removable, source):
    """Writes the header of source, in parts -> how many bytes it has.  As write()."""
    from .authentication_results import may_pretend     # few messages need it
    read = 0
    for part in message.long_header(source):
        if isinstance(part, message.Header):
            read += write_fields(target, part.fields, frozenset(removable(part)))
            continue
        if not may_pretend(part, message.chunks(source, read, part.size)):
            spool.write_all(target, message.chunks(source, read, part.size))
        read += part.size
    return read


def write_fields(target, fields, removed):
    """Writes all fields but those at the indexes removed -> how many bytes all of them have."""
    size = 0
    kept = bytearray()      # for join() takes 80 bytes more for each field
    for index, (_, field) in enumerate(fields):
        if index not in removed:
            kept += field
        size += len(field)
    spool.write(target, kept)
    return size
