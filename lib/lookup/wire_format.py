# SPDX-License-Identifier: MIT
"""Writes DNS queries, and reads the records that a look-up needs from an answer: RFC 1035
section 4.

dnspython would read all records: each costs time, a malformed one of any type invalidates
the answer, and before 2.9 a name may lead it through any number of compression pointers.
To import its messages takes half the CPU time of a verified message.  It is the judge in
tests/fuzz.  Names are in wire format here: labels with their lengths in front, in lower
case, without pointers.
"""

import posix
import struct

HEADER = struct.Struct(">6H")       # identifier, flags, four counts (section 4.1.1)
QUESTION = struct.Struct(">HH")     # type, class
RECORD = struct.Struct(">HHIH")     # type, class, TTL, length of the data (section 4.1.3)
PREFERENCE = struct.Struct(">H")    # of an MX record, before the name (section 3.3.9)
SOA_END = struct.Struct(">5I")      # of an SOA record, behind its two names (section 3.3.13)
OPT_RECORD = struct.Struct(">BHHIH")    # the root's name, then as RECORD (RFC 6891 section 6.1.2)
CNAME, SOA, TXT, OPT, IN = 5, 6, 16, 41, 1
A, NS, PTR, MX, AAAA = 1, 2, 12, 15, 28

# The types that are looked up (section 3.2.2, RFC 3596 section 2.1).
KINDS = {"TXT": TXT, "A": A, "AAAA": AAAA, "MX": MX, "PTR": PTR, "NS": NS}
NAMES = {number: name for name, number in KINDS.items()}
ADDRESS_LENGTHS = {A: 4, AAAA: 16}

# Bits of the header (section 4.1.1)
RESPONSE, OPCODE, AUTHORITATIVE, TRUNCATED = 0x8000, 0x7800, 0x0400, 0x0200
RECURSION_DESIRED, RECURSION_AVAILABLE, CODE = 0x0100, 0x0080, 0x000f

# Response codes (section 4.1.1; RFC 6891 section 9)
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16
CODES = {NOERROR: "NOERROR", FORMERR: "FORMERR", SERVFAIL: "SERVFAIL", NXDOMAIN: "NXDOMAIN",
         NOTIMP: "NOTIMP", REFUSED: "REFUSED", BADVERS: "BADVERS"}
WITHOUT_QUESTION = (FORMERR, SERVFAIL, NOTIMP, REFUSED)     # may come without the question

MOST_RECORDS = 256
MOST_ALIASES = 9        # CNAME records: one more than the resolver follows
MOST_STRINGS = 2048     # of a TXT record: empty ones have a meaning, but cost time
MOST_POINTERS = 127     # of a name: each useful one leads to another label (section 2.3.4)
LONGEST_NAME = 255      # bytes (section 2.3.4)
LONGEST_TIME = 2**31 - 1    # seconds; RFC 2181 section 8: more counts as none


class Malformed(Exception):
    """An answer is not in the format, or has too many records; the text says why."""


class Query:
    """A query for the records of a name in wire format and a type (str of KINDS).

    payload: bytes of a datagram that can be received (RFC 6891 section 6.2.3); 0: no EDNS
    flags: RECURSION_DESIRED of a resolver, 0 of a name server
    wire: all of it, with a new random identifier
    """

    __slots__ = ("name", "kind", "payload", "flags", "question", "wire")

    def __init__(self, name, kind, payload, flags=RECURSION_DESIRED):
        self.name = name
        self.kind = kind
        self.payload = payload
        self.flags = flags
        self.question = name + QUESTION.pack(KINDS[kind], IN)
        identifier = int.from_bytes(posix.urandom(2), "big")
        self.wire = HEADER.pack(identifier, flags, 1, 0, 0, bool(payload)) + self.question
        if payload:
            self.wire += OPT_RECORD.pack(0, OPT, payload, 0, 0)

    def without_edns(self):
        """Returns the same Query with a new identifier and no OPT record."""
        return Query(self.name, self.kind, 0, self.flags)

    def is_answered_by(self, wire):
        """Returns whether bytes are a response with the identifier and the question.

        The question may be missing if the server did not understand the query.
        """
        if len(wire) < HEADER.size or wire[:2] != self.wire[:2]:
            return False
        _, flags, questions, *_ = HEADER.unpack_from(wire)
        if not flags & RESPONSE or flags & OPCODE or questions > 1:
            return False
        if not questions:
            return flags & CODE in WITHOUT_QUESTION
        return wire[HEADER.size:HEADER.size + len(self.question)].lower() == self.question


class Response:
    """The parts of a DNS answer that count.

    flags: int, of the header; code: the extended response code, whose upper bits are in the
    OPT record (RFC 6891 section 6.1.3)
    records: list of (name, type, seconds, value), the CNAME records and those of the type
    asked for; value: as in answer.Answer, of a CNAME record the name that it leads to
    absence: seconds for which a negative answer may be cached, 0 without an SOA record (RFC
    2308 section 5)
    referrals: the NS records of the authority section, as records, of an answer that has
    nothing else and is not authoritative (section 4.1; RFC 1034 section 4.3.2)
    """

    __slots__ = ("flags", "code", "records", "absence", "referrals")

    def __init__(self, flags, code, records, absence, referrals=()):
        self.flags = flags
        self.code = code
        self.records = records
        self.absence = absence
        self.referrals = referrals

    def values(self, name, kind):
        """Returns the values of a name and type (number) in the answer: list, each once."""
        return list(dict.fromkeys(value for owner, found, _, value in self.records
                                  if (owner, found) == (name, kind)))


def read(wire):
    """Returns the Response in bytes.  Raises Malformed."""
    try:
        return Reader(wire).response()
    except (struct.error, IndexError) as error:
        raise Malformed("malformed answer") from error


def wire_name(name):
    """Returns a name in text (bytes, lower case, labels of at most 63 bytes) in wire format."""
    return b"".join(bytes((len(label),)) + label for label in name.split(b".")) + b"\0"


def text(name):
    """Returns a name in wire format as text (bytes), without the final dot but the root's.

    A dot within a label is escaped, so that it is another name.
    """
    labels = []
    at = 0
    while name[at]:
        labels.append(name[at + 1:at + 1 + name[at]].replace(b".", b"\\."))
        at += 1 + name[at]
    return b".".join(labels) or b"."


class Reader:
    """An answer's bytes, and the offset up to which they are read."""

    def __init__(self, wire):
        self.wire = wire
        self.at = 0
        self.names = {}     # offset of a name: (the name, the offset of its end)

    def response(self):
        """See read().  Also raises struct.error and IndexError if bytes are missing."""
        _, flags, questions, *counts = self.unpack(HEADER)
        if questions + sum(counts) > MOST_RECORDS:
            raise Malformed(f"an answer of more than {MOST_RECORDS} records")
        asked = [(self.name(), *self.unpack(QUESTION)) for _ in range(questions)]
        answers, authority, additional = [[self.record() for _ in range(count)]
                                          for count in counts]
        code = flags & CODE
        for kind, _, seconds, _, _, _ in additional:
            code |= seconds >> 24 << 4 if kind == OPT else 0
        return Response(flags, code, self.wanted(answers, asked[0][1] if asked else None),
                        self.absence(authority),
                        self.referrals(authority) if not answers and not flags & AUTHORITATIVE
                        else ())

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
        """Returns Response.records.  Raises Malformed.

        asked: number of the type, or None.  A malformed record of that type is left out,
        unless there is no other.
        """
        aliases = [record for record in answers if is_a(record, CNAME)]
        if len(aliases) > MOST_ALIASES:
            raise Malformed(f"an answer of more than {MOST_ALIASES} CNAME records")
        wanted = [record for record in answers if asked in NAMES and is_a(record, asked)]
        found = list(filter(None, map(self.valued, wanted)))
        if wanted and not found:
            raise Malformed(f"malformed {NAMES[asked]} record")
        found += map(self.valued, aliases)
        if None in found:
            raise Malformed("malformed answer")
        return found

    def valued(self, record):
        """Returns an element of Response.records, None if the record is malformed."""
        kind, _, seconds, name, self.at, end = record
        try:
            value = self.value(kind, end)
        except (Malformed, struct.error, IndexError):
            return None
        if self.at != end:
            return None
        return name, kind, seconds if seconds <= LONGEST_TIME else 0, value

    def value(self, kind, end):
        """Reads the data of a record up to end.  Also raises struct.error, IndexError."""
        if kind == TXT:
            return self.joined_strings(end)
        if kind in ADDRESS_LENGTHS:
            start, self.at = self.at, self.at + ADDRESS_LENGTHS[kind]
            return self.wire[start:self.at]
        if kind == MX:
            preference, = self.unpack(PREFERENCE)
            return preference, text(self.name())
        return text(self.name()) if kind in (PTR, NS) else self.name()

    def joined_strings(self, end):
        """Reads the strings of a TXT record, one at least (section 3.3.14).  Raises Malformed.

        Only the joined strings have a meaning (RFC 6376 section 3.6.2.2).
        """
        strings = []
        while not strings or self.at < end:
            start = self.at + 1
            self.at = start + self.wire[self.at]
            strings.append(self.wire[start:self.at])
            if len(strings) > MOST_STRINGS:
                raise Malformed("malformed TXT record")
        return b"".join(strings)

    def referrals(self, authority):
        """Returns Response.referrals by the records of the authority section."""
        return list(filter(None, [self.valued(record) for record in authority
                                  if is_a(record, NS)]))

    def absence(self, authority):
        """Returns Response.absence by the records of the authority section.  Raises Malformed."""
        for kind, group, seconds, _, start, end in authority:
            if (kind, group) == (SOA, IN):
                self.at = start
                self.name(), self.name()
                *_, minimum = self.unpack(SOA_END)
                if self.at != end:
                    raise Malformed("malformed answer")
                return min(seconds if seconds <= LONGEST_TIME else 0, minimum)
        return 0

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
                return b"".join(labels).lower(), end or at


def is_a(record, kind):
    """Returns whether a record of Reader.record() has the type, in the class IN."""
    return record[:2] == (kind, IN)
