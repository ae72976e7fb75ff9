# SPDX-License-Identifier: MIT
"""The figures that are measured, and their table."""

from typing import NamedTuple

AT_ONCE = 20            # messages at once, when messages per second are counted
LINE = "{:42} {:>8} {:>7} {:>8} {:>8} {:>8}  {}"
HEADING = LINE.format("", "CPU ms", "ratio", "ms", "per s", "MiB", "target: figure")


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
    """Medians for one message.

    cpu: milliseconds of CPU
    latency: milliseconds by the clock from start to end, with nothing else running
    rate: messages a second, AT_ONCE at once, or None
    memory: MiB
    """
    cpu: float
    latency: float
    rate: float
    memory: float


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
            yield LINE.format("", "", "", "", "", "", remark)


def cells(figures, reference):
    """Returns the cells of a row, list of str.  reference: Figures for the ratio, or None"""
    if not figures:
        return ["-"] * 5
    cpu, latency, rate, memory = (shown(figure) if figure else "-" for figure in figures)
    ratio = f"{figures.cpu / reference.cpu:.2f}" if reference else "-"
    return [cpu, ratio, latency, rate, memory]


def shown(number):
    """Returns a number with three digits, or more if they are before the point."""
    return f"{number:.{2 if number < 10 else 1 if number < 100 else 0}f}"
