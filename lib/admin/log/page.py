# SPDX-License-Identifier: MIT
"""Shows what a log says as a page of HTML with bars."""

from collections.abc import Callable
from html import escape

from ..drawing import BAD, BAR, FAIR, GAP, GOOD, LINE, WIDTH, bar, cut, svg, text
from ..findings import visible
from ..web_page import legend, more, whole
from .show import PARTS, dropped, heading

TITLE = "Signed and verified mail"
MOST = 25               # rows of a part

# Parts that are drawn -> a function of a row's numbers that returns the parts of its bar.
BARS: "dict[str, Callable[..., list]]" = {
    "keys": lambda messages, dkim, domainkeys: [(GOOD, messages)],
    "domains": lambda passed, failed, undecided, other: [(GOOD, passed), (FAIR, undecided + other),
                                                         (BAD, failed)],
    "forged": lambda messages, dmarc, signature, refused: [(BAD, dmarc), (FAIR, messages - dmarc)]}
LEGENDS = {"domains": {GOOD: "pass", FAIR: "no answer, or not accepted", BAD: "fail"},
           "forged": {BAD: "fail by DMARC", FAIR: "only by a signature"}}


def page(read):
    """Returns the page (str).  read: reading.Reading"""
    parts = [paragraph(line) for line in heading(read)]
    for part in PARTS:
        sums = getattr(read.sums, part.name)
        if sums.rows:
            parts += [f"<h2>{escape(capital(part.title))}</h2>\n",
                      *(drawn if part.name in BARS else listed)(part, sums),
                      more(len(sums.rows) - MOST), *map(paragraph, dropped(sums))]
    return whole(TITLE, parts)


def paragraph(line):
    return f"<p>{escape(capital(line))}.</p>\n"


def capital(text):
    return text[:1].upper() + text[1:]


def words(key):
    """Returns the key of a row as text."""
    return visible(key if isinstance(key, str) else ": ".join(filter(None, key)))


def listed(part, sums):
    """Yields the table of a part."""
    name = part.keys[-1] if part.keys[-1] == "reason" else part.keys[0]
    yield (f"<table>\n<tr><th>{name}</th>"
           + "".join(f"<th>{column}</th>" for column in sums.columns) + "</tr>\n")
    for key, numbers in sums.ranked()[:MOST]:
        yield (f"<tr><td>{escape(words(key))}</td>"
               + "".join(f"<td>{number:,}</td>" for number in numbers) + "</tr>\n")
    yield "</table>\n"


def drawn(part, sums):
    """Yields the chart of a part."""
    rows = [(key, BARS[part.name](*numbers)) for key, numbers in sums.ranked()[:MOST]]
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
