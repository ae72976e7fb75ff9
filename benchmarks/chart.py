# SPDX-License-Identifier: MIT
"""Draws the table as bars, SVG: a panel for each section, with a scale of its own."""

from xml.sax.saxutils import escape

from figures import AT_ONCE, shown

COLUMNS = 3             # panels beside each other

# Pixels.
PANEL = 460             # width of a panel ...
NAMES = 205             # ... of which for the names of its bars ...
BARS = 110              # ... and for the longest bar; its figures stand behind it
LINE = 22               # from one bar to the next
TITLE = 40              # height of a panel's title, with the space above it
MARGIN = 16

OURS, OTHERS = "#2b6cb0", "#a8b2bd"
HEADING = (f"CPU milliseconds for a message, and messages a second ({AT_ONCE} at once); "
           "blue: qmail-dk")


def write(path, sections):
    """Writes the chart of figures.Sections to a file.  Raises OSError."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(drawn(sections))


def drawn(sections):
    """The chart of figures.Sections, COLUMNS of them in each row."""
    parts = [text(MARGIN, MARGIN + 14, HEADING, "font-weight='bold'")]
    top = MARGIN + 14
    for start in range(0, len(sections), COLUMNS):
        beside = sections[start:start + COLUMNS]
        for column, section in enumerate(beside):
            parts += panel(section, MARGIN + column * PANEL, top)
        top += TITLE + LINE * max(len(section.rows) for section in beside)
    width, height = COLUMNS * PANEL + 2 * MARGIN, top + MARGIN
    return "\n".join([
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' "
        f"viewBox='0 0 {width} {height}' font-family='sans-serif' font-size='13'>",
        "<rect width='100%' height='100%' fill='white'/>", *parts, "</svg>", ""])


def panel(section, left, top):
    """Yields the parts of a section's panel, whose corner is at left, top."""
    yield text(left, top + TITLE - 12, section.title, "font-weight='bold'")
    longest = max((row.figures.cpu for row in section.rows if row.figures), default=0)
    for number, row in enumerate(section.rows):
        y = top + TITLE + number * LINE
        yield text(left + NAMES - 8, y + 13, row.name, "text-anchor='end'")
        length = max(row.figures.cpu / longest * BARS, 1) if row.figures else 0
        yield (f"<rect x='{left + NAMES}' y='{y}' width='{length:.1f}' height='{LINE - 6}' "
               f"fill='{OURS if row.ours else OTHERS}'/>")
        yield text(left + NAMES + length + 6, y + 13, words(row.figures))


def words(figures):
    """What stands behind a bar."""
    if not figures:
        return "not measured"
    rate = f", {shown(figures.rate)}/s" if figures.rate else ""
    return f"{shown(figures.cpu)} ms{rate}"


def text(x, y, content, attributes=""):
    return f"<text x='{x:.1f}' y='{y}' {attributes}>{escape(content)}</text>"
