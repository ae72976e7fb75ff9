# SPDX-License-Identifier: MIT
"""Shows what a log says as a table for a terminal, and as JSON."""

from typing import NamedTuple

from ..findings import counted, visible
from ..tables import cut, rest
from . import times

WIDTH = 40              # characters of the first column
SECOND = 24             # of the second, where there is one
NUMBER = 11             # of a number
NAMED = 3               # files that are named


class Part(NamedTuple):
    """A part of what is shown.

    name: of the table in sums.Sums; title: str; keys: what each part of its keys is; if the
    last is "reason", it is a sentence
    """
    name: str
    title: str
    keys: tuple


PARTS = (
    Part("keys", "signed", ("domain", "selector")),
    Part("signed_by", "signed by", ("program",)),
    Part("unsigned", "sent unsigned, or not signed as that domain", ("domain", "reason")),
    Part("deferred", "deferred by an error here", ("direction", "reason")),
    Part("remarks", "remarks on signed mail", ("reason",)),
    Part("verdicts", "received", ("verdict", "word")),
    Part("domains", "results of signatures", ("domain",)),
    Part("forged", "forged, or changed on the way", ("domain",)),
    Part("undecided", "not decided, for want of an answer of the DNS", ("domain", "reason")),
    Part("servers", "not decided, by name server", ("server",)),
    Part("verified_by", "verified by", ("program",)),
    Part("events", "resident programs", ("program", "event")))


def table(read, most):
    """Returns the lines of a table, list of str.  read: reading.Reading; most: rows of a part"""
    lines = heading(read)
    for part in PARTS:
        sums = getattr(read.sums, part.name)
        if sums.rows:
            show = with_reasons if part.keys[-1] == "reason" else with_columns
            ranked = sums.ranked()
            lines += ["", *show(part, sums, ranked[:most]), *rest(ranked[most:]), *dropped(sums)]
    return lines


def with_columns(part, sums, rows):
    """Returns the lines of a part whose keys are names.  rows: of sums.Table.ranked()"""
    second = len(part.keys) > 1
    lines = [f"{part.title:<{WIDTH + SECOND * second}}"
             + "".join(f"{column:>{NUMBER}}" for column in sums.columns)]
    for key, numbers in rows:
        first, *others = key if second else (key,)
        lines.append(cut(first, WIDTH) + "".join(cut(other, SECOND) for other in others)
                     + "".join(f"{number:>{NUMBER},}" for number in numbers))
    return lines


def with_reasons(part, sums, rows):
    """Returns the lines of a part whose keys end with a reason, which is behind the number."""
    lines = [f"{sums.columns[0]:>{NUMBER}}  {part.title}"]
    for key, numbers in rows:
        words = key if isinstance(key, str) else ": ".join(filter(None, key))
        lines.append(f"{numbers[0]:>{NUMBER},}  {visible(words)}")
    return lines


def dropped(sums):
    """Returns a line, in a list, on what a sums.Table could not keep; [] if nothing."""
    if not sums.missed:
        return []
    return [f"others: {sum(sums.dropped):,}, of names too many to keep; a name that is shown may "
            f"have up to {sums.missed:,} of them"]


def heading(read):
    """Returns the lines on what was read, list of str."""
    names = ", ".join(map(visible, read.names[:NAMED]))
    more = len(read.names) - NAMED
    lines = [f"{counted(len(read.names), 'file')}: {names}"
             + (f" and {more:,} more" if more > 0 else "")]
    if read.since is not None:
        lines.append(f"since {times.shown(read.since)}")
    lines.append("there is no line of ours that has a time" if read.first is None else
                 f"our lines are from {times.shown(read.first)} to {times.shown(read.last)}")
    return lines + [totals(read.sums)] + notes(read.sums)


def totals(sums):
    """Returns the line that sums all up."""
    received = {}
    for (verdict, _), (number,) in sums.verdicts.ranked():
        received[verdict] = received.get(verdict, 0) + number
    return (f"sent: {sums.signed_by.total():,} signed, {sums.unsigned.total():,} not; received: "
            + ", ".join(f"{received.get(verdict, 0):,} {verdict}"
                        for verdict in ("accepted", "rejected", "deferred")))


def notes(sums):
    """Returns lines on what the numbers lack, list of str."""
    lines = []
    if sums.untimed:
        lines.append(f"{counted(sums.untimed, 'line')} without a time that can be read; counted")
    if sums.broken:
        lines.append(f"{counted(sums.broken, 'line')} of ours not whole, or unknown; not counted")
    if sums.signed_by.rows and not any(why == "no key" for _, why in sums.unsigned.rows):
        lines.append('no line about mail that no key fits, which has one only if DKLOG is "all"')
    return lines


def as_json(read, most):
    """Returns the same as JSON, str.  most: rows of a part"""
    import json         # a table needs none
    found = {"files": read.names, "since": read.since, "first": read.first, "last": read.last,
             "lines_without_time": read.sums.untimed, "lines_not_whole": read.sums.broken}
    for part in PARTS:
        sums = getattr(read.sums, part.name)
        ranked = sums.ranked()
        others = list(sums.dropped)
        for _, numbers in ranked[most:]:
            others = [total + number for total, number in zip(others, numbers)]
        found[part.name] = {
            "rows": [{**dict(zip(part.keys, key if len(part.keys) > 1 else (key,))),
                      **dict(zip(sums.columns, numbers))} for key, numbers in ranked[:most]],
            "others": dict(zip(sums.columns, others)), "may_lack": sums.missed}
    return json.dumps(found, indent=1)
