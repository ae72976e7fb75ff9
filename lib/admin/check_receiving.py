# SPDX-License-Identifier: MIT
"""Checks that the processes which receive mail by SMTP verify it and may use enough memory.

The environment and the limits of a process are fixed when it starts.  Only /proc shows
them, so no process is found on systems without it.
"""

import glob
import os
import re
from typing import NamedTuple

from ..errors import SettingTrouble
from ..packages import is_free_threaded
from ..settings import Settings, without_waiting
from . import running
from .check_installation import REPAIR, VERIFIER, launcher_finding
from .findings import FAIL, OK, WARN, Finding, failures
from .host import PREFIX

SMTPD = "qmail-smtpd"
LAUNCHER = os.path.join(os.path.dirname(PREFIX), "bin", "qmail-dk-verify")
SUPERVISORS = ("supervise", "runsv", "s6-supervise")    # their command has the service's name
LARGEST_RULES = 64 << 20    # bytes
# tcprules makes a blank after a comma a part of the variable's name.
VARIABLE = re.compile(rb"\+([ \t]*(?:QMAILQUEUE|DKVERIFY|DKDMARC))=([^\0\n]*)")

# Variables that a process or its rules may set -> function that reads one from settings.Settings,
# and raises SettingTrouble.
READERS = {"DKVERIFY": Settings.letters, "DKDMARC": Settings.dmarc}

# Bytes that a free-threaded Python takes more, of either kind.
MORE_MEMORY = 34 << 20 if is_free_threaded() else 0
# RLIMIT_AS, RLIMIT_DATA -> bytes below which the verifier passes no mail, and bytes below which
# it does not pass mail with the largest headers (doc/verifying).
NEEDS = {"address space": (30_000_000 + MORE_MEMORY, (80 << 20) + MORE_MEMORY),
         "data size": (15_000_000 + MORE_MEMORY, (50 << 20) + MORE_MEMORY)}
LIMIT = f"softlimit -m {150_000_000 if MORE_MEMORY else 100_000_000}"
ENLARGE = f"{LIMIT} in the run script of {SMTPD}, and restart it"


class Receiver(NamedTuple):
    """A process that is qmail-smtpd, or starts it.

    number: its id; parent: its parent's id; name: of its program
    environment: {str: str}; rules: {variable: set of the values that the server's rules set}
    limits: {key of NEEDS: bytes}, without unlimited ones
    """
    number: int
    parent: int
    name: str
    environment: dict
    rules: dict
    limits: dict


def findings(host):
    """Returns all Findings on the processes that receive mail, [] if the verifier is not prepared.

    host: host.Host
    """
    if host.installation is None or not host.installation.verify:
        return []
    found = []
    for state, members in states(receivers(host.installation.qmail)):
        number = min(receiver.number for receiver in members)
        name = members[0].name
        subject = f"{SMTPD} ({name}, process {number})"
        found += [finding._replace(subject=subject)
                  for finding in state_findings(state, members, host)]
    return found or [Finding(OK, SMTPD, "no process that starts it was found")]


def state_findings(state, members, host):
    """Returns the Findings, without subject, on the Receivers that share a state of states()."""
    queue, letters, policies, limits = state
    names = {name for receiver in members for name in receiver.rules if name != name.strip()}
    if names:
        return [Finding(FAIL, "", f"its rules have a blank before {name.strip()}, which becomes a "
                        "part of the name", "no blank behind a comma there") for name in names]
    if queue and not os.access(queue, os.X_OK):
        return [Finding(FAIL, "", f"QMAILQUEUE names {queue}, which can't be run, so mail is "
                        "refused for now", REPAIR)]
    broken = launcher_failures() if queue else []
    if broken:
        return [finding._replace(text=f"{finding.subject} {finding.text}") for finding in broken]
    in_place = bool(host.installation.queue_original)       # of qmail-queue
    found = [verifying(queue, ", ".join(letters) or of_control("DKVERIFY", host.settings),
                       ", ".join(policies) or of_control("DKDMARC", host.settings), in_place)]
    if queue or in_place:
        found += [*invalid("DKVERIFY", letters), *invalid("DKDMARC", policies),
                  memory(dict(limits))]
    return found


def launcher_failures():
    """Finds what is wrong with the verifier's launcher, and with that in sh.

    The one in C executes that in sh for what it leaves to Python, and where no server answers.
    """
    return failures(launcher_finding(path, VERIFIER) for path in (LAUNCHER, LAUNCHER + ".sh"))


def invalid(name, values):
    """Yields a Finding for each of the values of a variable of READERS that is none."""
    for value in values:
        try:
            READERS[name](Settings({name: value}))
        except SettingTrouble as trouble:
            yield Finding(FAIL, "", f"{trouble} ({value}), so mail is refused for now",
                          "correct it there (doc/verifying)")


def verifying(queue, letters, policies, in_place):
    """Returns the Finding on whether mail is verified.

    queue: QMAILQUEUE if it is the verifier, else ""
    letters, policies: DKVERIFY and DKDMARC, with their source if a control file has them (str)
    in_place: whether the verifier is in qmail-queue's place
    """
    if not queue and not in_place:
        if letters:
            return Finding(WARN, "", f"does not verify: DKVERIFY is set ({letters}), but "
                           "QMAILQUEUE is not the verifier",
                           f"QMAILQUEUE={LAUNCHER} beside it, and restart it")
        return Finding(OK, "", "does not verify: QMAILQUEUE is not the verifier")
    if not letters:
        though = f", though DKDMARC is {policies}" if policies else ""
        return Finding(WARN, "", "does not verify: DKVERIFY is neither in its environment, nor in "
                       "its rules, nor in control/dkverify" + though,
                       'DKVERIFY="-" in its rules, for instance (doc/verifying)')
    return Finding(OK, "", f"verifies, DKVERIFY is {letters}"
                   + (f", DKDMARC is {policies}" if policies else ""))


def of_control(name, settings):
    """Returns a setting with its source from the control file (str), "" if it is not set there."""
    try:
        value, source = Settings({}, settings.control).lookup(name)
    except SettingTrouble:
        return ""               # check_installation reports it
    return f"{value} ({source})" if value and source != "default" else ""


def memory(limits):
    """Returns the Finding on whether the verifier may use enough memory.  limits: as in Receiver"""
    for kind, (least, enough) in NEEDS.items():
        value = limits.get(kind, enough)
        if value < least:
            return Finding(FAIL, "", f"may take {value} bytes of memory ({kind}), too little for "
                           "the verifier, so all mail that it gets is refused for now", ENLARGE)
        if value < enough:
            return Finding(WARN, "", f"may take {value} bytes of memory ({kind}), too little for "
                           "the verifier where a header is large", ENLARGE)
    value = limits.get("address space")
    return Finding(OK, "", "may take any memory" if value is None else
                   f"may take {value} bytes of memory, enough for the verifier")


def states(found):
    """Groups Receivers by their state: list of (state, Receivers).

    A state is (verifier or "", values of DKVERIFY, of DKDMARC, limits).

    A Receiver that another one has started serves a client for it, and is not listed; its
    environment counts as the other's.
    """
    numbers = {receiver.number for receiver in found}
    alike = {}
    for receiver in found:
        if receiver.parent in numbers:
            continue
        children = [other for other in found if other.parent == receiver.number]
        queues = sorted(filter(names_verifier, values("QMAILQUEUE", receiver, children)))
        settings = [tuple(sorted(filter(None, values(name, receiver, children))))
                    for name in READERS]
        state = (queues[0] if queues else "", *settings, tuple(sorted(receiver.limits.items())))
        alike.setdefault(state, []).append(receiver)
    return list(alike.items())


def values(name, receiver, children):
    """Returns the values that a variable has for some client; set of str."""
    found = {process.environment[name] for process in (receiver, *children)
             if name in process.environment}
    return found | receiver.rules.get(name, set())


def names_verifier(path):
    """Returns whether a path (str) is the verifier's launcher, or a script that runs that."""
    if path and os.path.realpath(path) == os.path.realpath(LAUNCHER):
        return True
    try:
        with open(path, "rb", opener=without_waiting) as file:
            text = file.read(65536)
    except OSError:
        return False
    return os.fsencode(LAUNCHER) in text


def receivers(qmail):
    """Returns the Receivers of a qmail that can be seen and that running.trusted_users() run.

    Includes any process whose QMAILQUEUE is the verifier.  qmail: its home
    """
    trusted = running.trusted_users()
    found = []
    for process in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc") else ()):
        try:
            status = running.status(process)
            if int(status["Uid"].split()[0]) not in trusted:
                continue
            command = running.strings(process, "cmdline")
            environment = dict(variable.partition("=")[::2] for variable in
                               running.strings(process, "environ"))
            if (starts_smtpd(command, environment, qmail)
                    or names_verifier(environment.get("QMAILQUEUE", ""))):
                found.append(Receiver(
                    int(process), int(status["PPid"]), status["Name"], environment,
                    rules(command), limits(running.text(process, "limits"))))
        except (OSError, KeyError, ValueError):
            continue            # it has ended, or belongs to another user
    return found


def starts_smtpd(command, environment, qmail):
    """Returns whether a command (list of str) runs the qmail-smtpd of the qmail with that home.

    Links may give that home another name.
    """
    programs = os.path.realpath(qmail + "/bin")
    if any(word.endswith("/" + SMTPD) and os.path.realpath(os.path.dirname(word)) == programs
           for word in command):
        return True
    return (SMTPD in command and os.path.basename(command[0]) not in SUPERVISORS
            and programs in map(os.path.realpath, environment.get("PATH", "").split(":")))


def rules(command):
    """Returns the variables in the rules of tcpserver -x or tcpsvd -x or -i: {name: set of str}."""
    found = {}
    for argument in command:
        paths = (glob.glob(glob.escape(argument) + "/*") if os.path.isdir(argument)
                 and "-i" in command else [argument] if argument.endswith(".cdb") else [])
        for path in paths:
            try:
                with open(path, "rb") as file:
                    text = file.read(LARGEST_RULES)
            except OSError:
                continue
            for name, value in VARIABLE.findall(text):
                found.setdefault(name.decode(), set()).add(os.fsdecode(value))
    return found


def limits(text):
    """Returns the limits in the text of /proc/PID/limits, as in Receiver."""
    found = {kind: re.search(rf"^Max {kind} +(\d+)", text, re.MULTILINE) for kind in NEEDS}
    return {kind: int(match.group(1)) for kind, match in found.items() if match}
