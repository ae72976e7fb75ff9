# SPDX-License-Identifier: MIT
"""Answers of the DNS are kept as long as they may be, and no longer."""

import contextlib
import os
import signal
import tracemalloc

import pytest

from lib.lookup import budget, cache as key_cache
from lib.lookup.answer import Answer
from tests.support import dns_server

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

    def find(self, name, kind, deadline):
        self.asked.append(name)
        return self.answers[name]


def cache_of(answer, **options):
    clock = Clock()
    told = Told({NAME: answer})
    return key_cache.AnswerCache(told, clock, **options), told, clock


FOUND = Answer("found", [b"p=AA"], "", 60)
LONG = Answer("found", [b"p=AA"], "", 2**31 - 1)
NONE = Answer("none", [], "NXDOMAIN", 60)
NONE_LONG = Answer("none", [], "NXDOMAIN", 86400)

# answer -> seconds that it is kept
KEPT = [(FOUND, 60), (LONG, 3600), (NONE, 60), (NONE_LONG, 300),
        (Answer("found", [b"p=AA"], "", 1), 1),
        (Answer("temporary", [], "timeout", 60), 5),
        (Answer("temporary", [], "SERVFAIL"), 5),
        (Answer("found", [b"x" * 4096], "", 60), 60),
        (Answer("found", [b"x" * 1500] * 3, "", 60), 60)]    # of three keys
NOT_KEPT = [Answer("found", [b"p=AA"], "", 0), Answer("none", [], "NXDOMAIN", 0),
            Answer("found", [b"x" * 8192], "", 60),
            Answer("found", [b"x" * 4096, b"x" * 4096], "", 60),
            Answer("found", [b""] * 512, "", 60)]


@pytest.mark.parametrize("answer, seconds", KEPT)
def test_kept_for_its_time(answer, seconds):
    cache, told, clock = cache_of(answer)
    for after in (0, 0, seconds - 0.5):
        clock.now = 1000 + after
        assert cache.find(NAME, "TXT", 0) is answer
    assert len(told.asked) == 1
    clock.now = 1000 + seconds
    assert cache.find(NAME, "TXT", 0) is answer
    assert len(told.asked) == 2
    clock.now += seconds - 0.5      # kept anew
    cache.find(NAME, "TXT", 0)
    assert len(told.asked) == 2


class Slow(Told):
    """Lets the clock go on by so many seconds."""

    def __init__(self, answer, clock, seconds):
        super().__init__({NAME: answer})
        self.clock, self.seconds = clock, seconds

    def find(self, name, kind, deadline):
        self.clock.now += self.seconds
        return super().find(name, kind, deadline)


def test_temporary_from_when_it_is_known():
    """Not from when it was asked: a dead server takes longer than it is remembered."""
    clock = Clock()
    told = Slow(Answer("temporary", [], "timeout"), clock, 10)
    cache = key_cache.AnswerCache(told, clock)
    cache.find(NAME, "TXT", 0)
    clock.now += 4
    cache.find(NAME, "TXT", 0)
    assert len(told.asked) == 1


@contextlib.contextmanager
def child_with(turns, number):
    """-> the number of a child process that has that turn and keeps it."""
    ready, told = os.pipe()
    child = os.fork()
    if not child:
        os.write(told, b"x" if turns.is_free(number) else b"")
        os.close(told)
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        signal.pause()
    try:
        assert os.read(ready, 1)
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(told)


def test_turns():
    """So many wait as may; one more has its memory, and no more.  A killed one's turn is free."""
    turns = key_cache.Turns(2)
    other = b"other._domainkey.example.com"
    told = Told({NAME: FOUND, other: LONG})
    cache = key_cache.AnswerCache(told, Clock(), turns=turns)
    assert cache.find(NAME, "TXT", 0) is FOUND
    with contextlib.ExitStack() as stack:
        for number in range(2):
            last = stack.enter_context(child_with(turns, number))
        assert cache.find(NAME, "TXT", 0) is FOUND
        answer = cache.find(other, "TXT", 0)
        assert (answer.status, answer.reason) == ("temporary", "the others wait for the DNS")
        assert told.asked == [NAME]
        os.kill(last, signal.SIGKILL)
        while not turns.is_free(1):
            pass
        assert cache.find(other, "TXT", 0) is LONG      # what was not asked is not remembered


@pytest.mark.parametrize("answer", NOT_KEPT)
def test_not_kept(answer):
    cache, told, _ = cache_of(answer)
    assert [cache.find(NAME, "TXT", 0) for _ in range(3)] == [answer] * 3
    assert len(told.asked) == 3 and not cache.kept


def test_the_one_not_asked_for_goes():
    names = [b"%d.example" % number for number in range(4)]
    told = Told(dict.fromkeys(names, FOUND))
    most = 3 * key_cache.size(names[0], FOUND)
    cache = key_cache.AnswerCache(told, Clock(), most=most)
    for name in (*names[:3], names[0], names[3]):
        cache.find(name, "TXT", 0)
    told.asked.clear()
    for name in (names[0], names[2], names[3], names[1]):
        cache.find(name, "TXT", 0)
    assert told.asked == [names[1]]


# What strangers may have at a name: records of so many bytes each.
RECORDS = {"a key": [390], "a large key": [1500], "two": [400, 400], "one that is empty": [0],
           "100 empty ones": [0] * 100, "256 of a byte": [1] * 256, "some of each": [0, 9, 99, 999]}


class Strangers:
    """Has records for each name, no two the same object."""

    def __init__(self, sizes):
        self.sizes = sizes
        self.count = 0

    def find(self, name, kind, deadline):
        self.count += 1
        return Answer("found", [b"%d" % self.count + bytes(size) for size in self.sizes],
                         "", 3600)


@pytest.mark.parametrize("records", RECORDS)
def test_memory_is_bounded(records):
    """Whatever the records are."""
    cache = key_cache.AnswerCache(Strangers(RECORDS[records]), Clock())
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(6000):
            cache.find(b"%d.example" % number, "TXT", 0)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert taken < 1.1 * 2 * 1024 * 1024
    if records in ("a key", "two"):     # and it is of use
        assert taken > 1024 * 1024


def test_what_is_asked_for_anew_counts_once():
    cache, _, clock = cache_of(FOUND)
    for _ in range(10):
        cache.find(NAME, "TXT", 0)
        clock.now += 61
    assert cache.bytes == key_cache.size(NAME, FOUND) and len(cache.kept) == 1


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
    with dns_server.Living(zone, seconds, soa) as server:
        answer = budget.Lookups(server.address, 20).find(NAME)
    assert (answer.status, answer.seconds) == (status, expected)
