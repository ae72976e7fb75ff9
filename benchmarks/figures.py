# SPDX-License-Identifier: MIT
"""The figures that are measured, and their table."""

import statistics
from typing import NamedTuple

AT_ONCE = 20            # messages at once, when messages per second are counted
LINE = "{:42} {:>8} {:>11} {:>7} {:>8} {:>8} {:>11} {:>8}  {}"
HEADING = LINE.format("", "CPU ms", "quartiles", "ratio", "ms", "per s", "quartiles", "MiB",
                      "target: figure (quartiles)")


class Amount(NamedTuple):
    """How much to measure with messages of one size.

    size: bytes of a message
    runs: of each program; load: runs of it for the rate
    deliveries: in each round; rounds: of deliveries
    """
    size: int
    runs: int
    load: int
    deliveries: int
    rounds: int


class Figures(NamedTuple):
    """Medians for one message; any of them may be None.

    cpu: milliseconds of CPU
    latency: milliseconds by the clock from start to end, with nothing else running
    rate: messages a second, AT_ONCE at once
    memory: MiB
    samples: the Figures of each round, of which these are the medians; those that are
    compared have been measured in turn, so round by round
    """
    cpu: float
    latency: float
    rate: float
    memory: float
    samples: tuple = ()

    @classmethod
    def of(cls, samples):
        """Returns the medians of Figures, a list of one or more."""
        return cls(*(middle([sample[column] for sample in samples]) for column in range(4)),
                   tuple(samples))


def middle(values):
    """Returns the median of numbers; None if one is None."""
    return None if None in values else statistics.median(values)


def quartiles(values):
    """Returns the quartiles of two or more numbers, the lower and the upper."""
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


class Row(NamedTuple):
    """One row of a section.

    ours: whether it is this project's; figures: Figures or None
    reference: (section, name) of the row that the ratio refers to, or None
    remark: why there are no figures, or another remark
    """
    name: str
    ours: bool
    figures: object
    reference: object
    remark: str = ""


class Section(NamedTuple):
    """Rows that belong together.  title: such as "signing, small" """
    title: str
    rows: list


def lines(section, results, targets):
    """Yields the lines of a section in the table, its title first.

    results: {(section, name): Figures} so far; targets: list of targets.Target
    """
    yield section.title
    for row in section.rows:
        remarks = [row.remark] if row.remark else []
        if row.figures:
            remarks += [target.verdict(results) for target in targets
                        if (target.section, target.row) == (section.title, row.name)]
        yield LINE.format("  " + row.name, *cells(row.figures, results.get(row.reference)),
                          "".join(remarks[:1])).rstrip()
        for remark in remarks[1:]:
            yield LINE.format(*[""] * 8, remark)


def cells(figures, reference):
    """Returns the cells of a row, list of str.  reference: Figures for the ratio, or None"""
    if not figures:
        return ["-"] * 7
    cpu, latency, rate, memory = (shown(figure) if figure else "-" for figure in figures[:4])
    ratio = (f"{figures.cpu / reference.cpu:.2f}" if reference and figures.cpu and reference.cpu
             else "-")
    return [cpu, spread(figures, "cpu"), ratio, latency, rate, spread(figures, "rate"), memory]


def spread(figures, name):
    """Returns the quartiles of one of the Figures, str; "-" if there are none."""
    values = [getattr(sample, name) for sample in figures.samples]
    if len(values) < 2 or None in values:
        return "-"
    return "-".join(map(shown, quartiles(values)))


def shown(number):
    """Returns a number with three digits, or more if they are before the point."""
    return f"{number:.{2 if number < 10 else 1 if number < 100 else 0}f}"
