# SPDX-License-Identifier: MIT
"""Edits the content of a tinydns data file: our lines are added and removed, no others.

Each line of ours ends in a field "qmail-dk" behind the location, where tinydns-data
reads no more.  So the mark stays with its record when somebody sorts the file, edits
it or splits it, as comments around the lines would not, and grep finds them all.
"""

import re

from .. import records

MARK = b"qmail-dk"
# Fields of a line for a TXT record; one for any type has that and the data before the TTL.
NAME, TEXT, TTL, TIME, LOCATION, MARKED = range(6)
TXT = b"16"
BLANKS = b" \t"         # that tinydns-data removes at the end of a line
ESCAPED = re.compile(rb"\\([0-7]{1,3}|.|$)", re.S)


class Conflict(Exception):
    """The administrator's own lines stand in the way; the text says which."""


class Line:
    """A line that makes a TXT record.  line: bytes; number: in the file, from 1

    name: bytes in lower case; content: (name, text), both bytes, as content_of() makes it
    is_ours: whether it has our mark
    is_partial: whether it is for some clients only, or for some time
    """

    def __init__(self, line, number):
        self.number = number
        fields = line.rstrip(BLANKS)[1:].split(b":") + [b""] * MARKED
        self.is_ours = line.startswith(b"'") and fields[MARKED] == MARK
        if line.startswith(b":"):
            del fields[1]
        self.name = plain(fields[NAME]).rstrip(b".").lower()
        text = plain(fields[TEXT])
        self.content = self.name, joined(text) if line.startswith(b":") else text
        self.is_partial = any(fields[TIME:MARKED])


def content_of(record):
    """Returns (name, text) of a record.Record, both bytes; the TTL does not count."""
    return record.name.encode("ascii").lower(), record.text.encode("latin-1")


def txt_lines(content):
    """Yields the Lines of a file's content (bytes) that make TXT records."""
    for number, line in enumerate(content.split(b"\n"), 1):
        if line.startswith(b"'") or line.startswith(b":") and line.split(b":")[2:3] == [TXT]:
            yield Line(line, number)


def plain(field):
    """Returns a field without the escapes that tinydns-data knows: \\ooo, else the next byte."""
    return ESCAPED.sub(lambda found: bytes([int(found[1], 8) & 255]) if found[1].isdigit()
                       and found[1] < b"8" else found[1], field)


def joined(data):
    """Returns the text of a TXT record's data (RFC 1035 section 3.3.14)."""
    text = b""
    while data:
        text += data[1:1 + data[0]]
        data = data[1 + data[0]:]
    return text


def with_records(content, wanted):
    """Returns the content with those of the Records (list) that it lacks.

    Raises Conflict if another line makes another TXT record of such a name: of two
    key records, verifiers use either.
    """
    there = {}
    for line in txt_lines(content):
        there.setdefault(line.name, []).append(line)
    added = []
    for record in dict.fromkeys(wanted):
        name, text = content_of(record)
        lines = there.get(name, [])
        if any(line.content == (name, text) and not line.is_partial for line in lines):
            continue
        if lines:
            raise Conflict(f"line {lines[0].number} has another TXT record of {record.name}; "
                           "remedy: remove it")
        entry = records.tinydns(record.name, record.text, record.ttl)
        added.append(entry.encode("ascii") + b":" * (MARKED - TTL) + MARK + b"\n")
    if not added:
        return content
    return content + b"\n" * (not content.endswith(b"\n") and bool(content)) + b"".join(added)


def without_records(content, unwanted):
    """Returns the content without our lines of the Records (list).

    Raises Conflict if a line without our mark makes one of them.
    """
    lines = content.split(b"\n")
    contents = {content_of(record) for record in unwanted}
    for line in reversed(list(txt_lines(content))):
        if line.content in contents:
            if not line.is_ours:
                raise Conflict(f"line {line.number} was not written by qmail-dk, so it stays; "
                               "remedy: remove it, and run make")
            del lines[line.number - 1]
    return b"\n".join(lines)
