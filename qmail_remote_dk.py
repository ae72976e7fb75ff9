#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs in the place of qmail-remote: signs the message, then executes the original.

    qmail_remote_dk.py host sender recipient ...    (message on descriptor 0)

Any error before the original runs is reported as a temporary failure, so that
qmail-send tries again: this program neither bounces nor loses a message.
qmail-dk-control(5) describes the settings.
"""

import _signal      # signal itself costs 3 ms
import gc
import posix        # what os is made of; os itself costs 2.5 ms
import sys

# Seconds of CPU time, far more than any message takes.  When memory is short, Python 3.11
# may loop forever while it handles an exception.  qmail-rspawn takes the death by
# SIGPROF for a temporary failure.
LONGEST = 120

LOADERS_WORDS = ("failed to map segment", "annot allocate memory", "cannot create shared object",
                 "Out of memory")       # the words of musl's loader
ENLARGE = ("; too little memory; remedy: softlimit -m 100000000 in the script that starts qmail, "
           "or more memory")
REPAIR = "; remedy: run install.sh again"
DAMAGED_WORDS = "null bytes", "bad marshal data"    # of source and compiled code, in ValueError


def main(arguments):
    from lib import process
    from lib.qmail import remote, spool
    from lib.settings import Settings
    from lib.signing import outbound

    remote.hold_report()
    environment = process.environment()
    remote.count_pass(environment)
    settings = Settings(environment)
    message = spool.from_start(0, settings.temporary_directory)
    try:
        message = outbound.prepare(message, arguments, settings)
    except Exception as trouble:
        if not settings.unsigned_on_error():
            raise
        outbound.log([outbound.unsigned(trouble)], arguments)
    remote.run_original(settings.path("DKREMOTE"), arguments, message)


def defer(trouble):
    """Reports an exception as a temporary failure and ends the process.

    trouble: the exception.  This program writes nothing else to descriptor 1.
    If the report can't be written, exit code 111 has the same meaning.  Imports
    nothing from lib/, since that may be what is missing.
    """
    code = 111
    try:
        reason = f"{type(trouble).__name__}: {trouble}".replace("\0", "?")
        reason = " ".join(reason.split()).encode("ascii", "replace")[:500]
        if is_short_of_memory(trouble):
            reason += ENLARGE.encode()
        elif is_damage(trouble):
            reason += REPAIR.encode()
        report = b"Zqmail-remote-dk: " + reason + b" (#4.3.0)\n\0"
        if posix.write(1, report) == len(report):
            code = 0
        if b"QMAIL_DK_TRIAL" in posix.environ:      # lib.maillog.TRIAL: a trial, not mail
            return
        import syslog
        # If the syslog daemon accepts no more lines, the timer interrupts each attempt.
        _signal.signal(_signal.SIGALRM, lambda number, frame: None)
        _signal.setitimer(_signal.ITIMER_REAL, 0.5, 0.5)
        syslog.openlog("qmail-remote-dk", syslog.LOG_PID, syslog.LOG_MAIL)
        syslog.syslog(syslog.LOG_WARNING, "warning: deferred: " + reason.decode())
    finally:
        posix._exit(code)


def is_short_of_memory(trouble):
    """Returns whether an exception was caused by a lack of memory.

    The dynamic loader reports that only in words; and Python sometimes loses
    the exception in transit and raises SystemError.
    """
    return (isinstance(trouble, (MemoryError, SystemError)) or getattr(trouble, "errno", 0) == 12
            or any(words in str(trouble) for words in LOADERS_WORDS))


def is_damage(trouble):
    """Returns whether an exception shows that a file of ours, or of Python's, is not as it was.

    As lib.errors.is_damage(), which may be damaged itself.
    """
    return isinstance(trouble, (ImportError, SyntaxError, EOFError)) or (
        isinstance(trouble, ValueError) and any(words in str(trouble) for words in DAMAGED_WORDS))


def run():
    """Signs one message.  Does not return.  Called by the launcher."""
    gc.disable()    # one message leaves no garbage worth a search
    # Descriptor 2 is part of the report: no warning or traceback may be written there.
    sys.stderr = None
    try:
        _signal.setitimer(_signal.ITIMER_PROF, LONGEST)
        main(sys.argv[1:])
    except BaseException as trouble:    # the only place that turns an error into a Z report
        defer(trouble)


if __name__ == "__main__":
    # With -I, Python does not search the script's directory for modules.
    sys.path.insert(0, __file__.rpartition("/")[0] or "/")
    run()
