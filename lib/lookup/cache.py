# SPDX-License-Identifier: MIT
"""Caches answers of the DNS in a process that verifies many messages."""

import contextlib
import fcntl
import os
import sys
import tempfile
import time

from .answer import Answer

# status of an Answer -> the most seconds that it is cached, whatever its TTL, because a
# withdrawn key must soon stop to count, and a new key must soon count.
LONGEST = {"found": 3600, "none": 300}

# For so long, a name whose servers don't answer is "temporary" at once: it delays no other
# message, and the client, which has more time, looks it up.
TEMPORARY = 5           # seconds

MOST_BYTES = 2 * 1024 * 1024    # of all answers; the least recently used is dropped first
LARGEST = 8192          # bytes of an answer; a key of 8192 bits takes a fifth of that
OVERHEAD = 400          # bytes of an answer's objects and dict entry, without name and records


class AnswerCache:
    """Answers as its resolver does, and from memory while an answer may be cached.

    resolver: an object with find(name, kind, deadline), as resolver.Resolver
    clock: function that returns seconds, as time.monotonic(); most: bytes to keep
    turns: Turns, limits how many processes wait for the DNS; None: no limit
    """

    def __init__(self, resolver, clock=time.monotonic, most=MOST_BYTES, turns=None):
        self.turns = turns
        self.resolver = resolver
        self.clock = clock
        self.most = most
        self.bytes = 0
        # (name, type): (Answer, clock() at its end), the last used at the end
        self.kept = {}

    def find(self, name, kind, deadline):
        """Returns the Answer for a domain name (bytes, lower case) and type, by the deadline.

        kind: of wire_format.KINDS (str); deadline: time.monotonic()
        """
        now = self.clock()
        asked = name, kind
        answer, until = self.take(asked) or (None, now)
        if now >= until:
            answer, until = self.ask(asked, deadline, now)
        if now < until and size(name, answer) <= LARGEST:
            self.kept[asked] = answer, until
            self.bytes += size(name, answer)
            while self.bytes > self.most:
                self.take(next(iter(self.kept)))
        return answer

    def ask(self, asked, deadline, now):
        """Asks the resolver.  Returns (Answer, the time of clock() until which it is kept).

        asked: (name, type)
        """
        with self.turns.taken() if self.turns else contextlib.nullcontext(True) as may_wait:
            if not may_wait:
                return Answer("temporary", [], "the others wait for the DNS"), now
            answer = self.resolver.find(*asked, deadline)
        if answer.status == "temporary":
            return answer, self.clock() + TEMPORARY
        return answer, now + min(answer.seconds, LONGEST[answer.status])

    def take(self, asked):
        """Removes the entry of a (name, type), and returns it or None."""
        found = self.kept.pop(asked, None)
        if found:
            self.bytes -= size(asked[0], found[0])
        return found


class Turns:
    """Limits how many of the processes that share it wait for the DNS at once: number of them.

    The processes without a turn still answer for the names in their memory.  A turn is
    a lock on a byte of a file, so that the kernel frees it if its process is killed.
    Raises OSError if no temporary file can be created.
    """

    def __init__(self, number):
        with tempfile.TemporaryFile() as file:
            self.file = os.dup(file.fileno())
        self.number = number

    def __del__(self):
        os.close(self.file)

    @contextlib.contextmanager
    def taken(self):
        """A context that holds a turn; it gives whether a turn was free."""
        mine = next(filter(self.is_free, range(self.number)), None)
        try:
            yield mine is not None
        finally:
            if mine is not None:
                fcntl.lockf(self.file, fcntl.LOCK_UN, 1, mine)

    def is_free(self, number):
        """Tries to take a turn.  Returns whether it was free."""
        try:
            fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except OSError:
            return False
        return True


def size(name, answer):
    """Returns the bytes of memory that an Answer and its name (bytes) take.

    Counts objects, because strangers choose the records: 200 empty ones take as much as
    a key of 8192 bits.
    """
    parts = [part for value in answer.values if isinstance(value, tuple) for part in value]
    return OVERHEAD + sum(map(sys.getsizeof, (name, answer.values, *answer.values, *parts)))
