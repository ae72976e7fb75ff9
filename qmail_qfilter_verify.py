#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Verifies DomainKeys and DKIM on inbound mail.

    QMAILQUEUE=.../qmail_qfilter_verify.py      then becomes DKQUEUE
    qmail-qfilter .../qmail_qfilter_verify.py

It detects which of the two ways it is run in; --queue or --filter forces one.
DKVERIFY names the results to refuse.  Without it, and with RELAYCLIENT, mail passes
unchanged.  Every error of our own is temporary, so that the sending side tries again:
no error rejects or loses mail.  qmail-dk-control(5) documents the settings.
"""

import _signal      # signal itself costs 3 ms
import gc
import posix        # the module that os is built on; os itself costs 2.5 ms
import sys

# Seconds of CPU time, far more than any message takes.  When memory is short, Python 3.11
# may loop forever while it handles an exception.  Callers take the signal as temporary.
LONGEST = 120

# qmail-queue's exit codes for our errors, by the exception's name; BUG for all others.
EXIT_CODES = {"MemoryError": 51, "SpoolTrouble": 53, "ReadTrouble": 54, "SettingTrouble": 55,
              "Trouble": 71, "OSError": 71, "ImportError": 71}
BUG = 81

NO_MEMORY = EXIT_CODES["MemoryError"]
LOADERS_WORDS = ("failed to map segment", "annot allocate memory", "cannot create shared object",
                 "Out of memory")       # the words of musl's loader
ENLARGE = ("; too little memory; remedy: softlimit -m 100000000 in the run script of qmail-smtpd, "
           "or more memory")
REPAIR = "; remedy: run install.sh again"
DAMAGED_WORDS = "null bytes", "bad marshal data"    # of source and compiled code, in ValueError
LAST_WORDS = f"qmail-qfilter-verify: deferred: MemoryError{ENLARGE}\n".encode()


def main(arguments):
    """Verifies a message, or passes it on unchanged.  Returns the exit code.

    arguments: list of str.  Raises Trouble, OSError.
    """
    from lib import process
    from lib.qmail import queue
    from lib.settings import Settings

    queue.occupy_standard_error()
    unanswered = None
    if arguments[1:2] == [queue.NO_ANSWER]:
        arguments, unanswered = arguments[:1], " ".join(arguments[2:])
    way = queue.way_to_run(arguments)
    environment = process.environment()
    queue.count_pass(way, environment)
    settings = Settings(environment)
    if "RELAYCLIENT" in environment or not settings.letters():
        return queue.hand_on(way, 0, settings)
    from lib.verifying import inbound      # imported late: our own users' mail does not need it
    return inbound.verify(way, settings, unanswered)


def explain(trouble):
    """Writes one line about an exception to descriptor 2.  Returns the exit code.

    It needs nothing of lib/, which may be missing itself.
    """
    short = is_short_of_memory(trouble)
    text = " ".join(f"{type(trouble).__name__}: {trouble}".split())[:600] + (
        ENLARGE if short else REPAIR if is_damage(trouble) else "")
    client = posix.environ.get(b"TCPREMOTEIP", b"unknown")[:100].decode("latin-1")
    origin = getattr(trouble, "origin", f"client={client}")
    text = "".join(c if " " <= c <= "~" else "?" for c in f"{text}; {origin}")
    tell(f"qmail-qfilter-verify: deferred: {text}\n".encode())
    if short:
        return NO_MEMORY
    codes = [EXIT_CODES[kind.__name__] for kind in type(trouble).__mro__
             if kind.__name__ in EXIT_CODES]
    return codes[0] if codes else BUG


def is_short_of_memory(trouble):
    """Returns whether an exception was caused by a lack of memory.

    The loader of libraries reports it only in words, and Python sometimes loses the
    exception on its way and raises SystemError instead.
    """
    return (isinstance(trouble, (MemoryError, SystemError)) or getattr(trouble, "errno", 0) == 12
            or any(words in str(trouble) for words in LOADERS_WORDS))


def is_damage(trouble):
    """Returns whether an exception shows that a file of ours, or of Python's, is not as it was.

    As lib.errors.is_damage(), which may be damaged itself.
    """
    return isinstance(trouble, (ImportError, SyntaxError, EOFError)) or (
        isinstance(trouble, ValueError) and any(words in str(trouble) for words in DAMAGED_WORDS))


def tell(line):
    """Writes a line (bytes) to descriptor 2, unless that is a socket.

    Under inetd it is one: the SMTP connection.
    """
    try:
        if posix.fstat(2).st_mode & 0o170000 != 0o140000:
            posix.write(2, line)
    except OSError:
        pass


def run(find_library=None):
    """Verifies one message and exits.  The launcher calls it.

    find_library: function to call first, or None
    """
    gc.disable()    # one message leaves too little garbage to collect
    code = BUG
    try:
        _signal.setitimer(_signal.ITIMER_PROF, LONGEST)
        if find_library:
            find_library()
        code = main(sys.argv[1:])
    except BaseException as trouble:    # the only place where an error becomes an exit code
        code = None
        code = explain(trouble)
    finally:
        if code is None:        # there was not even memory to explain it
            code = NO_MEMORY
            tell(LAST_WORDS)
        posix._exit(code)


def look_beside_the_script():
    """Adds the script's directory to sys.path, which Python does not do under -I."""
    path = __file__
    if posix.lstat(path).st_mode & 0o170000 == 0o120000:    # started through a link
        import os
        path = os.path.realpath(path)
    sys.path.insert(0, path.rpartition("/")[0] or "/")


if __name__ == "__main__":
    run(look_beside_the_script)
