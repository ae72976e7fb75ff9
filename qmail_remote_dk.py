#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Installed as qmail-remote: signs the message, then becomes the original.

    qmail_remote_dk.py host sender recipient ...    (message on descriptor 0)

Whatever goes wrong before the original runs is reported as a temporary
failure, so that qmail-send tries again: nothing is bounced or lost by us.
qmail-dk-control(5) has the settings.
"""

import _signal      # signal itself costs 3 ms
import gc
import posix        # what os is made of; os itself costs 2.5 ms
import sys

# Seconds of CPU time, far more than any message takes: short of memory, Python 3.11
# may loop for ever where it handles an exception.  The end by a signal is temporary.
LONGEST = 120


def main(arguments):
    # Under -I, Python does not look for modules beside the script.
    sys.path.insert(0, __file__.rpartition("/")[0] or "/")
    from lib import delivery, outbound, process, settings, spool

    environment = process.environment()
    delivery.refuse_loop(environment)
    in_force = settings.Settings(environment)
    message = spool.from_start(0, in_force.temporary_directory())
    try:
        message = outbound.prepare(message, arguments, in_force)
    except Exception as trouble:
        if not in_force.unsigned_on_error():
            raise
        outbound.log([(True, f"sent unsigned (DKONERROR): {trouble!r}")], arguments)
    delivery.run_original(in_force["DKREMOTE"], arguments, message)


def defer(trouble):
    """Reports trouble as a temporary failure and ends the process.

    The report is all that is ever written to descriptor 1.  Where it can't be
    written, exit code 111 says the same.  Needs nothing of lib/, which may be
    what is missing.
    """
    code = 111
    try:
        reason = f"{type(trouble).__name__}: {trouble}".replace("\0", "?")
        reason = " ".join(reason.split()).encode("ascii", "replace")[:500]
        report = b"Zqmail-remote-dk: " + reason + b" (#4.3.0)\n\0"
        if posix.write(1, report) == len(report):
            code = 0
        import syslog
        # A syslog daemon that takes no more lines: each attempt is interrupted.
        _signal.signal(_signal.SIGALRM, lambda number, frame: None)
        _signal.setitimer(_signal.ITIMER_REAL, 0.5, 0.5)
        syslog.openlog("qmail-remote-dk", syslog.LOG_PID, syslog.LOG_MAIL)
        syslog.syslog(syslog.LOG_WARNING, "warning: deferred: " + reason.decode())
    finally:
        posix._exit(code)


if __name__ == "__main__":
    gc.disable()    # one message leaves nothing worth looking for
    # Descriptor 2 is the report's as well: no warning or traceback may get there.
    sys.stderr = None
    try:
        _signal.setitimer(_signal.ITIMER_PROF, LONGEST)
        main(sys.argv[1:])
    except BaseException as trouble:    # the one place where trouble becomes Z
        defer(trouble)
