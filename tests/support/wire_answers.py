# SPDX-License-Identifier: MIT
"""DNS answers made byte by byte, with a malformed record among others."""

import struct

import dnslib

from lib.lookup import budget
from tests.support import dns_server

NAME = "s._domainkey.example.com"
QUESTION = dnslib.DNSRecord.question(NAME, "TXT")
WIRE_NAME = b"\1s\x0a_domainkey\7example\3com\0"
ASKED = b"\xc0\x0c"         # a pointer to the name in the question
TXT, CNAME, SOA, NS, RRSIG, OPT, UNKNOWN = 16, 5, 6, 2, 46, 41, 65300
A, AAAA, MX, PTR = 1, 28, 15, 12
HEADER = 12 + len(WIRE_NAME) + 4    # bytes before the first record
LARGEST = 65535


def answer(*records, authority=(), additional=(), flags=0x8180, asked=TXT):
    """Returns the bytes of an answer to QUESTION, or to one for another type; records: bytes."""
    counts = 1, len(records), len(authority), len(additional)
    return (struct.pack(">6H", QUESTION.header.id, flags, *counts)
            + WIRE_NAME + struct.pack(">HH", asked, 1)
            + b"".join([*records, *authority, *additional]))


def record(kind, data, owner=ASKED, group=1, seconds=60):
    return owner + struct.pack(">HHIH", kind, group, seconds, len(data)) + data


def string(text):
    return bytes((len(text),)) + text


GOOD = record(TXT, string(b"v=DKIM1; p=AA"))
SOA_DATA = b"\2ns" + ASKED + b"\2me" + ASKED + bytes(16) + b"\0\0\1\x2c"


class Raw(dns_server.DnsServer):
    """A DnsServer that gives some bytes for an answer, over TCP."""

    def __init__(self, wire):
        super().__init__({NAME: {"lie": "truncated"}})
        self.wire = wire

    def answers(self, data, transport):
        if transport == "udp":
            return super().answers(data, transport)
        return [data[:2] + self.wire[2:]]


def ask(wire, kind="TXT"):
    with Raw(wire) as server:
        found = budget.Lookups(server.address, 20).find(NAME.encode(), kind)
        assert {transport for transport, _, _ in server.asked} == {"udp"}
    return found


# {what else is in the answer: the texts, or the reason why there are none now}
AMONG_OTHERS = {
    "an empty TXT record": (answer(record(TXT, b""), GOOD), 1),
    "a TXT record whose string ends behind it": (answer(record(TXT, b"\5abc"), GOOD), 1),
    "a TXT record of another class": (answer(record(TXT, b"", group=3), GOOD), 1),
    "a malformed address": (answer(GOOD, additional=[record(A, b"\x7f")]), 1),
    "a malformed signature": (answer(GOOD, record(RRSIG, b"\0\x10")), 1),
    "a name server that is no name": (answer(GOOD, authority=[record(NS, b"\x80")]), 1),
    "an OPT record with a malformed option": (
        answer(GOOD, additional=[record(OPT, b"\0\x0a\0\7x", b"\0", 1232, 0)]), 1),
    "an OPT record in the wrong place": (answer(record(OPT, b"", b"\0", 1232, 0), GOOD), 1),
    "nothing but malformed TXT records": (answer(record(TXT, b""), record(TXT, b"\5abc")),
                                          "malformed TXT record"),
    "a name of over 255 bytes": (
        answer(GOOD, record(TXT, b"\1x", 4 * string(b"a" * 62) + ASKED)), "malformed name"),
    "a name that points ahead": (answer(GOOD, record(TXT, b"\1x", b"\xc0\xff")), "malformed name"),
    "a name that points to itself": (
        answer(record(TXT, b"\1x", struct.pack(">H", 0xc000 | HEADER)), GOOD), "malformed name"),
    "a label of an unknown kind": (answer(GOOD, record(TXT, b"\1x", b"\x41a\0")), "malformed name"),
    "an alias with something behind its name": (answer(record(CNAME, ASKED + b"x"), GOOD),
                                                "malformed answer"),
    "a record cut short": (answer(GOOD, GOOD)[:-1], "malformed answer"),
    "a record that is not there": (answer(GOOD, GOOD)[:-len(GOOD)], "malformed answer"),
    "ten aliases": (answer(*[record(CNAME, string(b"%d" % number) + ASKED)
                             for number in range(10)]), "an answer of more than 9 CNAME records"),
}

SOUND = {A: b"\x7f\0\0\1", AAAA: bytes(15) + b"\1", MX: b"\0\1" + ASKED, PTR: ASKED}

# type: data that are none of that type's
MALFORMED = {
    A: [b"", b"\x7f\0\0", b"\x7f\0\0\1\1"],
    AAAA: [b"\x7f\0\0\1", bytes(17)],
    MX: [b"", b"\0\1", ASKED, b"\0\1" + ASKED + b"x", b"\0\1\xc0\xff", b"\0\1\x41a\0"],
    PTR: [b"", ASKED + b"\0", b"\xc0\xff", b"\3ab"],
}
