# SPDX-License-Identifier: MIT
"""Answers of the DNS are kept as long as they may be, and no longer."""

import dnslib
import pytest

from lib import key_cache, lookups
from lib.results import TxtAnswer
from tests import dns_server

NAME = b"sel._domainkey.example.com"


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


class Told:
    """Answers like a resolver, from a dict; counts in asked."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []

    def txt(self, name, deadline):
        self.asked.append(name)
        return self.answers[name]


def cache_of(answer, **options):
    clock = Clock()
    told = Told({NAME: answer})
    return key_cache.KeyCache(told, clock, **options), told, clock


FOUND = TxtAnswer("found", [b"p=AA"], "", 60)
LONG = TxtAnswer("found", [b"p=AA"], "", 2**31 - 1)
NONE = TxtAnswer("none", [], "NXDOMAIN", 60)
NONE_LONG = TxtAnswer("none", [], "NXDOMAIN", 86400)

# answer -> seconds that it is kept
KEPT = [(FOUND, 60), (LONG, 3600), (NONE, 60), (NONE_LONG, 300),
        (TxtAnswer("found", [b"p=AA"], "", 1), 1),
        (TxtAnswer("found", [b"x" * 4096], "", 60), 60)]
NOT_KEPT = [TxtAnswer("found", [b"p=AA"], "", 0), TxtAnswer("none", [], "NXDOMAIN", 0),
            TxtAnswer("temporary", [], "timeout", 60), TxtAnswer("temporary", [], "SERVFAIL"),
            TxtAnswer("found", [b"x" * 4097], "", 60),
            TxtAnswer("found", [b"x" * 2048, b"x" * 2049], "", 60)]


@pytest.mark.parametrize("answer, seconds", KEPT)
def test_kept_for_its_time(answer, seconds):
    cache, told, clock = cache_of(answer)
    for after in (0, 0, seconds - 0.5):
        clock.now = 1000 + after
        assert cache.txt(NAME, 0) is answer
    assert len(told.asked) == 1
    clock.now = 1000 + seconds
    assert cache.txt(NAME, 0) is answer
    assert len(told.asked) == 2
    clock.now += seconds - 0.5      # kept anew
    cache.txt(NAME, 0)
    assert len(told.asked) == 2


@pytest.mark.parametrize("answer", NOT_KEPT)
def test_not_kept(answer):
    cache, told, _ = cache_of(answer)
    assert [cache.txt(NAME, 0) for _ in range(3)] == [answer] * 3
    assert len(told.asked) == 3 and not cache.kept


def test_the_one_not_asked_for_goes():
    names = [b"%d.example" % number for number in range(4)]
    told = Told(dict.fromkeys(names, FOUND))
    cache = key_cache.KeyCache(told, Clock(), most=3)
    for name in (*names[:3], names[0], names[3]):
        cache.txt(name, 0)
    told.asked.clear()
    for name in (names[0], names[2], names[3], names[1]):
        cache.txt(name, 0)
    assert told.asked == [names[1]]


def test_bounded():
    told = Told({b"%d.example" % number: FOUND for number in range(5000)})
    cache = key_cache.KeyCache(told, Clock())
    for name in told.answers:
        cache.txt(name, 0)
    assert len(cache.kept) == key_cache.MOST < 5000


class Living(dns_server.DnsServer):
    """Gives times to live: to each record in turn, and to what is not there."""

    def __init__(self, zone, seconds, soa=None):
        super().__init__(zone)
        self.seconds, self.soa = seconds, soa

    def reply(self, query, value):
        reply = super().reply(query, value)
        for record, seconds in zip(reply.rr, self.seconds):
            record.ttl = seconds
        if self.soa:
            ttl, minimum = self.soa
            reply.add_auth(dnslib.RR("example.com", dnslib.QTYPE.SOA, ttl=ttl, rdata=dnslib.SOA(
                "ns.example.com", "host.example.com", (1, 2, 3, 4, minimum))))
        return reply


ALIAS = {NAME.decode(): {"cname": "other.example"}, "other.example": ["p="]}
ALONE = {NAME.decode(): {"cname": "other.example", "alone": True}, "other.example": ["p="]}
TO_NOTHING = {NAME.decode(): {"cname": "other.example"}}

# zone, TTLs, SOA's TTL and minimum -> status, seconds
TIMES = {
    "record": ({NAME.decode(): ["p="]}, (77,), None, "found", 77),
    "the shortest of two": ({NAME.decode(): ["p=", "q="]}, (77, 66), None, "found", 66),
    "alias is shorter": (ALIAS, (5, 77), None, "found", 5),
    "alias is longer": (ALIAS, (77, 5), None, "found", 5),
    "alias asked for again": (ALONE, (9,), None, "found", 9),
    "SOA besides a record": ({NAME.decode(): ["p="]}, (77,), (3, 3), "found", 77),
    "nothing, no SOA": ({}, (), None, "none", 0),
    "nothing, minimum": ({}, (), (900, 60), "none", 60),
    "nothing, TTL of the SOA": ({}, (), (50, 60), "none", 50),
    "no TXT": ({NAME.decode(): {"rcode": "NOERROR"}}, (), (900, 60), "none", 60),
    "alias to nothing": (TO_NOTHING, (20,), (900, 60), "none", 20),
    "SERVFAIL": ({NAME.decode(): {"rcode": "SERVFAIL"}}, (), (900, 60), "temporary", 0),
}


@pytest.mark.parametrize("case", TIMES)
def test_times_to_live(case):
    zone, seconds, soa, status, expected = TIMES[case]
    with Living(zone, seconds, soa) as server:
        answer = lookups.Lookups(server.address, 20).txt(NAME)
    assert (answer.status, answer.seconds) == (status, expected)
