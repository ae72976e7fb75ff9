# SPDX-License-Identifier: MIT
"""Draws the charts of the page as SVG, for the width of a phone."""

from ..drawing import BAD, BAR, FAIR, GAP, GOOD, LINE, WIDTH, bar, cut, rectangle, svg, text
from ..tables import share
from .show import WORDS
from .store import ALTERED, BROKEN, FORGED, FORWARDED, PASSING, UNSIGNED
from .summary import date

HEIGHT = 120            # of the columns, in units of the drawing
AXIS = 46               # left of them, for the scale
MOST_COLUMNS = 92       # each of several days, if there are more

# By DKIM, by SPF only, by neither.
COLOURS = {PASSING: GOOD, FORWARDED: GOOD, UNSIGNED: FAIR, BROKEN: FAIR, ALTERED: BAD, FORGED: BAD}


def columns(daily, since, until):
    """Returns the chart of messages a day by result.

    daily: {(day, kind): messages}; since, until: days, int since 1970
    """
    step = (until - since) // MOST_COLUMNS + 1
    sums = {}           # (column, colour): messages
    for (day, kind), messages in daily.items():
        key = (day - since) // step, COLOURS[kind]
        sums[key] = sums.get(key, 0) + messages
    count = (until - since) // step + 1
    highest = max([1] + [sum(sums.get((column, colour), 0) for colour in (GOOD, FAIR, BAD))
                         for column in range(count)])
    top, parts = LINE / 2, []
    for part in (1, 0.5, 0):
        y = top + HEIGHT * (1 - part)
        parts += [f'<path class="line" d="M{AXIS} {y:.1f}H{WIDTH}"/>',
                  text(AXIS - 4, y + 4, short(highest * part), "end")]
    width = (WIDTH - AXIS) / count
    for column in range(count):
        parts += stack(sums, column, AXIS + column * width, width, top + HEIGHT, highest,
                       date(since + column * step))
    bottom = top + HEIGHT + LINE
    parts += [text(AXIS, bottom, date(since)), text(WIDTH, bottom, date(until), "end")]
    return svg(bottom + 4, "messages a day by result", parts)


def stack(sums, column, left, width, bottom, highest, day):
    """Yields the rectangles of a column, the best result at the bottom.  day: str"""
    for colour in (GOOD, FAIR, BAD):
        messages = sums.get((column, colour), 0)
        if messages:
            height = HEIGHT * messages / highest
            bottom -= height
            yield rectangle(colour, left + width * 0.1, bottom, width * 0.8, height,
                            f"{day}: {messages:,} {LEGEND[colour]}")


LEGEND = {GOOD: "pass by DKIM", FAIR: "pass by SPF only", BAD: "pass by neither"}


def senders(found, names):
    """Returns the chart of the hosts that sent most.

    found: list of summary.Sender; names: {address: host name}
    """
    longest = max([1] + [one.messages for one in found])
    parts, y = [], 0
    for one in found:
        name = f" ({names[one.address]})" if names.get(one.address) else ""
        parts += [text(0, y + LINE - 4, one.address),
                  text(WIDTH, y + LINE - 4, f"{one.messages:,}", "end"),
                  text(0, y + 2 * LINE - 4, cut(WORDS[one.kind] + name, 50))]
        y += 2 * LINE
        parts.append(rectangle(COLOURS[one.kind], 0, y, WIDTH * one.messages / longest, BAR))
        y += BAR + GAP
    return svg(max(y, 1), "senders", parts)


def receivers(signatures):
    """Returns the chart of each selector at each receiver.  signatures: list of Signatures"""
    parts, y, last = [], 0, None
    for one in signatures:
        if one.receiver != last:
            y += LINE
            parts.append(f'<g class="strong">{text(0, y - 4, cut(one.receiver))}</g>')
            last = one.receiver
        passed = one.messages - one.failed
        parts += [text(0, y + LINE - 4, cut(one.selector or "(no selector)")),
                  text(WIDTH, y + LINE - 4,
                       f"{share(passed, one.messages)} of {one.messages:,}", "end")]
        y += LINE
        parts += bar(y, [(GOOD, passed), (FAIR, one.beside), (BAD, one.failed - one.beside)],
                     one.messages)
        y += BAR + GAP
    return svg(max(y, 1), "signatures that passed, of each selector at each receiver", parts)


def short(number):
    """Returns a number of messages in few characters, such as 12k."""
    for unit, name in ((10 ** 9, "G"), (10 ** 6, "M"), (1000, "k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return f"{number:g}"
