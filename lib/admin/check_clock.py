# SPDX-License-Identifier: MIT
"""Checks the clock, from which DKIM signatures have their t= and x=.

The DNS has no time of day to compare it with: what DNSSEC signs is valid from hours before
to days after.  So only the kernel is asked whether a time service keeps the clock.
"""

import contextlib
import ctypes
import os

from .findings import OK, WARN, Finding

SUBJECT = "clock"
CALLS = ("adjtimex", "ntp_adjtime")     # Linux has the first, BSD and macOS the second
UNSYNCHRONIZED = 5                      # TIME_ERROR in timex.h
STRUCTURE = 1024                        # bytes; struct timex has 208 on Linux, less on BSD

# Time services that set the clock and do not tell the kernel; ntpd is OpenNTPD's here.
SILENT = ("ntpd", "clockspeed")


def findings(library=None, processes="/proc"):
    """Returns the Findings.

    library: ctypes.CDLL, or what stands for libc in a test; processes: the directory
    """
    state = clock_state(library or ctypes.CDLL(None))
    if state is None:
        return [Finding(OK, SUBJECT, "this system does not say whether a time service keeps it")]
    silent = state == UNSYNCHRONIZED and silent_service(processes)
    if silent:
        return [Finding(OK, SUBJECT, f"{silent} runs, which does not tell the kernel whether it "
                        "keeps it; whether the time is right can't be seen here")]
    if state == UNSYNCHRONIZED:
        return [Finding(
            WARN, SUBJECT, "no time service keeps it, as far as can be seen; OpenDKIM refuses "
            "mail signed over 300 seconds ahead, Haraka any mail signed ahead",
            "run a time service, such as chrony")]
    return [Finding(OK, SUBJECT, "a time service keeps it, says the kernel; whether that one's "
                    "time is right can't be seen here")]


def clock_state(library):
    """Returns the kernel's state of the clock (int, of timex.h), or None if it is not to be had."""
    for name in CALLS:
        function = getattr(library, name, None)
        if function:
            # All zero, the structure asks for no change.
            state = function(ctypes.create_string_buffer(STRUCTURE))
            return None if state < 0 else state
    return None


def silent_service(processes):
    """Returns the name of a process of SILENT, "" if none runs.  processes: as /proc"""
    for process in filter(str.isdigit, os.listdir(processes) if os.path.isdir(processes) else ()):
        with contextlib.suppress(OSError), open(f"{processes}/{process}/comm", "rb") as file:
            name = file.read().rstrip(b"\n").decode("latin-1")
            if name in SILENT:
                return name
    return ""
