# SPDX-License-Identifier: MIT
"""Shows what a log says as a page of HTML with bars."""

from html import escape

from ..drawing import BAD, BAR, FAIR, GAP, GOOD, LINE, WIDTH, bar, cut, svg, text
from ..findings import visible
from ..web_page import legend, more, whole
from .show import PARTS, dropped, heading

TITLE = "Signed and verified mail"
MOST = 25               # rows of a part

# Parts that are drawn -> the colour of each column; None for one that is not.
COLOURS = {"keys": (GOOD, None, None), "domains": (GOOD, BAD, FAIR, FAIR),
           "forged": (BAD, FAIR, None)}
LEGENDS = {"domains": {GOOD: "pass", BAD: "fail", FAIR: "no answer, or not accepted"},
           "forged": {BAD: "fails by DMARC", FAIR: "has a signature that fails"}}


def page(read):
    """Returns the page (str).  read: reading.Reading"""
    parts = [f"<p>{escape(line)}.</p>\n" for line in heading(read)]
    for part in PARTS:
        sums = getattr(read.sums, part.name)
        if sums.rows:
            parts += [f"<h2>{escape(part.title[:1].upper() + part.title[1:])}</h2>\n",
                      *(drawn if part.name in COLOURS else listed)(part, sums),
                      more(len(sums.rows) - MOST),
                      *(f"<p>{escape(line)}.</p>\n" for line in dropped(sums))]
    return whole(TITLE, parts)


def words(key):
    """Returns the key of a row as text."""
    return visible(key if isinstance(key, str) else ": ".join(filter(None, key)))


def listed(part, sums):
    """Yields the table of a part."""
    yield ("<table>\n<tr><th>" + escape(part.keys[-1]) + "</th>"
           + "".join(f"<th>{column}</th>" for column in sums.columns) + "</tr>\n")
    for key, numbers in sums.ranked()[:MOST]:
        yield (f"<tr><td>{escape(words(key))}</td>"
               + "".join(f"<td>{number:,}</td>" for number in numbers) + "</tr>\n")
    yield "</table>\n"


def drawn(part, sums):
    """Yields the chart of a part."""
    rows = [(key, [(colour, number) for colour, number in zip(COLOURS[part.name], numbers)
                   if colour]) for key, numbers in sums.ranked()[:MOST]]
    longest = max([1] + [sum(number for _, number in bars) for _, bars in rows])
    parts, y = [], 0
    for key, bars in rows:
        domain, *selector = (key,) if isinstance(key, str) else key
        number = sum(number for _, number in bars)
        parts += [text(0, y + LINE - 4, cut(" ".join([domain, *selector]))),
                  text(WIDTH, y + LINE - 4, f"{number:,}", "end"),
                  *bar(y + LINE, bars, longest)]
        y += LINE + BAR + GAP
    yield svg(max(y, 1), part.title, parts)
    yield "\n" + (legend(LEGENDS[part.name]) if part.name in LEGENDS else "")
