# SPDX-License-Identifier: MIT
"""Draws the table as a bar chart in SVG, with a panel for each section and its own scale."""

from xml.sax.saxutils import escape

from figures import AT_ONCE, shown

COLUMNS = 3             # panels in a row

# Pixels.
PANEL = 460             # width of a panel ...
NAMES = 205             # ... of the names of its bars in it ...
BARS = 110              # ... and of the longest bar; its figures come after it
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
    """Returns the chart (str) of figures.Sections, COLUMNS of them in each row."""
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
    """Yields the elements (str) of a section's panel, whose corner is at left, top."""
    yield text(left, top + TITLE - 12, section.title, "font-weight='bold'")
    longest = max((bar(row) for row in section.rows), default=0)
    for number, row in enumerate(section.rows):
        y = top + TITLE + number * LINE
        yield text(left + NAMES - 8, y + 13, row.name, "text-anchor='end'")
        length = max(bar(row) / longest * BARS, 1) if bar(row) else 0
        yield (f"<rect x='{left + NAMES}' y='{y}' width='{length:.1f}' height='{LINE - 6}' "
               f"fill='{OURS if row.ours else OTHERS}'/>")
        yield text(left + NAMES + length + 6, y + 13, words(row.figures))


def bar(row):
    """Returns the milliseconds of CPU of a Row, 0 if there are none."""
    return row.figures.cpu or 0 if row.figures else 0


def words(figures):
    """Returns the text after a bar."""
    if not figures:
        return "not measured"
    return ", ".join(shown(figure) + unit for figure, unit in (
        (figures.cpu, " ms"), (figures.rate, "/s"),
        (not figures.cpu and figures.memory, " MiB")) if figure)


def text(x, y, content, attributes=""):
    return f"<text x='{x:.1f}' y='{y}' {attributes}>{escape(content)}</text>"
