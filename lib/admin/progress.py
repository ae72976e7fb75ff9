# SPDX-License-Identifier: MIT
"""Shows on a terminal how far something is that takes long."""

import contextlib
import sys
import time

PATIENCE = 2        # seconds before anything is shown
ERASE = "\r\033[K"


@contextlib.contextmanager
def shown(what, total):
    """A context that gives a function to call after each of a number of things.

    what: what is counted (str); total: their number.  Standard error has one line, which
    disappears at the end; it has none unless it is a terminal.
    """
    started, done, last = time.monotonic(), 0, 0.0

    def count():
        nonlocal done, last
        done += 1
        now = time.monotonic()
        if is_terminal and now - started > PATIENCE and now - last > 0.1:
            last = now
            print(f"{ERASE}{done} of {total} {what}", end="", file=sys.stderr, flush=True)

    is_terminal = sys.stderr.isatty()
    try:
        yield count
    finally:
        if last:
            print(ERASE, end="", file=sys.stderr, flush=True)
