# SPDX-License-Identifier: MIT
"""Writes a verified message with its new header fields; everything else stays as it came."""

from ..mail import message
from ..qmail import spool

# Stands below our fields if the next line is no field.  A line that begins with a blank would
# continue the field above it, and for some readers (Perl's Email::Simple and Email::MIME)
# every line that is no field does.
SEPARATOR = b"X-No-Header-Field:\n"


def write(target, report, header, source, authserv_id):
    """Writes the message of source to target, with the fields that a report.Report adds.

    target, source: descriptors, source of a regular file
    header: its message.Header; authserv_id: bytes
    Changes no bytes, and leaves out only the fields of report.removed or, if the header
    was too long, all that pretend to be ours.  Raises SpoolTrouble, OSError.
    """
    spool.write(target, report.fields)
    if header.too_long:
        left = kept_of_long_header(source, authserv_id)
    else:
        left = kept(header, report.removed, source)
    spool.write_all(target, separated(left))


def separated(text):
    """Yields chunks of text, after SEPARATOR if they do not begin with a field.

    Removing fields may have changed the beginning of the header.
    """
    begun = False
    for chunk in text:
        if chunk and not begun:
            begun = True
            if not begins_a_field(bytes(chunk[:message.CHUNK])):
                yield SEPARATOR
        yield chunk


def begins_a_field(text):
    """Returns whether text begins with a header field, or with the line that ends the header."""
    name, colon, _ = text.partition(b":")
    return text.startswith(b"\n") or bool(
        name and colon and not name.translate(None, message.FIELD_NAME))


def kept(header, removed, source):
    """Yields the message of source in chunks, without the fields removed.

    removed: as in kept_fields()
    """
    yield from kept_fields(header.fields, removed)
    yield from message.chunks(source, sum(map(len, header.fields.texts)))


def kept_of_long_header(source, authserv_id):
    """Yields a message with a too long header in chunks, without fields that pretend to be ours."""
    from ..mail.authentication_results import may_pretend      # few messages need it
    from .examination import fields_to_remove
    read = 0
    for part in message.long_header(source):
        if isinstance(part, message.Header):
            yield from kept_fields(part.fields, fields_to_remove(part, authserv_id))
            read += sum(map(len, part.fields.texts))
            continue
        if not may_pretend(part, message.chunks(source, read, part.size)):
            yield from message.chunks(source, read, part.size)
        read += part.size
    yield from message.chunks(source, read)


def kept_fields(fields, removed):
    """Yields all fields but those at the indexes removed, in chunks.  fields: message.Fields"""
    for start, part in message.in_parts(fields):
        yield b"".join([field for index, field in enumerate(part.texts, start)
                        if index not in removed])
