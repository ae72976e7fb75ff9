# SPDX-License-Identifier: MIT
"""Draws parts of charts as SVG, for the width of a phone.

The colours are classes, so that the style sheet of web_page chooses them.
"""

from html import escape

# Units of the drawing; on a phone, each is about a pixel.
WIDTH = 360
LINE = 16               # of text
BAR = 8                 # height of a bar
GAP = 10                # below it

GOOD, FAIR, BAD = "good", "fair", "bad"     # classes


def svg(height, title, parts):
    """Returns a drawing (str).  title: its content, for those who can't see it"""
    return (f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
            + "".join(parts) + "</svg>")


def rectangle(colour, x, y, width, height, title=""):
    said = f"<title>{escape(title)}</title>" if title else ""
    return (f'<rect class="{colour}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
            f'height="{height:.1f}">{said}</rect>')


def text(x, y, content, anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(content)}</text>'


def cut(content, most=36):
    return content if len(content) <= most else content[:most - 3] + "..."


def bar(y, parts, whole):
    """Yields the rectangles of a bar: its parts side by side, a list of (colour, number).

    y: its top; whole: the number for the full width, not 0
    """
    at = 0.0
    for colour, number in parts:
        if number:
            yield rectangle(colour, at, y, WIDTH * number / whole, BAR)
        at += WIDTH * number / whole
