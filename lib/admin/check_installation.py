# SPDX-License-Identifier: MIT
"""Checks the installation: qmail, our programs in its places, software and settings."""

import os
import platform
import stat
import subprocess
import sys

from .. import crypto
from ..errors import CryptoTrouble, SettingTrouble
from ..qmail import queue
from ..settings import DEFAULTS, PROTOCOLS, QMAIL
from ..signing import clients, dkim
from . import check_packages, distribution, start_scripts
from .findings import FAIL, LEVELS, OK, WARN, Finding, failures
from .host import BY_ENVIRONMENT, PREFIX
from .publishing import choice

SIGNER = "qmail_remote_dk.py"
VERIFIER = "qmail_qfilter_verify.py"

# Functions of settings.Settings that read settings as the programs do, and raise SettingTrouble.
READERS = (
    lambda settings: settings.key_patterns(),
    lambda settings: settings.words("DKPROTOCOLS", PROTOCOLS),
    lambda settings: settings.canonicalization(),
    lambda settings: dkim.header_list(settings["DKIMHEADERS"]),
    lambda settings: dkim.identity(settings),
    lambda settings: settings.seconds("DKIMEXPIRE"),
    lambda settings: settings.unsigned_on_error(),
    lambda settings: settings.checks_forwarded(),
    lambda settings: clients.refused([], [], settings.lines("DKMAY") or []),
    lambda settings: settings.logs_keyless(),
    lambda settings: settings.path("DKREMOTE"),
    lambda settings: settings.path("DKQUEUE", QMAIL),
    lambda settings: settings.temporary_directory(),
    lambda settings: settings.letters() and settings.authserv_id(),
    lambda settings: settings.seconds("DKTIMEOUT"),
    lambda settings: settings.is_on("DKPOLICY"),
    lambda settings: settings.dmarc(),
    lambda settings: settings.number("DKRSAMIN", "bits"),
    lambda settings: settings.is_on("DKREASON"),
    choice.publisher,
    distribution.Distribution,
    lambda settings: settings.number("DKROTATE", "days"),
)

REPAIR = "run ./install.sh"
RESTORE = "bring it back, from qmail's source or a backup"

# Prints the path of the compiled file of its argument, without a line end.
COMPILED = ("import importlib.util, os, sys; "
            "os.write(1, os.fsencode(importlib.util.cache_from_source(sys.argv[1])))")

# program -> (harm if the file in qmail's place is not its launcher, harm if it can't run, harm
# if sh runs an empty one, which succeeds)
HARM = {SIGNER: ("mail is not signed", "all mail bounces", "all mail is deferred"),
        VERIFIER: ("mail is not verified", "all mail is deferred", "all mail is accepted and LOST")}


def findings(host):
    """Returns all Findings on what is installed, except the resident programs.  host: host.Host"""
    found = qmail_findings()
    if host.installation is None:
        found.append(Finding(FAIL, PREFIX, "not installed", REPAIR))
    else:
        found += launcher_findings(host) + start_findings(host.installation)
        found += original_findings(host.settings) + queue_findings(host)
    return found + software_findings(host.installation) + setting_findings(host)


def signing_state(host):
    """Returns (a line of text, whether mail is signed at all); the latter is None if unknown.

    host: host.Host
    """
    if host.installation is None:
        return "signing: nothing is installed here; what follows would be done", None
    if host.running is not None and host.running.release is not None:
        return f"signing is on: process {host.running.number} is the resident signer", True
    found = (launcher_findings(host) + interpreter_findings(host.installation)
             + original_findings(host.settings))
    worst = max(found, key=lambda finding: LEVELS.index(finding.level))     # the first of them
    about = f"{worst.subject} {worst.text}; remedy: {worst.remedy}"
    if worst.level == FAIL or host.installation.is_off:
        return f"signing is OFF: {about}", False
    if worst.level == WARN:
        return f"whether signing is on is not known: {about}", None
    return f"signing is on: {worst.subject} {worst.text}", True


def runs_launcher(host):
    """Returns whether our launcher can be tried: it is prepared, or qmail runs or will run it."""
    return host.installation.is_off or not failures(launcher_findings(host))


def qmail_findings(qmail=QMAIL):
    """Finds which qmail this is by the variables that its programs mention.  qmail: its home"""
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
        return [Finding(FAIL, qmail, f"no qmail was found there: {error.strerror}",
                        "run ./install.sh --qmail DIR with qmail's home")]
    if not os.path.isdir(qmail + "/control"):
        return [Finding(FAIL, qmail + "/control", "is no directory that can be read, without which "
                        "qmail moves no mail, and all settings in it are lost",
                        "restore it, or what it leads to if it is a link")]
    return [Finding(OK, qmail, kind)]


def mentions(path, text):
    """Returns whether a file contains text (bytes).  Raises OSError."""
    with open(path, "rb") as file:
        return text in file.read()


def launcher_findings(host):
    """Checks whether qmail runs our launcher."""
    remote = host.installation.remote
    if host.installation.is_off:
        return [Finding(WARN, remote, "is prepared, but not switched on: qmail does "
                        "not run it, so mail is not signed", "run ./install.sh --sign")]
    if remote != BY_ENVIRONMENT:
        return [launcher_finding(remote)] + bypass_findings(host)
    if host.running is None:
        return [Finding(WARN, BY_ENVIRONMENT, "no running qmail-rspawn whose environment could be "
                        "seen", "start qmail, and run this as root")]
    if not host.environment.get(BY_ENVIRONMENT):
        return [Finding(FAIL, BY_ENVIRONMENT, "is not in the environment of qmail-rspawn",
                        "see that qmail's run script exports it, and restart qmail")]
    return [launcher_finding(host.environment[BY_ENVIRONMENT])]


def bypass_findings(host):
    """Checks whether QMAILREMOTE makes qmail run another program than the launcher."""
    remote, other = host.installation.remote, host.environment.get(BY_ENVIRONMENT)
    if other in (None, "", remote):
        return []
    return started_findings(host) or [
        Finding(WARN, BY_ENVIRONMENT, f"names {other}, which qmail-rspawn runs instead of {remote}",
                f"see that it ends in running {remote}, or take it out of qmail's run script, and "
                "restart qmail")]


def started_findings(host):
    """Checks that the program in the running qmail-rspawn's QMAILREMOTE is executable."""
    named = host.environment.get(BY_ENVIRONMENT, "")
    if not os.path.isabs(named) or os.access(named, os.X_OK):
        return []
    # The resident signer does not use it.
    harm = "" if host.running.release else ", so all mail bounces"
    return [Finding(FAIL, BY_ENVIRONMENT, f"names {named}, which qmail-rspawn runs and which is "
                    f"missing{harm}", "take it out of qmail's run script, and restart qmail")]


def start_findings(installation):
    """Checks that QMAILREMOTE in the scripts that start qmail names an executable file."""
    return [Finding(FAIL, script, f"sets {BY_ENVIRONMENT} to {named}, which is missing, so all "
                    "mail bounces when qmail is restarted",
                    REPAIR if named == installation.launcher else
                    "bring it back, or take that out of the script")
            for script, named in start_scripts.remotes(installation.qmail)
            if not os.access(named, os.X_OK)]


def launcher_finding(path, program=SIGNER):
    """Returns the Finding on whether a file is our launcher of a program, SIGNER or VERIFIER."""
    script = os.path.join(PREFIX, program)
    without, broken, ends_well = HARM[program]
    try:
        if os.path.getsize(path) == 0:
            return Finding(FAIL, path, f"is empty, so {broken}", REPAIR)
        if not mentions(path, os.fsencode(script)):
            return Finding(FAIL, path, f"does not start {script} (has qmail been installed "
                           f"anew?), so {without}", REPAIR)
    except OSError as error:
        return Finding(FAIL, path, f"can't be read ({error.strerror}), so {broken}", REPAIR)
    if not os.access(path, os.X_OK):
        return Finding(FAIL, path, f"is not executable, so {broken}", f"chmod 755 {path}")
    beside = launcher_beside(path)
    if beside and not os.path.exists(beside):
        return Finding(FAIL, beside, f"is missing, so {broken}", REPAIR)
    if beside and os.path.getsize(beside) == 0:
        return Finding(FAIL, beside, f"is empty, so {ends_well}", REPAIR)
    if beside and not mentions(beside, os.fsencode(script)):
        return Finding(FAIL, beside, f"is of another installation: it does not start {script}",
                       REPAIR)
    read = beside or path       # by sh, with the rights of qmail's users
    if not os.stat(read).st_mode & stat.S_IROTH:
        return Finding(FAIL, read, f"qmail's users can't read it, so {broken}", f"chmod 755 {read}")
    if not os.path.exists(script):
        return Finding(FAIL, path, f"starts {script}, which is gone, so all mail is deferred",
                       REPAIR)
    return Finding(OK, path, f"starts {script}")


def launcher_beside(path):
    """Returns path + ".launcher" if the first line of our file in qmail's place names it, else "".

    Raises OSError.
    """
    with open(path, "rb") as file:
        words = file.readline().split()
    beside = path + ".launcher"
    return beside if os.fsencode(beside) in words else ""


def launcher(host):
    """Returns the path of the launcher that qmail runs or should run."""
    if host.installation.remote != BY_ENVIRONMENT:
        return host.installation.remote
    return host.environment.get(BY_ENVIRONMENT) or host.installation.launcher


def original_findings(settings):
    """Checks that the original qmail-remote can be run.  settings: settings.Settings"""
    try:
        path = settings.path("DKREMOTE")
    except SettingTrouble:
        return []               # setting_findings() reports it
    try:
        if mentions(path, SIGNER.encode()):
            return [Finding(FAIL, path, "is not the original qmail-remote but starts the signer, "
                            "so all mail is deferred", REPAIR)]
        if os.path.getsize(path) == 0:
            return [Finding(FAIL, path, "the original qmail-remote is empty, so all mail is "
                            "deferred", RESTORE)]
    except PermissionError:
        pass            # it may be executable without being readable
    except OSError as error:
        return [Finding(FAIL, path, f"the original qmail-remote is not there ({error.strerror}), "
                        "so all mail is deferred", f"correct DKREMOTE, or {RESTORE}")]
    if not os.access(path, os.X_OK):
        return [Finding(FAIL, path, "the original qmail-remote is not executable, so all mail is "
                        "deferred", f"chmod 755 {path}")]
    return [Finding(OK, path, "the original qmail-remote")]


def queue_findings(host):
    """Checks that the verifier is in its place and can run the queue program."""
    installation = host.installation
    if not installation.verify:
        return []
    found = []
    if installation.queue_original:
        found.append(launcher_finding(os.path.join(installation.qmail, "bin/qmail-queue"),
                                      VERIFIER))
    try:
        path = queue.queue_program(host.settings)
    except SettingTrouble:
        return found        # setting_findings() reports it
    if not os.access(path, os.X_OK):
        found.append(Finding(FAIL, path, "the queue program for verified mail can't be run, so "
                             "mail that is verified is deferred", "correct DKQUEUE, or " + REPAIR))
    return found


def software_findings(installation):
    """Checks the interpreter and the libraries, and gives their versions.

    installation: host.Installation or None
    """
    found = [Finding(OK, "Python", f"{platform.python_version()}, {sys.executable}")]
    if installation:
        found += interpreter_findings(installation) + compiled_findings(installation.python)
    try:
        found.append(Finding(OK, "crypto", crypto.check()))
    except CryptoTrouble as trouble:
        found.append(Finding(FAIL, "crypto", f"nothing can be signed: {trouble}"))
    # A host that only signs does not need them.
    level = WARN if installation is not None and not installation.verify else FAIL
    for package in check_packages.LEAST:
        version = check_packages.version(package)
        flaw = check_packages.flaw(package, version)
        found.append(Finding(level, package, f"{flaw}; verifying and asking the DNS need it",
                             check_packages.REMEDY) if flaw else Finding(OK, package, version))
    return found


def interpreter_findings(installation):
    """Checks that the signer's interpreter is executable."""
    if os.access(installation.python, os.X_OK):
        return []
    return [Finding(FAIL, installation.python, "the Python that install.sh used is gone, "
                    "so all mail is deferred", REPAIR)]


def compiled_findings(python):
    """Checks that the programs are compiled for the signer's interpreter.  python: its path

    Its user can't write compiled files, so if a later version has taken the interpreter's
    place, each delivery compiles the programs.
    """
    try:
        compiled = subprocess.run([python, "-ISBc", COMPILED, os.path.join(PREFIX, SIGNER)],
                                  capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []           # interpreter_findings() or a trial reports it
    if os.path.exists(compiled):
        return []
    return [Finding(WARN, python, "is another version than install.sh found there: the programs "
                    "are not compiled for it, so each delivery takes several times as long",
                    REPAIR)]


def setting_findings(host):
    """Gives the value and the source of each setting in force, and checks the values."""
    found = []
    if host.running is None:
        found.append(Finding(WARN, "settings", "no running qmail-rspawn whose environment could be "
                             "seen, so these are without it", "start qmail, and run this as root"))
    for name in DEFAULTS:
        try:
            value, source = host.settings.lookup(name)
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
            reader(host.settings)
        except SettingTrouble as trouble:
            found.append(Finding(FAIL, "settings", str(trouble), "correct it"))
    return found
