# SPDX-License-Identifier: MIT
"""Checks what is installed: which qmail, the program in its place, the settings in force."""

import os
import platform
import sys
from typing import NamedTuple

from . import admin_packages, crypto, outbound, queueing, settings
from .admin_findings import FAIL, OK, WARN, Finding
from .errors import CryptoTrouble, SettingTrouble

PREFIX = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SIGNER = "qmail_remote_dk.py"
VERIFIER = "qmail_qfilter_verify.py"

# Each reads a setting as the programs do.  Raises SettingTrouble.
READERS = (
    lambda in_force: in_force.words("DKPROTOCOLS", settings.PROTOCOLS),
    lambda in_force: in_force.canonicalization(),
    lambda in_force: outbound.header_list(in_force["DKIMHEADERS"]),
    lambda in_force: outbound.identity(in_force),
    lambda in_force: in_force.seconds("DKIMEXPIRE"),
    lambda in_force: in_force.unsigned_on_error(),
    lambda in_force: in_force.checks_forwarded(),
    lambda in_force: in_force.letters() and in_force.authserv_id(),
    lambda in_force: in_force.seconds("DKTIMEOUT"),
    lambda in_force: in_force.is_on("DKPOLICY"),
    lambda in_force: in_force.number("DKRSAMIN", "bits"),
    lambda in_force: in_force.is_on("DKREASON"),
)

BY_ENVIRONMENT = "QMAILREMOTE"      # as `remote`: notqmail is told by a variable
RECORD = os.path.join(PREFIX, "installed")
REPAIR = "run ./install.sh"

# What happens where a program in qmail's place is not the launcher of ours, and where it can't run.
HARM = {SIGNER: ("mail is not signed", "all mail bounces"),
        VERIFIER: ("mail is not verified", "all mail is deferred")}


class Installation(NamedTuple):
    """What install.sh did.

    qmail: qmail's home; remote: where the launcher took qmail-remote's place,
    or BY_ENVIRONMENT; launcher: the one under the prefix; original: qmail's
    own; python: the interpreter
    verify: "yes" where the verifier is prepared; queue_original: qmail's own
    qmail-queue, where the verifier took its place
    rspawn: where the resident signer took qmail-rspawn's place; service: who
    starts the resident verifier; "" where there is none
    """
    qmail: str
    remote: str
    launcher: str
    original: str
    python: str
    verify: str
    queue_original: str
    rspawn: str
    service: str


def recorded(path=RECORD):
    """The Installation that install.sh recorded, or None.  Raises SettingTrouble."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            values = dict(line.rstrip("\n").partition("=")[::2] for line in file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingTrouble(f"unable to read {path}: {error.strerror}") from error
    return Installation(*(values.get(name, "") for name in Installation._fields))


def settings_in_force(running):
    """Settings as deliveries have them; this process's environment comes first, to try things.

    running: admin_running.Rspawn, or None
    """
    return settings.Settings({**(running.environment if running else {}), **os.environ})


def findings(installation, in_force, running):
    """All Findings on what is installed, but for the resident programs.

    installation: of recorded(); in_force: of settings_in_force()
    running: admin_running.Rspawn, or None
    """
    found = qmail_findings()
    if installation is None:
        found.append(Finding(FAIL, PREFIX, "not installed", REPAIR))
    else:
        found += launcher_findings(installation, running) + original_findings(in_force)
        found += queue_findings(installation, in_force)
    return found + software_findings(installation) + setting_findings(in_force, running)


def qmail_findings(qmail=settings.QMAIL):
    """Which qmail it is, told by the variables that its programs know."""
    try:
        kind = "qmail 1.03: no QMAILQUEUE, no QMAILREMOTE"
        if mentions(qmail + "/bin/qmail-smtpd", b"QMAILQUEUE"):
            kind = "netqmail or notqmail before 1.08: QMAILQUEUE, no QMAILREMOTE"
        rspawn = qmail + "/bin/qmail-rspawn"
        if mentions(rspawn, b"qmail_rspawn.py"):
            rspawn += ".orig"
        if mentions(rspawn, b"QMAILREMOTE"):
            kind = "notqmail 1.08 or later: QMAILQUEUE and QMAILREMOTE"
    except PermissionError:
        return [Finding(WARN, qmail, "only root can see which qmail this is", "run this as root")]
    except OSError as error:
        return [Finding(FAIL, qmail, f"no qmail is to be seen there: {error.strerror}",
                        "run ./install.sh --qmail DIR with qmail's home")]
    return [Finding(OK, qmail, kind)]


def mentions(path, text):
    """Whether a file has some bytes in it.  Raises OSError."""
    with open(path, "rb") as file:
        return text in file.read()


def launcher_findings(installation, running):
    """Whether qmail runs our launcher."""
    if installation.remote == installation.launcher:
        return [Finding(WARN, installation.remote, "is prepared, but not switched on: qmail does "
                        "not run it, so mail is not signed", "run ./install.sh --sign")]
    if installation.remote != BY_ENVIRONMENT:
        return [launcher_finding(installation.remote)] + bypass_findings(installation, running)
    if running is None:
        return [Finding(WARN, BY_ENVIRONMENT, "no running qmail-rspawn whose environment could be "
                        "seen", "start qmail, and run this as root")]
    if not running.environment.get(BY_ENVIRONMENT):
        return [Finding(FAIL, BY_ENVIRONMENT, "is not in the environment of qmail-rspawn",
                        "see that qmail's run script exports it, and restart qmail")]
    return [launcher_finding(running.environment[BY_ENVIRONMENT])]


def bypass_findings(installation, running):
    """Whether qmail runs something else than what is in the place of qmail-remote."""
    other = running.environment.get(BY_ENVIRONMENT) if running else None
    if other in (None, "", installation.remote):
        return []
    return [Finding(WARN, BY_ENVIRONMENT, f"names {other}, which qmail-rspawn runs instead of "
                    f"{installation.remote}", f"see that it ends in running {installation.remote}, "
                    "or take it out of qmail's run script, and restart qmail")]


def launcher_finding(path, program=SIGNER):
    """Whether a file is our launcher of SIGNER or VERIFIER."""
    script = os.path.join(PREFIX, program)
    without, broken = HARM[program]
    try:
        if not mentions(path, os.fsencode(script)):
            return Finding(FAIL, path, f"does not start {script} (has qmail been installed "
                           f"anew?), so {without}", REPAIR)
    except OSError as error:
        return Finding(FAIL, path, f"can't be read: {error.strerror}", REPAIR)
    if not os.access(path, os.X_OK):
        return Finding(FAIL, path, f"is not executable, so {broken}", f"chmod 755 {path}")
    if names_missing_launcher(path):
        return Finding(FAIL, path + ".launcher", f"is missing, so {broken}", REPAIR)
    return Finding(OK, path, f"starts {script}")


def names_missing_launcher(path):
    """Whether the first line of a file, in qmail-remote's place, names a launcher that has gone."""
    with open(path, "rb") as file:
        words = file.readline().split()
    named = os.fsencode(path + ".launcher")
    return named in words and not os.path.exists(named)


def launcher(installation, running):
    """The path of the launcher that qmail runs, or should run."""
    if installation.remote != BY_ENVIRONMENT:
        return installation.remote
    environment = running.environment if running else {}
    return environment.get(BY_ENVIRONMENT) or installation.launcher


def original_findings(in_force):
    """Whether the original qmail-remote can be run."""
    path = in_force["DKREMOTE"]
    try:
        if mentions(path, SIGNER.encode()):
            return [Finding(FAIL, path, "is not the original qmail-remote but starts the signer, "
                            "so all mail is deferred", REPAIR)]
    except PermissionError:
        pass            # it may be for execution only
    except OSError as error:
        return [Finding(FAIL, path, f"the original qmail-remote is not there ({error.strerror}), "
                        "so all mail is deferred", "correct DKREMOTE, or " + REPAIR)]
    if not os.access(path, os.X_OK):
        return [Finding(FAIL, path, "the original qmail-remote is not executable, so all mail is "
                        "deferred", f"chmod 755 {path}")]
    return [Finding(OK, path, "the original qmail-remote")]


def queue_findings(installation, in_force):
    """Whether the verifier is in its place, and can hand mail on."""
    if not installation.verify:
        return []
    found = []
    if installation.queue_original:
        found.append(launcher_finding(os.path.join(installation.qmail, "bin/qmail-queue"),
                                      VERIFIER))
    path = queueing.queue_program(in_force)
    if not os.access(path, os.X_OK):
        found.append(Finding(FAIL, path, "the queue program for verified mail can't be run, so "
                             "mail that is verified is deferred", "correct DKQUEUE, or " + REPAIR))
    return found


def software_findings(installation):
    """The interpreter and the libraries, with their versions."""
    found = [Finding(OK, "Python", f"{platform.python_version()}, {sys.executable}")]
    if installation is not None and not os.access(installation.python, os.X_OK):
        found.append(Finding(FAIL, installation.python, "the interpreter that was installed with "
                             "has gone, so all mail is deferred", REPAIR))
    try:
        found.append(Finding(OK, "crypto", crypto.backend().version()))
    except CryptoTrouble as trouble:
        found.append(Finding(FAIL, "crypto", f"{trouble}, so nothing can be signed",
                             "install OpenSSL's libcrypto"))
    # A host that only signs does without them.
    level = WARN if installation is not None and not installation.verify else FAIL
    for package in admin_packages.LEAST:
        version = admin_packages.version(package)
        flaw = admin_packages.flaw(package, version)
        found.append(Finding(level, package, f"{flaw}; verifying and asking the DNS need it",
                             admin_packages.REMEDY) if flaw else Finding(OK, package, version))
    return found


def setting_findings(in_force, running):
    """All settings in force, and where each comes from."""
    found = []
    if running is None:
        found.append(Finding(WARN, "settings", "no running qmail-rspawn whose environment could be "
                             "seen, so these are without it", "start qmail, and run this as root"))
    for name in settings.DEFAULTS:
        try:
            value, source = in_force.lookup(name)
        except SettingTrouble as trouble:
            found.append(Finding(FAIL, name, str(trouble), "make it readable"))
            continue
        if source == "environment":
            source += " of this command" if name in os.environ else " of qmail-rspawn"
        found.append(Finding(OK, name, f"{value or '(empty)'}, from {source}"))
    found.append(Finding(OK, "settings", "the verifier has those of qmail-smtpd's environment, "
                         "which can't be seen here, before these"))
    for reader in READERS:
        try:
            reader(in_force)
        except SettingTrouble as trouble:
            found.append(Finding(FAIL, "settings", str(trouble), "correct it"))
    return found
