# SPDX-License-Identifier: MIT
"""States and sizes of other processes."""

import os


def state(process_id):
    """Returns the state of a process's first thread, a letter as in ps."""
    with open(f"/proc/{process_id}/stat", encoding="ascii", errors="replace") as file:
        return file.read().rpartition(")")[2].split()[0]


def is_running(process_id):
    """A process that has ended may stay as a zombie.

    That of an orphan stays if pytest is process 1, as in a container: it collects none.
    """
    try:
        return state(process_id) != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def resident_size(process_id):
    """Returns the bytes that a process has in memory; 0 of one that has ended."""
    try:
        with open(f"/proc/{process_id}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, ProcessLookupError):
        return 0
