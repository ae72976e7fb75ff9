# SPDX-License-Identifier: MIT
"""Measures the memory of a long-running process, and what it has gained since it began to work.

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
    return pages(1)


def in_addresses():
    """Returns the address space that this process uses in bytes, 0 if /proc does not give it."""
    return pages(0)


def pages(field):
    """Returns a field of STATM (its index) in bytes, 0 if there is none."""
    try:
        with open(STATM, "rb") as file:
            return int(file.read().split()[field]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
