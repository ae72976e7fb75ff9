# SPDX-License-Identifier: MIT
"""States of other processes."""


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
