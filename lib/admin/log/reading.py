# SPDX-License-Identifier: MIT
"""Reads a log, and counts what its lines say."""

from collections import Counter

from . import meaning, sources
from .lines import blocks, first_head, rows, time_in, timed_rows
from .sums import Sums
from .times import Clock

HOUR = 13               # bytes of a line's head that have its time without minutes, or nearly so
SIGNS = (b"+", b"-", b"Z")      # of a zone, behind six digits of a second
MOST_WAITING = 10000    # different texts that wait to be counted


class Reading:
    """What is read of a log.

    since: seconds since 1970 from which lines count, or None; those without a time do anyway
    sums: Sums; names: of the files that were read; first, last: seconds since 1970 of the
    first and the last of our lines, None if none has a time
    """

    def __init__(self, since=None):
        self.since = since
        self.sums = Sums()
        self.names = []
        self.first = self.last = None
        self.waiting = Counter()

    def read(self, source):
        """Reads a sources.Source.  Raises Unreadable, after what could be read has counted."""
        clock = Clock(source.written)
        block = last = b""
        try:
            for block in blocks(sources.pieces(source)):
                found = rows(block) if self.since is None else self.recent(block, clock)
                if found:
                    if not last:
                        self.note(clock.seconds(time_in(first_head(block))))
                    last = block
                    self.waiting.update(found)
                    if len(self.waiting) > MOST_WAITING:
                        self.count()
            block = b"\n"
        finally:
            if block:       # else there was nothing to read, but an error
                self.names.append(source.name)
            for head, *_ in timed_rows(last):
                self.note(clock.seconds(time_in(head)))
            self.count()

    def recent(self, block, clock):
        """Returns the rows of a block that have no time, or one that is not before `since`.

        Where the beginnings of all times show it, no more of them is read.
        """
        found = timed_rows(block)
        hours = {clock.compared(hour, self.since) for hour in {row[0][:HOUR] for row in found}}
        if hours <= {-1}:
            return []
        if hours == {1}:
            return [(b" ", *row[1:]) for row in found]
        kept, known = [], {}        # {head, without seconds if it can be: whether it is recent}
        for row in found:
            head = row[0]
            minute = head
            if head[10:11] == b"T":
                has_zone = head[19:20] == b"." and head[26:27] in SIGNS
                minute = head[:16] + head[26 if has_zone else 19:]
            is_recent = known.get(minute)
            if is_recent is None:
                seconds = clock.seconds(time_in(head))
                is_recent = seconds is None or seconds >= self.since
                if seconds is None:
                    row = (b"", *row[1:])
                elif seconds // 60 != self.since // 60:
                    known[minute] = is_recent
            if is_recent:
                kept.append((row[0][:1] and b" ", *row[1:]))
        return kept

    def note(self, seconds):
        """Extends first and last by the time of a line, if it is known and not before `since`."""
        if seconds is not None and (self.since is None or seconds >= self.since):
            self.first = seconds if self.first is None else min(self.first, seconds)
            self.last = seconds if self.last is None else max(self.last, seconds)

    def count(self):
        """Counts the texts that wait."""
        for (time, *row), number in self.waiting.items():
            self.sums.untimed += number * (not time)
            meaning.count(self.sums, tuple(row), number)
        self.waiting.clear()
