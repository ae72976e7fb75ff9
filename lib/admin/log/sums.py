# SPDX-License-Identifier: MIT
"""Sums by domain and reason, in a limited amount of memory."""

MOST = 2000     # rows that a Table keeps


class Table:
    """Numbers in columns, by key, of the keys with the largest numbers.

    Strangers can choose endless keys.  If there are twice MOST, the smaller half is dropped;
    a key that comes anew is then ranked as if it had had as much before as the largest that
    was dropped (lossy counting, Manku and Motwani 2002).  So a key that is not here, or came
    late, lacks at most `missed`, and the large ones are never lost.

    columns: their names (str); dropped: the sums of the rows that were, one for each column
    """

    def __init__(self, *columns):
        self.columns = columns
        self.rows = {}          # {key: [number for each column, what it may lack]}
        self.dropped = [0] * len(columns)
        self.missed = 0

    def add(self, key, numbers):
        """Adds to the numbers of a key, a list of one for each column."""
        row = self.rows.get(key)
        if row is None:
            if len(self.rows) >= 2 * MOST:
                self.prune()
            row = self.rows[key] = [0] * len(self.columns) + [self.missed]
        for column, number in enumerate(numbers):
            row[column] += number

    def prune(self):
        ranked = sorted(self.rows.items(), key=lambda item: sum(item[1]), reverse=True)
        for _, row in ranked[MOST:]:
            self.dropped = [total + number for total, number in zip(self.dropped, row)]
        self.missed = max(self.missed, sum(ranked[MOST][1]))
        self.rows = dict(ranked[:MOST])

    def ranked(self):
        """Returns the rows, (key, numbers), the ones with the largest sums first; a list."""
        found = [(key, row[:-1]) for key, row in self.rows.items()]
        return sorted(found, key=lambda item: (-sum(item[1]), item[0]))

    def total(self, column=0):
        """Returns the sum of a column, of all keys."""
        return self.dropped[column] + sum(row[column] for row in self.rows.values())


class Sums:
    """All that is counted.

    keys: by (domain, selector): messages signed, and by which protocol
    signed_by: by program, messages; unsigned: by (domain or "", reason), messages
    deferred: by (direction, reason), deliveries that wait; remarks: by text, signed messages
    verdicts: by (verdict, word), messages; domains: by domain in a signature, messages by the
    best result of its signatures; forged: by domain, messages; undecided: by (domain, reason)
    servers: by name server, messages that its domains let undecided; empty unless asked for
    verified_by: by words; events: by (program, text), what happened to resident programs
    untimed, broken: numbers of lines without a time that can be read, and of lines of ours
    that are not whole or not in their grammar, which are not counted
    """

    def __init__(self):
        self.signed_by = Table("messages")
        self.keys = Table("messages", "dkim", "domainkeys")
        self.unsigned = Table("messages")
        self.deferred = Table("messages")
        self.remarks = Table("messages")
        self.verdicts = Table("messages")
        self.domains = Table("pass", "fail", "temperror", "other")
        self.forged = Table("messages", "dmarc", "signature", "refused")
        self.undecided = Table("messages")
        self.servers = Table("messages", "domains")
        self.verified_by = Table("messages")
        self.events = Table("times")
        self.untimed = self.broken = 0
