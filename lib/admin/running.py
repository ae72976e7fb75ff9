# SPDX-License-Identifier: MIT
"""Finds the running qmail by its qmail-rspawn, the original or ours.

Only processes whose real user is root or one of qmail's users count, because any user
can start a process with any name and environment.
"""

import os
import pwd
from typing import NamedTuple

from ..settings import QMAIL
from .account import signers_account

# As in install/processes.sh.
USERS = ("alias", "qmaild", "qmaill", "qmailp", "qmailq", "qmailr", "qmails", "vpopmail")
RESIDENT = "/lib/qmail_rspawn.py"


class Rspawn(NamedTuple):
    """A process that is qmail's qmail-rspawn.

    number: its id; environment: {str: str}
    release: directory of the resident signer's release, None for the original
    """
    number: int
    environment: dict
    release: str


def rspawn(qmail=QMAIL):
    """Returns the Rspawn of this qmail, or None if none can be seen.  qmail: its home"""
    original = os.path.realpath(qmail + "/bin/qmail-rspawn")
    trusted = trusted_users()
    for process in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc") else ()):
        try:
            # "(deleted)": qmail has been reinstalled since
            program = os.readlink(f"/proc/{process}/exe").replace(" (deleted)", "")
            release = resident_release(strings(process, "cmdline"), qmail)
            if ((release is not None or program in (original, original + ".orig"))
                    and int(status(process)["Uid"].split()[0]) in trusted):
                variables = strings(process, "environ")
                return Rspawn(int(process), dict(variable.partition("=")[::2]
                                                 for variable in variables), release)
        except (OSError, KeyError, ValueError):
            continue            # it has ended, or belongs to another user
    return None


def trusted_users():
    """Returns the ids of the users whose processes count, our own among them; set of int."""
    found = {0, os.geteuid()}
    signer = signers_account()
    if signer:
        found.add(signer.user)
    for name in USERS:
        try:
            found.add(pwd.getpwnam(name).pw_uid)
        except KeyError:
            continue
    return found


def resident_release(command, qmail):
    """Returns the directory of the release whose resident signer a command runs, or None.

    command: list of str; qmail: the home that the command must name
    """
    if len(command) < 2 or not command[-1].isdigit() or f"qmail={qmail}" not in command:
        return None
    release, found, _ = command[-2].rpartition(RESIDENT)
    return release if found else None


def residents(prefix, programs):
    """Returns the processes of our resident programs: list of (number, release, program).

    prefix: directory of the releases; programs: paths within a release
    Leaves out the workers that such a process has started.
    """
    found = {}
    for process in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc") else ()):
        try:
            command = strings(process, "cmdline")
            parent = int(text(process, "stat").rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue            # it has ended
        for argument in command[:8]:
            for program in programs:
                release = argument[:-len(program)]
                if argument.endswith(program) and os.path.dirname(release) == prefix:
                    found[int(process)] = parent, release, program
    return [(number, release, program) for number, (parent, release, program) in found.items()
            if parent not in found]


def status(process):
    """Returns /proc/PID/status as {name: value}, str.  Raises OSError."""
    return dict(line.partition(":\t")[::2] for line in text(process, "status").splitlines())


def strings(process, name):
    """Returns the strings between NULs in a file of /proc/PID, but empty ones.  Raises OSError."""
    return [string for string in text(process, name).split("\0") if string]


def text(process, name):
    """Returns the text of a file of /proc/PID (str).  process: PID.  Raises OSError."""
    with open(f"/proc/{process}/{name}", encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
