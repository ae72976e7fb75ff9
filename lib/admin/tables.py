# SPDX-License-Identifier: MIT
"""Parts of tables for a terminal, and of numbers for people."""

from .findings import visible


def share(part, whole):
    """Returns a part of a whole in percent, as in "98.1 %"; 100.0 and 0.0 only if it is so."""
    if part in (0, whole):
        return "-" if not part else "100 %"
    return f"{min(max(100 * part / whole, 0.1), 99.9):.1f} %"


def rest(left):
    """Returns a line on what is left out, in a list, [] if nothing is."""
    return [f"and {len(left):,} more"] if left else []


def cut(text, width):
    """Returns printable text, filled or cut to a column's width."""
    text = visible(text)
    return f"{text:<{width}}" if len(text) < width else text[:width - 4] + "... "
