# SPDX-License-Identifier: MIT
"""The qmail that runs now, by its qmail-rspawn: the original, or ours."""

import os
from typing import NamedTuple

from .settings import QMAIL

RESIDENT = "/lib/qmail_rspawn.py"


class Rspawn(NamedTuple):
    """A process that is qmail's qmail-rspawn.

    number: its id; environment: dict; release: where its program is, if it is
    the resident signer, else None
    """
    number: int
    environment: dict
    release: str


def rspawn(qmail=QMAIL):
    """The Rspawn of this qmail, or None where none is to be seen."""
    original = os.path.realpath(qmail + "/bin/qmail-rspawn")
    for process in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc") else ()):
        try:
            # "(deleted)": qmail was installed anew since
            program = os.readlink(f"/proc/{process}/exe").replace(" (deleted)", "")
            release = resident_release(strings(process, "cmdline"), qmail)
            if release is not None or program in (original, original + ".orig"):
                variables = strings(process, "environ")
                return Rspawn(int(process), dict(variable.partition("=")[::2]
                                                 for variable in variables), release)
        except OSError:
            continue
    return None


def resident_release(command, qmail):
    """The release of the resident signer that a command (list of str) is for a qmail, or None."""
    if len(command) < 2 or not command[-1].isdigit() or f"qmail={qmail}" not in command:
        return None
    release, found, _ = command[-2].rpartition(RESIDENT)
    return release if found else None


def strings(process, name):
    """A file of /proc that is made of strings ended by NUL: list of str.  Raises OSError."""
    with open(f"/proc/{process}/{name}", encoding="utf-8", errors="surrogateescape") as file:
        return [text for text in file.read().split("\0") if text]
