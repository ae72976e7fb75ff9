# SPDX-License-Identifier: MIT
"""The target that evaluates SPF records."""

import zlib

from lib.verifying import spf, spf_record
from tests.support import spf_grammar
from tests.support.spf_zones import NOT_THERE, TIMEOUT, Answer

MOST_LOOKUPS = 111      # a record, and for each of 10 terms one and 10 hosts
ADDRESSES = {4: [bytes((192, 0, 2, 1)), bytes(4)], 16: [b"\xfe\x80" + bytes(14), bytes(16)]}


class AnyDns:
    """Answers all questions: to TXT with the records in turn, to others by the name's checksum.

    address: of the client; kind: a number that changes the answers
    """

    def __init__(self, records, address, kind):
        self.records = records
        self.address = address
        self.kind = kind
        self.asked = 0

    def find(self, name, kind):
        assert type(name) is bytes and name == name.lower()
        self.asked += 1
        if kind == "TXT":
            return Answer("found", [self.records[self.asked % len(self.records)]])
        number = zlib.crc32(name + kind.encode()) + self.kind
        if number % 7 < 3:
            return (NOT_THERE, TIMEOUT, Answer("none", [], "not a domain name"))[number % 7]
        hosts = [b"h%d.example.com" % host for host in range(number % 12)] + [name]
        return Answer("found", {
            "A": ADDRESSES[4][:number % 3], "AAAA": ADDRESSES[16][:number % 3],
            "MX": [(number % 3, host) for host in hosts], "PTR": hosts[::-1]}[kind])


def spf_evaluation(data):
    """Any records have a result: few look-ups, a reason of our words, the same if explained.

    A record is one for the parser if it is in the grammar of RFC 7208.  The input: a byte,
    then lines: sender, HELO name, records.
    """
    first, (sender, helo, *records) = data[:1], (data[1:] + b"\n\n\n").split(b"\n")
    kind = first[0] if first else 0
    address = ADDRESSES[16 if kind & 1 else 4][0]
    plain, explained = [AnyDns(records, address, kind) for _ in range(2)]
    result = spf.evaluate(address, sender, helo, plain.find)
    with_steps = spf.evaluate(address, sender, helo, explained.find, to_explain=True)
    assert result.status in spf_grammar.STATUSES
    assert plain.asked == explained.asked <= MOST_LOOKUPS
    assert plain.asked or (result.status, result.domain) == ("none", b"")
    assert spf_grammar.is_shown_safely(with_steps), with_steps.reason
    assert (result.status, result.reason) == (with_steps.status, with_steps.reason)
    for record in filter(spf_record.is_record, records):
        assert is_parsed(record) == spf_grammar.is_record(record.decode("latin-1"))


def is_parsed(record):
    try:
        spf_record.parse(record)
    except spf_record.Malformed:
        return False
    return True
