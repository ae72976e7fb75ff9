# SPDX-License-Identifier: MIT
"""Checks the resident programs that install.sh --resident installs."""

import os
import pwd
import stat
import tempfile
import time

from ..errors import SettingTrouble
from ..mail import message
from ..verifying import exchange
from ..verifying.report import Terms
from . import account
from .check_installation import REPAIR, launcher_beside, mentions
from .findings import FAIL, OK, WARN, Finding
from .host import PREFIX

SIGNER = "qmail_rspawn.py"
PROGRAM = os.path.join(PREFIX, "lib", SIGNER)
SERVER = "resident verifier"
RESTART = "restart qmail"
SMTPD = "qmaild"        # the user that qmail-smtpd runs as by default
NOT_STARTED = ("nobody starts it: run ./install.sh --service DIR, the directory that svscan or "
               "runsvdir scans")
UNSIGNED = b"From: postmaster@check.invalid\n\nThis message is verified, and not sent.\n"


def findings(host):
    """Returns all Findings on the resident programs.  host: host.Host, with an installation"""
    found = []
    if host.installation.rspawn:
        found += place_findings(host.installation.rspawn) + running_findings(host.running)
    if host.installation.service:
        found.append(server_finding(host))
    return found


def place_findings(path):
    """Checks that the resident signer is in the place of qmail-rspawn.  path: of qmail-rspawn"""
    try:
        if not mentions(path, SIGNER.encode()):
            return [Finding(FAIL, path, "is not the launcher of the resident signer (has qmail "
                            "been installed anew?)", f"{REPAIR}, then {RESTART}")]
    except OSError as error:
        return [Finding(FAIL, path, f"can't be read: {error.strerror}", REPAIR)]
    if not os.path.exists(PROGRAM):
        return [Finding(FAIL, path, f"starts {PROGRAM}, which is gone, so the original "
                        f"{path}.orig runs", f"{REPAIR}, then {RESTART}")]
    beside = launcher_beside(path)
    if beside and not os.path.exists(beside):
        return [Finding(FAIL, beside, "is missing, so qmail does not start", REPAIR)]
    read = beside or path       # by sh, as qmail-rspawn's user
    if not os.stat(read).st_mode & stat.S_IROTH:
        return [Finding(FAIL, read, "qmail-rspawn's user can't read it, so qmail does not start",
                        f"chmod 755 {read}")]
    if not mentions(read, PROGRAM.encode()):
        return [Finding(FAIL, read, f"does not start {PROGRAM}", f"{REPAIR}, then {RESTART}")]
    if not os.access(path + ".orig", os.X_OK):
        return [Finding(WARN, path + ".orig", "is missing: nothing steps in where the resident "
                        "signer does not start", "bring it back, from qmail's source")]
    return []


def running_findings(running):
    """Checks that the resident signer runs.  running: running.Rspawn or None"""
    subject = "resident signer"
    if running is None:
        return [Finding(WARN, subject, "no running qmail-rspawn was found",
                        "start qmail, and run this as root")]
    if running.release is None:
        return [Finding(FAIL, subject, f"process {running.number} is the original qmail-rspawn, "
                        "which starts a program for each delivery",
                        f"{RESTART}; if that does not help, the log of facility mail says why")]
    if is_older(running):
        return [Finding(WARN, subject, f"process {running.number} is of an older version, "
                        f"{running.release}", RESTART)]
    return [Finding(OK, subject, f"process {running.number} is qmail-rspawn")]


def is_older(running):
    """Returns whether the running resident signer is not of the installed release."""
    return os.path.realpath(running.release) != os.path.realpath(PREFIX)


def server_finding(host):
    """Returns the Finding on whether the resident verifier answers qmail-smtpd's user."""
    path = host.settings["DKSERVER"]
    started = time.monotonic()
    try:
        letter = ask(path, host.settings)
    except (exchange.NoAnswer, SettingTrouble) as trouble:
        return Finding(FAIL, SERVER, f"{path}: {trouble}; each message is verified on its own",
                       NOT_STARTED if host.installation.service == "none" else
                       "see the log of qmail-dk-verifyd, and that it runs and DKSERVER is its "
                       "socket")
    if letter != "C":
        return Finding(FAIL, SERVER, f"{path}: found {letter} in a message without a signature",
                       REPAIR)
    return Finding(OK, SERVER, f"{path}: answers in {(time.monotonic() - started) * 1000:.0f} ms")


def ask(path, settings):
    """Asks for the letter (str) of UNSIGNED, with qmail-smtpd's rights.

    path: of the socket.  Raises exchange.NoAnswer, SettingTrouble.
    """
    terms = Terms(settings.number("DKRSAMIN", "bits"), False, exchange.TRIAL)
    header, _ = message.split([UNSIGNED])
    with tempfile.TemporaryFile() as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(UNSIGNED)
        file.flush()
        with account.eyes_of(smtpds_account()):
            return exchange.ask(path, file.fileno(), header, terms).letter


def smtpds_account():
    """Returns the account.Account of SMTPD if root asks and it exists, else this process's own."""
    try:
        entry = pwd.getpwnam(SMTPD)
    except KeyError:
        entry = None
    if os.geteuid() or entry is None:
        return account.Account(os.geteuid(), os.getegid())
    return account.Account(entry.pw_uid, entry.pw_gid)
