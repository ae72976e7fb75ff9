# SPDX-License-Identifier: MIT
"""Checks what surrounds the programs: log, clock, misspelt settings, processes of old releases."""

import contextlib
import difflib
import os
import socket

from ..settings import DEFAULTS
from . import check_clock, running as admin_running
from .findings import OK, WARN, Finding
from .host import PREFIX

RELEASES = os.path.dirname(PREFIX)
SYSLOG = "/dev/log"
LIKE = 0.8                  # least ratio in difflib; DKSING and DKSIGN reach it
OTHERS = ("DKIMSIGN", "DKIMVERIFY", "DKIMQUEUE", "DKIMKEYS")     # of qmail-dkim
RESIDENT = {"/lib/qmail_rspawn.py": "restart qmail",
            "/lib/qmail_dk_verifyd.py": "restart the service qmail-dk-verifyd"}


def findings(host):
    """Returns all Findings.  host: host.Host"""
    return (log_findings() + check_clock.findings() + name_findings(host)
            + release_findings())


def log_findings(path=SYSLOG):
    """Checks that a syslog daemon takes the signer's lines.  path: of its socket"""
    reason = "there is no such socket"
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_UNIX, kind) as connection:
            try:
                connection.settimeout(1)
                connection.connect(path)
                return [Finding(OK, path, "a syslog daemon listens")]
            except FileNotFoundError:
                break
            except OSError as error:
                reason = error.strerror or "no answer"
    return [Finding(WARN, path, f"{reason}, so the signer's lines in the log are lost",
                    "see that a syslog daemon runs")]


def name_findings(host):
    """Finds control files and variables whose names only resemble a setting's."""
    found = []
    with contextlib.suppress(OSError):      # check_installation reports a closed directory
        for name in sorted(os.listdir(host.settings.control)):
            meant = setting_meant(name)
            if meant and name != meant.lower():
                found.append(Finding(WARN, os.path.join(host.settings.control, name),
                                     "is no setting, so nothing reads it",
                                     f"if {meant} is meant, call it {meant.lower()}"))
    for name in sorted({**host.environment, **os.environ}):
        meant = setting_meant(name)
        if meant and name != meant:
            found.append(Finding(WARN, name, "in the environment is no setting, so nothing reads "
                                 "it", f"if {meant} is meant, call it that"))
    return found


def setting_meant(name):
    """Returns the setting that a name equals or resembles, None for others, as copies (dksign~)."""
    name = name.upper()
    if not name.isalpha() or not name.startswith("D") or name in OTHERS:
        return None
    return next(iter(difflib.get_close_matches(name, DEFAULTS, 1, LIKE)), None)


def release_findings(prefix=RELEASES, own=PREFIX):
    """Finds resident programs that run from another release than the installed one.

    prefix: directory of the releases; own: the installed one
    """
    found = []
    for number, release, program in admin_running.residents(prefix, RESIDENT):
        if os.path.realpath(release) != os.path.realpath(own):
            found.append(Finding(WARN, f"process {number}", f"still runs from {release}, which is "
                                 "not what is installed", RESIDENT[program]))
    return found
