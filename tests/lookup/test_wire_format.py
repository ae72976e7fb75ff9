# SPDX-License-Identifier: MIT
"""Answers of the DNS as bytes: what is left of them for dnspython, and what they cost."""

import struct
import time

import dnslib
import pytest

from lib.lookup import budget, wire_format
from tests.support.wire_answers import (
    AMONG_OTHERS, ASKED, CNAME, GOOD, HEADER, LARGEST, MALFORMED, NAME, OPT, QUESTION, SOUND, TXT,
    UNKNOWN, Raw, answer, ask, record, string,
)


@pytest.mark.parametrize("case", AMONG_OTHERS)
def test_one_malformed_record(case):
    wire, expected = AMONG_OTHERS[case]
    found = ask(wire)
    if expected == 1:
        assert (found.status, found.values) == ("found", [b"v=DKIM1; p=AA"])
    else:
        assert (found.status, found.reason) == ("temporary", expected)


@pytest.mark.parametrize("kind", MALFORMED)
def test_one_malformed_record_of_another_type(kind):
    name, sound = wire_format.NAMES[kind], record(kind, SOUND[kind])
    value = ask(answer(sound, asked=kind), name).values
    assert len(value) == 1
    for data in MALFORMED[kind]:
        found = ask(answer(record(kind, data), sound, record(TXT, b""), asked=kind), name)
        assert (found.status, found.values) == ("found", value)
        found = ask(answer(record(kind, data), asked=kind), name)
        assert (found.status, found.reason) == ("temporary", f"malformed {name} record")


@pytest.mark.parametrize("more, status", [(0, "found"), (1, "temporary")])
def test_2048_strings_in_a_record(more, status):
    assert ask(answer(record(TXT, b"\1x" * 2047 + b"\0" * (1 + more)))).status == status


def test_extended_response_code():
    """Its upper bits are in the OPT record: 16 is BADVERS, also where there is a record."""
    found = ask(answer(GOOD, additional=[record(OPT, b"", b"\0", 1232, 1 << 24)]))
    assert (found.status, found.reason) == ("temporary", "BADVERS")


HONEST = {
    "none": [],
    "strings": ['{name} 60 TXT "v=DKIM1;" " p=" ""', '{name} 9 TXT "x"'],
    "long": ["{name} 60 TXT " + " ".join(f'"{"x" * size}"' for size in (255, 1, 254, 255))],
    "aliases": ["{name} 60 CNAME a.example.com", "a.example.com 30 CNAME b.a.example.com",
                'b.a.example.com 20 TXT "x"'],
    "others": ['{name} 60 TXT "x"', "{name} 60 A 192.0.2.1", "{name} 60 MX 5 mx.example.com"],
}


@pytest.mark.parametrize("case", HONEST)
def test_what_is_left(case):
    """dnslib reads the same TXT and CNAME records, and the time of the SOA record."""
    reply = QUESTION.reply()
    for line in HONEST[case]:
        reply.add_answer(*dnslib.RR.fromZone(line.format(name=NAME)))
    reply.add_auth(*dnslib.RR.fromZone(
        "example.com 600 SOA ns.example.com me.example.com 1 2 3 4 5"))
    reply.add_ar(*dnslib.RR.fromZone("ns.example.com 600 A 192.0.2.1"))
    found = wire_format.read(reply.pack())
    assert (found.flags, found.code, found.absence) == (reply.header.bitmap, 0, 5)
    assert sorted(map(repr, found.records)) == sorted(
        repr(meaning(rr)) for rr in reply.rr if rr.rtype in (TXT, CNAME))


def meaning(rr):
    """A resource record of dnslib as one of Response.records."""
    value = b"".join(rr.rdata.data) if rr.rtype == TXT else wire(rr.rdata.label)
    return wire(rr.rname), rr.rtype, rr.ttl, value


def wire(label):
    """A dnslib.DNSLabel in wire format."""
    buffer = dnslib.DNSBuffer()
    buffer.encode_name_nocompress(label)
    return bytes(buffer.data)


def filled(records, text=b"x" * 238):
    """The records, and as many TXT records as an answer may have behind them."""
    wire = answer(*records)
    texts = [record(TXT, string(b"%03d" % number + text))
             for number in range(min(255 - len(records), (LARGEST - len(wire)) // 254))]
    return answer(*records, *texts)


def chained(length, first=ASKED):
    """A record whose data are first and pointers, each to what is before, length in all.

    And records named by a pointer to the last.
    """
    start = HEADER + 12
    starts = [start, *range(start + len(first), start + len(first) + 2 * (length - 1), 2)]
    data = first + b"".join(struct.pack(">H", 0xc000 | at) for at in starts[:-1])
    last = struct.pack(">H", 0xc000 | starts[-1])
    return answer(record(UNKNOWN, data),
                  *[record(TXT, string(b"x" * 100), last) for _ in range(254)])


@pytest.mark.parametrize("length, reason", [(126, "no TXT record"), (127, "malformed name")])
def test_127_pointers_in_a_name(length, reason):
    """One that is in the record, and those of the chain, which ends at another name."""
    assert ask(chained(length, b"\1x" + ASKED)).reason == reason


# Each of nearly the most bytes that an answer has, or with the most records.
COSTLY = {
    "a chain of 8000 pointers": chained(8000),
    "a chain of 120 pointers": chained(120),
    "strings without a byte": answer(record(TXT, bytes(65_000))),
    "records of many types": answer(*[record(UNKNOWN + number % 200, b"x" * 240, group=2 + number)
                                      for number in range(255)]),
    "long names": answer(*[record(TXT, b"\1x", string(b"%d" % number) + 111 * b"\1a" + ASKED)
                           for number in range(250)]),
}


@pytest.mark.parametrize("case", COSTLY)
def test_cost(case):
    """No more than ten times that of an honest answer of the largest size."""
    honest = filled([])
    assert len(honest) > 64_000 and len(COSTLY[case]) <= LARGEST
    assert cpu_seconds(COSTLY[case]) < 10 * cpu_seconds(honest)


def cpu_seconds(wire):
    """The least CPU time of three look-ups, without the server's."""
    seconds = []
    for _ in range(3):
        with Raw(wire) as server:
            dns = budget.Lookups(server.address, 20)
            started = time.thread_time()
            dns.find(NAME.encode())
            seconds.append(time.thread_time() - started)
    return min(seconds)
