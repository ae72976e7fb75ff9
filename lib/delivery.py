# SPDX-License-Identifier: MIT
"""The contract of qmail-remote with qmail-rspawn.

Descriptors 1 and 2 are one pipe, the delivery report; its first byte, its
first NUL and the exit code decide what becomes of the message (report() in
qmail-rspawn.c).  So nothing is written there but one whole report: ours, by
defer() in the script, or the original's.
"""

import posix
import sys

from . import process
from .errors import SettingTrouble

# In the environment of what we start: this program has already run.
PASSED = "QMAIL_REMOTE_DK"


def refuse_loop(environment):
    """Raises SettingTrouble if the original that we started led back here."""
    if PASSED in environment:
        raise SettingTrouble("DKREMOTE leads back to this program, not to the original "
                             "qmail-remote")


def run_original(path, arguments, message):
    """Becomes the original qmail-remote.  Returns only by raising SettingTrouble or OSError.

    arguments: host, sender, recipients, as this program got them
    message: descriptor of what is to be sent, at its start; 0 for what came
    """
    if message != 0:
        posix.dup2(message, 0)
    restore_standard_error()
    process.restore_signals(ignored_by_parent())
    posix.putenv(PASSED, "1")
    try:
        posix.execv(path, ["qmail-remote"] + arguments)
    except OSError as error:
        raise SettingTrouble(f"unable to run {path}: {error.strerror}; DKREMOTE must be "
                             "the original qmail-remote") from error


def restore_standard_error():
    """Gives descriptor 2 back to the report.

    The launcher keeps it on another descriptor (-X stderr=N), so that nothing
    that Python or a library may say gets into the report.
    """
    kept = sys._xoptions.get("stderr")
    if kept:
        posix.dup2(int(kept), 2)
        posix.close(int(kept))


def ignored_by_parent():
    """The signals that qmail-rspawn ignores, as a mask; bit 0 is signal 1.

    Under the launcher the parent still has the dispositions that qmail-rspawn
    gave (it ignores SIGPIPE); where they can't be read, the default is right,
    for qmail-remote ignores SIGPIPE by itself.
    """
    if "stderr" in sys._xoptions:
        try:
            with open(f"/proc/{posix.getppid()}/status", "rb") as status:
                return int(status.read().partition(b"\nSigIgn:")[2].split(None, 1)[0], 16)
        except (OSError, ValueError, IndexError):
            pass
    return 0
