# SPDX-License-Identifier: MIT
"""The contract of qmail-remote with qmail-rspawn.

Descriptors 1 and 2 are one pipe, the delivery report.  Its parts and the exit code
decide whether the message is delivered, deferred or bounced (report() in
qmail-rspawn.c).  So only one whole report is written there: ours, by defer() in the
script, or the original's.
"""

import posix
import sys

from .. import process
from ..errors import SettingTrouble

# Environment variable of the next program: how often this program has run; see process.passes().
PASSES = "QMAIL_REMOTE_DK"


def count_pass(environment):
    """Counts this run in the environment of the program that we become.

    environment: {str: str}.  Raises SettingTrouble if DKREMOTE keeps leading back here.
    """
    passes = process.passes(environment, PASSES)
    if passes >= process.MOST_PASSES:
        raise SettingTrouble("DKREMOTE leads back to this program, not to the original "
                             "qmail-remote")
    posix.putenv(PASSES, str(passes + 1))


def run_original(path, arguments, message):
    """Executes the original qmail-remote in this process.

    path: str; arguments: host, sender, recipients, as this program got them
    message: descriptor of the message to send, at its start; 0 for the one that came
    Does not return; raises SettingTrouble, OSError.
    """
    if message != 0:
        posix.dup2(message, 0)
    restore_standard_error()
    process.restore_signals(ignored_by_parent())
    try:
        posix.execv(path, ["qmail-remote"] + arguments)
    except OSError as error:
        raise SettingTrouble(f"unable to run {path}: {error.strerror}; DKREMOTE must be "
                             "the original qmail-remote") from error


def hold_report():
    """Opens the descriptor of -X stderr=N if it is closed, so that no other file gets its number.

    The launcher's shell may have closed it, as Korn shells do; the original would then get
    the copy of the message as descriptor 2.  Descriptor 1 is the same pipe.
    """
    kept = sys._xoptions.get("stderr")
    if kept:
        try:
            posix.fstat(int(kept))
        except OSError:
            posix.dup2(1, int(kept))


def restore_standard_error():
    """Makes descriptor 2 the delivery report again.

    The launcher keeps the report on another descriptor (-X stderr=N), so that no words
    of Python or of a library get into it.
    """
    kept = sys._xoptions.get("stderr")
    if kept:
        posix.dup2(int(kept), 2)
        posix.close(int(kept))


def ignored_by_parent():
    """Returns the signals that qmail-rspawn ignores, as a mask (int); bit 0 is signal 1.

    The launcher, our parent, still has the dispositions from qmail-rspawn, which ignores
    SIGPIPE.  Returns 0 if they can't be read; that is right as well, because qmail-remote
    ignores SIGPIPE on its own.
    """
    if "stderr" in sys._xoptions:
        try:
            with open(f"/proc/{posix.getppid()}/status", "rb") as status:
                return int(status.read().partition(b"\nSigIgn:")[2].split(None, 1)[0], 16)
        except (OSError, ValueError, IndexError):
            pass
    return 0
