# SPDX-License-Identifier: MIT
"""Reduces a DNS answer to the records that a look-up needs, before dnspython reads it.

A name may continue at a pointer to earlier bytes (RFC 1035 section 4.1.4), and
dnspython before 2.9 follows chains of pointers of any length.  The rewritten answer has
no pointers, and only CNAME and SOA records and those of the type asked for, so that no
other record costs time or, if it is malformed, invalidates the answer.
"""

import struct

HEADER = struct.Struct(">6H")       # identifier, flags, four counts (RFC 1035 section 4.1.1)
QUESTION = struct.Struct(">HH")     # type, class
RECORD = struct.Struct(">HHIH")     # type, class, TTL, length of the data (section 4.1.3)
CNAME, SOA, TXT, OPT, IN = 5, 6, 16, 41, 1

# The types that are looked up (section 3.2.2, RFC 3596 section 2.1).
KINDS = {"A": 1, "PTR": 12, "MX": 15, "TXT": TXT, "AAAA": 28}
NAMES = {number: name for name, number in KINDS.items()}

# Type -> (bytes before the names in its data, number of names, bytes after them); section 3.3.
LAYOUTS = {CNAME: (0, 1, 0), SOA: (0, 2, 20), KINDS["A"]: (4, 0, 0), KINDS["AAAA"]: (16, 0, 0),
           KINDS["MX"]: (2, 1, 0), KINDS["PTR"]: (0, 1, 0)}

MOST_RECORDS = 256
MOST_ALIASES = 9        # CNAME records: one more than the resolver follows
MOST_POINTERS = 127     # of a name: each useful one leads to another label (section 2.3.4)
LONGEST_NAME = 255      # bytes (section 2.3.4)


class Malformed(Exception):
    """An answer is not in the format, or has too many records; the text says why."""


def rewritten(wire):
    """Returns (the rewritten answer, its extended response code).  Raises Malformed.

    wire: the answer (bytes).  The code's upper bits are in the OPT record (RFC 6891
    section 6.1.3), which is left out with the whole additional section.
    """
    try:
        return Answer(wire).rewritten()
    except (struct.error, IndexError) as error:
        raise Malformed("malformed answer") from error


class Answer:
    """An answer's bytes, and the offset up to which they are read."""

    def __init__(self, wire):
        self.wire = wire
        self.at = 0
        self.names = {}     # offset of a name: (the name, the offset of its end)

    def rewritten(self):
        """See rewritten().  Also raises struct.error and IndexError if bytes are missing."""
        identifier, flags, questions, *counts = self.unpack(HEADER)
        if questions + sum(counts) > MOST_RECORDS:
            raise Malformed(f"an answer of more than {MOST_RECORDS} records")
        asked = [(self.name(), *self.unpack(QUESTION)) for _ in range(questions)]
        answers, authority, additional = [[self.record() for _ in range(count)]
                                          for count in counts]
        answers = self.wanted(answers, asked[0][1] if asked else None)
        # One SOA record shows how long a negative answer is valid (RFC 2308 section 3).
        authority = [self.required(record) for record in authority if is_a(record, SOA)][:1]
        code = flags & 15
        for kind, _, seconds, _, _, _ in additional:
            code |= seconds >> 24 << 4 if kind == OPT else 0
        parts = [HEADER.pack(identifier, flags, len(asked), len(answers), len(authority), 0)]
        parts += [name + QUESTION.pack(kind, group) for name, kind, group in asked]
        return b"".join(parts + answers + authority), code

    def unpack(self, form):
        values = form.unpack_from(self.wire, self.at)
        self.at += form.size
        return values

    def record(self):
        """Reads a record: (type, class, TTL, name, start of its data, end).  Raises Malformed."""
        name = self.name()
        kind, group, seconds, length = self.unpack(RECORD)
        start, self.at = self.at, self.at + length
        if self.at > len(self.wire):
            raise Malformed("malformed answer")
        return kind, group, seconds, name, start, self.at

    def wanted(self, answers, asked):
        """Returns the CNAME records and those of the type asked for, written.  Raises Malformed.

        asked: number of the type, or None.  A malformed record of that type is left out,
        unless there is no other.
        """
        aliases = [record for record in answers if is_a(record, CNAME)]
        if len(aliases) > MOST_ALIASES:
            raise Malformed(f"an answer of more than {MOST_ALIASES} CNAME records")
        wanted = [record for record in answers if asked in NAMES and is_a(record, asked)]
        write = self.written_text if asked == TXT else self.written
        written = list(map(write, wanted))
        sound = [record for record in written if record]
        if written and not sound:
            raise Malformed(f"malformed {NAMES[asked]} record")
        return [self.required(record) for record in aliases] + sound

    def required(self, record):
        """Returns a record, written.  Raises Malformed if that can't be done."""
        written = self.written(record)
        if not written:
            raise Malformed("malformed answer")
        return written

    def written_text(self, record):
        """Returns a TXT record (bytes), or None if its data are not one or more strings.

        RFC 1035 section 3.3.14.  Only the joined strings have a meaning (RFC 6376 section
        3.6.2.2), so the text is split anew, into few strings.
        """
        kind, group, seconds, name, at, end = record
        strings = []
        while at < end:
            after = at + 1 + self.wire[at]
            strings.append(self.wire[at + 1:after])
            at = after
        if at != end or not strings:
            return None
        text = b"".join(strings)
        pieces = [text[start:start + 255] for start in range(0, len(text), 255)] or [b""]
        data = b"".join(bytes((len(piece),)) + piece for piece in pieces)
        return name + RECORD.pack(kind, group, seconds, len(data)) + data

    def written(self, record):
        """Returns a record of LAYOUTS (bytes) without pointers, or None if it is malformed."""
        kind, group, seconds, name, start, end = record
        before, names, after = LAYOUTS[kind]
        self.at = start + before
        try:
            found = [self.name() for _ in range(names)]
        except (Malformed, IndexError):
            return None
        if self.at + after != end:
            return None
        data = self.wire[start:start + before] + b"".join(found) + self.wire[self.at:end]
        return name + RECORD.pack(kind, group, seconds, len(data)) + data

    def name(self):
        """Reads the name at the offset; returns it without pointers.  Raises Malformed."""
        start = self.at
        if start not in self.names:
            self.names[start] = self.read_name()
        name, self.at = self.names[start]
        return name

    def read_name(self):
        """Returns (the name without pointers, the offset of its end).  Raises Malformed."""
        at, end = self.at, None
        labels, length, pointers = [], 0, 0
        while True:
            size = self.wire[at]
            if size >= 0xc0:
                target = (size & 0x3f) << 8 | self.wire[at + 1]
                end = end or at + 2
                pointers += 1
                if target >= at or pointers > MOST_POINTERS:
                    raise Malformed("malformed name")
                at = target
                continue
            labels.append(self.wire[at:at + 1 + size])
            length += 1 + size
            if size >= 0x40 or length > LONGEST_NAME:
                raise Malformed("malformed name")
            at += 1 + size
            if not size:
                return b"".join(labels), end or at


def is_a(record, kind):
    """Returns whether a record of Answer.record() has the type, in the class IN."""
    return record[:2] == (kind, IN)
