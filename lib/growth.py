# SPDX-License-Identifier: MIT
"""Measures how much memory a long-running process has gained since it began to work.

A header of many thousand fields fragments tens of MiB, which are free but are not
returned to the system.  A process that has grown so exits, and another replaces it.
"""

import os

MOST = 8 * 1024 * 1024      # bytes; an hour of honest messages takes half of this
STATM = "/proc/self/statm"  # counts pages: total, resident, ... (proc(5))


class Growth:
    """The growth of this process since the object was created."""

    def __init__(self):
        self.start = in_memory()

    def is_too_much(self):
        return in_memory() > self.start + MOST


def in_memory():
    """Returns the resident size of this process in bytes, 0 if /proc does not give it."""
    try:
        with open(STATM, "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
