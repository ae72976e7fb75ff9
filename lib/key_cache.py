# SPDX-License-Identifier: MIT
"""Keeps answers of the DNS for a process that verifies many messages."""

import time

# status of a TxtAnswer -> seconds that it is kept at most, whatever its TTL: a
# key that is withdrawn must stop to count, a new one must begin to.
LONGEST = {"found": 3600, "none": 300, "temporary": 0}

MOST = 2000             # answers; the one that was asked for longest ago goes first
LARGEST = 4096          # bytes of records: a key of 8192 bits has a third


class KeyCache:
    """Answers as its resolver does, and from memory while an answer may be kept.

    resolver: has txt(name, deadline), as resolver.Resolver
    clock: function -> seconds, as time.monotonic(); most: answers to keep
    """

    def __init__(self, resolver, clock=time.monotonic, most=MOST):
        self.resolver = resolver
        self.clock = clock
        self.most = most
        self.kept = {}          # name: (TxtAnswer, until when), the last one used at the end

    def txt(self, name, deadline):
        """The TxtAnswer for a domain name (bytes, lower case), by the deadline."""
        now = self.clock()
        answer, until = self.kept.pop(name, (None, now))
        if now >= until:
            answer = self.resolver.txt(name, deadline)
            until = now + min(answer.seconds, LONGEST[answer.status])
        if now < until and sum(map(len, answer.texts)) <= LARGEST:
            self.kept[name] = answer, until
            if len(self.kept) > self.most:
                del self.kept[next(iter(self.kept))]
        return answer
