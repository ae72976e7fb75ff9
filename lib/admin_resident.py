# SPDX-License-Identifier: MIT
"""Checks the resident programs that install.sh --resident has installed."""

import os
import pwd
import tempfile
import time

from . import admin_account, message, resident_exchange
from .admin_findings import FAIL, OK, WARN, Finding
from .admin_installation import PREFIX, REPAIR, mentions, names_missing_launcher
from .errors import SettingTrouble

SIGNER = "qmail_rspawn.py"
SERVER = "resident verifier"
RESTART = "restart qmail"
SMTPD = "qmaild"        # whom qmail-smtpd runs as, where nobody has changed that
UNSIGNED = b"From: postmaster@check.invalid\n\nThis message is verified, and not sent.\n"


def findings(installation, in_force, running):
    """All Findings on the resident programs.

    installation: admin_installation.Installation; in_force: settings.Settings
    running: admin_running.Rspawn, or None
    """
    found = []
    if installation.rspawn:
        found += place_findings(installation.rspawn) + running_findings(running)
    if installation.service:
        found.append(server_finding(in_force))
    return found


def place_findings(path):
    """Whether the resident signer is in the place of qmail-rspawn."""
    try:
        if not mentions(path, SIGNER.encode()):
            return [Finding(FAIL, path, "is not the launcher of the resident signer (has qmail "
                            "been installed anew?)", f"{REPAIR}, then {RESTART}")]
    except OSError as error:
        return [Finding(FAIL, path, f"can't be read: {error.strerror}", REPAIR)]
    if names_missing_launcher(path):
        return [Finding(FAIL, path + ".launcher", "is missing, so qmail does not start", REPAIR)]
    if not os.access(path + ".orig", os.X_OK):
        return [Finding(WARN, path + ".orig", "is missing: nothing steps in where the resident "
                        "signer does not start", "bring it back, from qmail's source")]
    return []


def running_findings(running):
    """Whether the resident signer runs."""
    subject = "resident signer"
    if running is None:
        return [Finding(WARN, subject, "no running qmail-rspawn could be seen",
                        "start qmail, and run this as root")]
    if running.release is None:
        return [Finding(FAIL, subject, f"process {running.number} is the original qmail-rspawn, "
                        "which starts a program for each delivery",
                        f"{RESTART}; if that does not help, the log of facility mail says why")]
    if os.path.realpath(running.release) != os.path.realpath(PREFIX):
        return [Finding(WARN, subject, f"process {running.number} is of an older version, "
                        f"{running.release}", RESTART)]
    return [Finding(OK, subject, f"process {running.number} is qmail-rspawn")]


def server_finding(in_force):
    """Whether the resident verifier answers, and qmail-smtpd's user may ask it."""
    path = in_force["DKSERVER"]
    started = time.monotonic()
    try:
        letter = ask(path, in_force)
    except (resident_exchange.NoAnswer, SettingTrouble) as trouble:
        return Finding(FAIL, SERVER, f"{path}: {trouble}; each message is verified by itself",
                       "see the log of qmail-dk-verifyd, and that it runs and DKSERVER is its "
                       "socket")
    if letter != "C":
        return Finding(FAIL, SERVER, f"{path}: found {letter} in a message without a signature",
                       REPAIR)
    return Finding(OK, SERVER, f"{path}: answers in {(time.monotonic() - started) * 1000:.0f} ms")


def ask(path, in_force):
    """The letter for a message, asked for as by qmail-smtpd.  Raises NoAnswer, SettingTrouble."""
    terms = resident_exchange.Terms(in_force.number("DKRSAMIN", "bits"), False,
                                    in_force.authserv_id())
    header, _ = message.split([UNSIGNED])
    with tempfile.TemporaryFile() as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(UNSIGNED)
        file.flush()
        with admin_account.eyes_of(smtpds_account()):
            return resident_exchange.ask(path, file.fileno(), header, terms).letter


def smtpds_account():
    """The admin_account.Account of qmail-smtpd where root asks, else one's own."""
    try:
        entry = pwd.getpwnam(SMTPD)
    except KeyError:
        entry = None
    if os.geteuid() or entry is None:
        return admin_account.Account(os.geteuid(), os.getegid())
    return admin_account.Account(entry.pw_uid, entry.pw_gid)
