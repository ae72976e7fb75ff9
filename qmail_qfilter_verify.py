#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Verifies DomainKeys and DKIM on inbound mail.

    QMAILQUEUE=.../qmail_qfilter_verify.py      then becomes DKQUEUE
    qmail-qfilter .../qmail_qfilter_verify.py

Tells by itself which of the two it is; --queue or --filter forces one.
DKVERIFY says which results are refused; without it, and with RELAYCLIENT,
mail passes as it is.  Whatever goes wrong is a temporary error, so that the
sending side tries again: nothing is refused for good or lost by us.
qmail-dk-control(5) has the settings.
"""

import _signal      # signal itself costs 3 ms
import gc
import posix        # what os is made of; os itself costs 2.5 ms
import sys

# Seconds of CPU time, far more than any message takes: short of memory, Python 3.11
# may loop for ever where it handles an exception.  The end by a signal is temporary.
LONGEST = 120

# qmail-queue's exit codes for our trouble; for any that is not here it is BUG.
EXIT_CODES = {"MemoryError": 51, "SpoolTrouble": 53, "ReadTrouble": 54, "SettingTrouble": 55,
              "Trouble": 71, "OSError": 71, "ImportError": 71}
BUG = 81


def main(arguments):
    """-> exit code."""
    # Under -I, Python does not look for modules beside the script.
    path = __file__
    if posix.lstat(path).st_mode & 0o170000 == 0o120000:    # started by a link to it
        import os
        path = os.path.realpath(path)
    sys.path.insert(0, path.rpartition("/")[0] or "/")
    from lib import process, queueing, settings

    queueing.occupy_standard_error()
    way = queueing.way_to_run(arguments)
    environment = process.environment()
    queueing.refuse_loop(way, environment)
    in_force = settings.Settings(environment)
    if "RELAYCLIENT" in environment or not in_force.letters():
        return queueing.hand_on(way, 0, in_force)
    from lib import incoming    # mail of our own users does not pay for this
    return incoming.verify(way, in_force)


def explain(trouble):
    """Writes one line about trouble to descriptor 2 -> exit code.

    Needs nothing of lib/, which may be what is missing.
    """
    text = " ".join(f"{type(trouble).__name__}: {trouble}".split())[:800]
    text = "".join(c if " " <= c <= "~" else "?" for c in text)
    try:
        # Under inetd it is a socket: the SMTP connection.
        if posix.fstat(2).st_mode & 0o170000 != 0o140000:
            posix.write(2, f"qmail-qfilter-verify: deferred: {text}\n".encode())
    except OSError:
        pass
    codes = [EXIT_CODES[kind.__name__] for kind in type(trouble).__mro__
             if kind.__name__ in EXIT_CODES]
    return codes[0] if codes else BUG


if __name__ == "__main__":
    gc.disable()    # one message leaves nothing worth looking for
    code = BUG
    try:
        _signal.setitimer(_signal.ITIMER_PROF, LONGEST)
        code = main(sys.argv[1:])
    except BaseException as trouble:    # the one place where trouble becomes an exit code
        code = explain(trouble)
    finally:
        posix._exit(code)
