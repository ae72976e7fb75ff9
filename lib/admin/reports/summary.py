# SPDX-License-Identifier: MIT
"""Reads from the database what is shown: sums of some days, for each domain."""

import datetime
import heapq
from typing import NamedTuple

from .store import ALTERED, BROKEN, FORGED, FORWARDED, KINDS, PASSING, UNSIGNED

KEPT = 15           # Senders of each kind that a Domain has
OBSERVED = 90       # days for which a policy is looked at


class Sender(NamedTuple):
    """A host that sent messages of one kind; address: str; kind: of store.KINDS"""
    domain: str
    address: str
    kind: int
    messages: int


class Signatures(NamedTuple):
    """The signatures by one selector that one receiver has reported; numbers of messages.

    failed: did not pass; beside: of these, another signature of the domain passed
    direct: of these, without another that passed, came from a host of the domain
    """
    domain: str
    selector: str
    receiver: str
    messages: int
    failed: int
    beside: int
    direct: int


class Domain(NamedTuple):
    """The mail of a domain.

    name: str; by_kind: list of numbers of messages, one for each of store.KINDS
    signatures: list of Signatures; senders: {kind: list of Sender, the KEPT largest}
    """
    name: str
    by_kind: list
    signatures: list
    senders: dict

    @property
    def messages(self):
        return sum(self.by_kind)

    @property
    def by_dkim(self):
        """Number of messages that pass by DKIM."""
        return self.by_kind[PASSING] + self.by_kind[FORWARDED]

    @property
    def by_spf(self):
        """Number of messages that pass by SPF only."""
        return self.by_kind[UNSIGNED] + self.by_kind[BROKEN]

    @property
    def neither(self):
        return self.by_kind[ALTERED] + self.by_kind[FORGED]


class Summary(NamedTuple):
    """What is known of some days.

    since, until: days, int since 1970; reports, receivers: numbers
    last: the last day that a report is about, or None
    domains: list of Domain, the one with most messages first
    senders: list of Sender, the ones with most messages first
    unlisted: number of messages from senders that are not in it
    """
    since: int
    until: int
    reports: int
    receivers: int
    last: int
    domains: list
    senders: list
    unlisted: int


def summary(store, days, today, most, only=None):
    """Returns the Summary of a store.Store.  Raises StoreTrouble.

    days: number of them; today: int since 1970; most: Senders to list
    only: domain to show alone (str), with those below it; None for all
    """
    since = today - days + 1
    chosen, values = "day >= ?", [since]
    if only is not None:
        chosen += " AND (domain = ? OR domain LIKE ?)"
        values += [only, "%." + only]
    (reports, receivers, last), = store.rows(
        "SELECT COUNT(*), COUNT(DISTINCT organization), MAX(day) FROM reports WHERE " + chosen,
        *values)
    domains = read_domains(store, chosen, values)
    senders = largest(read_senders(store, domains, since, most), most)
    return Summary(since, today, reports, receivers, last, domains, senders,
                   sum(domain.messages for domain in domains)
                   - sum(sender.messages for sender in senders))


def read_domains(store, chosen, values):
    """Returns the list of Domain, without Senders.  chosen: SQL condition for rows, with values"""
    found = {}
    for name, kind, messages in store.rows(
            "SELECT domain, kind, SUM(messages) FROM results WHERE " + chosen
            + " GROUP BY domain, kind", *values):
        domain = found.setdefault(name, Domain(name, [0] * len(KINDS), [], {}))
        domain.by_kind[kind] = messages
        domain.senders[kind] = []
    for row in store.rows(
            "SELECT domain, selector, receiver, SUM(messages), SUM(messages * (result <> 'pass')),"
            " SUM(messages * beside), SUM(messages * (result <> 'pass' AND NOT beside AND direct))"
            " FROM signatures WHERE " + chosen + " GROUP BY domain, selector, receiver", *values):
        found[row[0]].signatures.append(Signatures(*row))
    return sorted(found.values(), key=lambda domain: (-domain.messages, domain.name))


def read_senders(store, domains, since, most):
    """Yields the `most` largest Senders of each Domain and kind, and keeps KEPT of them there.

    The table is in this order, so that this is faster than to ask for all of them at once.
    """
    for domain in domains:
        for kind in domain.senders:
            found = [Sender(domain.name, address, kind, messages)
                     for address, messages in store.rows(
                         "SELECT address, SUM(messages) AS total FROM senders WHERE domain = ?"
                         " AND kind = ? AND day >= ? GROUP BY address ORDER BY total DESC, address"
                         " LIMIT ?", domain.name, kind, since, max(most, KEPT))]
            domain.senders[kind] = found[:KEPT]
            yield from found


def largest(senders, most):
    """Returns the `most` Senders with most messages, the largest first, a list."""
    return heapq.nsmallest(most, senders, key=lambda one: (-one.messages, one.domain, one.address))


def daily(store, domain, since):
    """Returns the messages of a domain on each day, {(day, kind): number}.  Raises StoreTrouble."""
    return {(day, kind): messages for day, kind, messages in store.rows(
        "SELECT day, kind, SUM(messages) FROM results WHERE domain = ? AND day >= ?"
        " GROUP BY day, kind", domain, since)}


def date(day):
    """Returns a day, int since 1970, as in 2026-01-31."""
    return (datetime.date(1970, 1, 1) + datetime.timedelta(day)).isoformat()


class Withdrawn(NamedTuple):
    """Messages that failed after the last day on which their selector passed anywhere.

    since: that day; messages, receivers: numbers.  Another selector has passed since then.
    """
    domain: str
    selector: str
    since: int
    messages: int
    receivers: int


WITHDRAWN = """
WITH last AS (SELECT domain, selector, MAX(day) AS day FROM signatures WHERE result = 'pass'
              GROUP BY domain, selector)
SELECT domain, selector, last.day, SUM(messages), COUNT(DISTINCT receiver)
FROM signatures JOIN last USING (domain, selector)
WHERE signatures.day > MAX(last.day, ? - 1) AND result <> 'pass' AND NOT beside
    AND (direct OR result = 'permerror')
    AND EXISTS (SELECT 1 FROM last AS other WHERE other.domain = signatures.domain
                AND other.selector <> signatures.selector AND other.day > last.day)
GROUP BY domain, selector
"""


def withdrawn(store, since):
    """Returns the list of Withdrawn with messages of a day since `since`.  Raises StoreTrouble.

    Only messages from the domain's own hosts count, and those whose key was missing:
    others fail because a list has changed them.
    """
    return [Withdrawn(*row) for row in store.rows(WITHDRAWN, since)]


def only_observed(store, today):
    """Returns the domains whose policy asks for nothing, though all of their mail passes.

    {domain: (days, number of messages)}: OBSERVED days or more.  Raises StoreTrouble.
    """
    first = today - OBSERVED
    return {domain: (today - begin, messages) for domain, begin, messages in store.rows(
        "SELECT domain, MIN(day) AS begin, SUM(messages * (day >= ?)) AS recent FROM results"
        " GROUP BY domain HAVING begin <= ? AND recent > 0"
        " AND NOT MAX(day >= ? AND (policy <> 'none' OR kind IN (?, ?)))",
        first, first, first, ALTERED, FORGED)}
