# SPDX-License-Identifier: MIT
"""The targets that the rows must meet."""

import statistics
import sys
from typing import NamedTuple

import through_send
import through_smtpd
from checking import CHECKED, LATENCY, WITHOUT_TRIALS
from checking import MANY as MANY_DOMAINS
from checking import title as checking_title
from deliveries import DISTINCT, RESIDENT, SAME, STOCK, name_of
from figures import quartiles
from logs import MEGABYTES, OURS, SINCE
from logs import PEER as MAWK
from logs import title as logs_title
from programs import BARE, LARGE_HEADER
from reports import ADDED, MANY, PEER, SHOWN
from reports import title as reports_title
from scratch import CHECKOUT

sys.path.append(CHECKOUT)
from lib.rspawn.dispatcher import PROCESSES

PEAK_SLACK = 0.5    # MiB by which the peak of one program differs between runs
RESIDENT_MEMORY = 60 + 10 * PROCESSES   # MiB


class Target(NamedTuple):
    """A target: figure(results) must be <= or >= limit.

    section, row: the row that it belongs to; unit: of the figure
    results: {(section, name): Figures}, without the rows that have none
    """
    section: str
    row: str
    bound: str
    limit: float
    unit: str
    figure: object

    def verdict(self, results):
        """Returns the words for the table.

        The figure is the median of the rounds.  If the limit is between their quartiles,
        the next run might say the opposite, so this one decides nothing.
        """
        wanted = f"{self.bound} {self.limit:g} {self.unit}"
        try:
            values = self.values(results)
        except KeyError as missing:
            return f"{wanted}: no figures of {missing.args[0][1]}"
        figure = statistics.median(values)
        if len(values) < 2:
            return f"{wanted}: {figure:.3g}, undecided: one round shows no spread"
        low, high = quartiles(values)
        verdict = f"{wanted}: {figure:.3g} ({low:.3g}-{high:.3g}), "
        if low <= self.limit <= high and low < high:
            return verdict + "undecided: spread wider than the margin"
        met = figure <= self.limit if self.bound == "<=" else figure >= self.limit
        return verdict + ("met" if met else "NOT MET")

    def values(self, results):
        """Returns the figure of each round, a list.  Raises KeyError for a missing row."""
        rounds = InRound(results, None)
        whole = self.figure(rounds)
        return [self.figure(InRound(results, number)) for number in range(rounds.most)] or [whole]


class InRound:
    """Results of one round: the row's sample of it, or its medians if it has had fewer rounds.

    number: of the round, None for the medians; most: rounds of the rows that were asked for
    """

    def __init__(self, results, number):
        self.results = results
        self.number = number
        self.most = 0

    def __getitem__(self, key):
        figures = self.results[key]
        self.most = max(self.most, len(figures.samples))
        if self.number is None or self.number >= len(figures.samples):
            return figures
        return figures.samples[self.number]


def ratio(figure, key, to):
    """Returns a function of results: the ratio of a figure in row `key` to that in row `to`."""
    return lambda results: getattr(results[key], figure) / getattr(results[to], figure)


def memory(key):
    """Returns a function of results: the MiB of a row."""
    return lambda results: results[key].memory


def all_targets(large, records=MANY, domains=MANY_DOMAINS, megabytes=MEGABYTES):
    """Returns all Targets, a list.

    large: the title of large messages; records: number of those of DMARC reports
    domains: number of those that are checked; megabytes: of the log
    """
    return [*for_signing(f"signing, {large}"), *for_verifying(f"verifying, {large}"),
            *for_deliveries(), *for_lists(), *for_inbound(), *for_reports(reports_title(records)),
            *for_checking(domains), *for_logs(logs_title(megabytes))]


def for_signing(large):
    small, medium = "signing, small", "signing, 1 MB"
    return [
        Target(small, "signer", "<=", 1.9, "x bare", ratio("cpu", (small, "signer"), BARE)),
        Target(small, "signer", "<=", 0.25, "x Mail::DKIM",
               ratio("cpu", (small, "signer"), (small, "Mail::DKIM"))),
        Target(small, "signer, no key", "<=", 1.5, "x bare",
               ratio("cpu", (small, "signer, no key"), BARE)),
        Target(large, "signer", ">=", 5, "x the speed of dkim.sign()",
               ratio("cpu", (large, "dkim.sign(), DKIM only"), (large, "signer"))),
        Target(large, "signer", "<=", 24, "MiB", memory((large, "signer"))),
        Target(large, "signer", "<=", PEAK_SLACK, "MiB over 1 MB's",
               lambda results: results[large, "signer"].memory
               - results[medium, "signer"].memory),
    ]


def for_verifying(large):
    small = "verifying, small"
    return [
        Target(small, "verifier", "<=", 0.28, "x dkimverify",
               ratio("cpu", (small, "verifier"), (small, "dkimverify, DKIM only"))),
        Target(small, "verifier", "<=", 0.45, "x Mail::DKIM",
               ratio("cpu", (small, "verifier"), (small, "Mail::DKIM"))),
        Target(small, "verifier", "<=", 4, "x bare", ratio("cpu", (small, "verifier"), BARE)),
        Target(small, "verifier, DKVERIFY unset", "<=", 0.2, "x bare",
               ratio("cpu", (small, "verifier, DKVERIFY unset"), BARE)),
        Target(small, "verifier, DKVERIFY unset, no C", "<=", 0.25, "x bare",
               ratio("cpu", (small, "verifier, DKVERIFY unset, no C"), BARE)),
        Target(small, "verifier, resident", "<=", 0.4, "x bare",
               ratio("cpu", (small, "verifier, resident"), BARE)),
        Target(small, "verifier, DKDMARC=mark", "<=", 1.4, "x the verifier",
               ratio("cpu", (small, "verifier, DKDMARC=mark"), (small, "verifier"))),
        Target(small, "verifier, DKDMARC=mark", "<=", 4, "MiB over the verifier's",
               lambda results: results[small, "verifier, DKDMARC=mark"].memory
               - results[small, "verifier"].memory),
        Target(small, "verifier, resident, DKDMARC=mark", "<=", 1.25, "x the resident verifier",
               ratio("cpu", (small, "verifier, resident, DKDMARC=mark"),
                     (small, "verifier, resident"))),
        # A third of what it takes with a copy of all fields for each signature.
        Target(small, LARGE_HEADER, "<=", 100, "x bare", ratio("cpu", (small, LARGE_HEADER), BARE)),
        Target(small, LARGE_HEADER, "<=", 60, "MiB", memory((small, LARGE_HEADER))),
        Target(large, "verifier", ">=", 3, "x the speed of dkimverify",
               ratio("cpu", (large, "dkimverify, DKIM only"), (large, "verifier"))),
        Target(large, "verifier", "<=", 32, "MiB", memory((large, "verifier"))),
    ]


def for_deliveries():
    small = "delivering, small"
    found = []
    for kind, most_cpu, least_rate in ((DISTINCT, 3, 0.5), (SAME, 1.3, 0.9)):
        row, stock = name_of(RESIDENT, kind), (small, name_of(STOCK, kind))
        found += [
            Target(small, row, "<=", most_cpu, "x stock's CPU", ratio("cpu", (small, row), stock)),
            Target(small, row, ">=", least_rate, "x stock's rate",
                   ratio("rate", (small, row), stock)),
            *(Target(title, row, "<=", RESIDENT_MEMORY, "MiB", memory((title, row)))
              for title in (small, "delivering, 1 MB"))]
    return found


def for_lists():
    small = through_send.TITLE + "small"
    found = []
    for kind, at_once, least_rate in ((through_send.LIST, 50, 0.9), (through_send.LIST, 120, 0.95),
                                      (through_send.DISTINCT, 120, 0.85)):
        row, stock = (through_send.name_of(way, kind, at_once) for way in (RESIDENT, STOCK))
        found.append(Target(small, row, ">=", least_rate, "x stock's rate",
                            ratio("rate", (small, row), (small, stock))))
    return found


def for_inbound():
    small = through_smtpd.TITLE + "small"
    found = []
    for at_once in through_smtpd.AT_ONCE:
        stock = small, through_smtpd.name_of(STOCK, at_once)
        for way, least_rate in ((RESIDENT, 0.5), (through_smtpd.NOT_VERIFIED, 0.65)):
            row = through_smtpd.name_of(way, at_once)
            found.append(Target(small, row, ">=", least_rate, "x stock's rate",
                                ratio("rate", (small, row), stock)))
    return found


def for_reports(title):
    return [
        Target(title, ADDED, "<=", 0.2, "x parsedmarc",
               ratio("cpu", (title, ADDED), (title, PEER))),
        Target(title, ADDED, "<=", 64, "MiB", memory((title, ADDED))),
        Target(title, SHOWN, "<=", 10, "x bare", ratio("cpu", (title, SHOWN), BARE)),
    ]


def for_checking(domains):
    title, small = checking_title(domains), "verifying, small"

    def trial(results):
        """A trial's CPU, by that of the two programs which do the same for each message."""
        apart = results[title, CHECKED].cpu - results[title, WITHOUT_TRIALS].cpu
        return apart / domains / (results["signing, small", "signer"].cpu
                                  + results[small, "verifier"].cpu)

    return [
        Target(title, CHECKED, "<=", 200, "x an answer's latency",
               lambda results: results[title, CHECKED].latency / (LATENCY * 1000)),
        Target(title, CHECKED, "<=", 0.1, "x signer and verifier, for each trial", trial),
    ]


def for_logs(title):
    return [
        *(Target(title, row, "<=", 5, "x mawk", ratio("cpu", (title, row), (title, MAWK)))
          for row in (OURS, SINCE)),
        Target(title, OURS, "<=", 64, "MiB", memory((title, OURS))),
    ]
