# SPDX-License-Identifier: MIT
"""Reports for install.sh status whether the installed parts are as install.sh left them.

The facts come from the checks of qmail-dk check.  That command also asks the DNS, and
judges differently: signing that waits for a restart of qmail is a failure there.
"""

import os
from typing import NamedTuple

from . import check_receiving, check_resident, check_sending
from .check_installation import (
    REPAIR, launcher_finding, mentions, original_findings, queue_findings,
    start_findings, started_findings,
)
from .findings import FAIL, Finding, as_text, failures
from .host import BY_ENVIRONMENT, PREFIX


class Line(NamedTuple):
    """subject: str, in front of text; bad: whether the part is not as install.sh left it."""
    subject: str
    text: str
    bad: bool = False


def lines(host):
    """Returns a list of all Lines.  host: host.Host, with an installation"""
    found = signing(host)
    if not host.installation.is_off:
        found += told("sending", check_sending.memory_findings(host.running))
    found += verifying(host) + told("receiving", check_receiving.findings(host))
    return found + (resident(host) if host.installation.rspawn else [])


def told(subject, findings):
    """Returns Findings as Lines with a subject."""
    return [Line(subject, as_text(finding), finding.level == FAIL) for finding in findings]


def faults(subject, findings, before=""):
    """Returns the failures among findings as Lines.  before: text in front of each"""
    return [Line(subject, before + as_text(finding), True) for finding in failures(findings)]


def signing(host):
    """Returns Lines on whether mail is signed, and on scripts and processes without a launcher."""
    installation = host.installation
    named = start_findings(installation)
    if installation.is_off:
        found = [Line("signing", "prepared, not switched on; to do so: ./install.sh --sign")]
    elif installation.remote == BY_ENVIRONMENT:
        named = [finding for finding in named if finding.subject != installation.start_script]
        found = faults("signing", by_environment(installation) + original_findings(host.settings),
                       "OFF: ") or [Line("signing", by_which_environment(host))]
    else:
        found = faults("signing", [launcher_finding(installation.remote),
                                   *original_findings(host.settings)], "OFF: ") or [
            Line("signing", f"on: {installation.remote} is the launcher, {installation.original} "
                 "the original")]
    return found + faults("signing", started_findings(host) + named)


def by_environment(installation):
    """Checks the start script's QMAILREMOTE, and the launcher that it names.  Returns Findings."""
    script, words = installation.start_script, os.fsencode(installation.assignment + " ")
    try:
        names_it = mentions(script, words)
    except OSError:
        names_it = False
    if not names_it:
        return [Finding(FAIL, script, f"does not set {BY_ENVIRONMENT} any more",
                        f"{REPAIR}, then restart qmail")]
    return [launcher_finding(installation.launcher)]


def by_which_environment(host):
    """Returns text (str) on whether mail is signed by QMAILREMOTE now, or after a (re)start."""
    script, named = host.installation.start_script, host.environment.get(BY_ENVIRONMENT)
    if host.running is None:
        return f"on when qmail starts: {script} sets {BY_ENVIRONMENT}"
    if named == host.installation.launcher:
        return f"on: {BY_ENVIRONMENT} is set by {script}"
    if named == os.path.join(os.path.dirname(PREFIX), "bin", "qmail-remote"):    # version 0.1
        return f"on, by {named} until qmail is restarted"
    return f"off until qmail is restarted: {BY_ENVIRONMENT} is set by {script}"


def verifying(host):
    """Returns Lines on whether mail can be verified."""
    if host.installation.queue_original:
        place = os.path.join(host.installation.qmail, "bin", "qmail-queue")
        return faults("verifying", queue_findings(host), "OFF: ") or [
            Line("verifying", f"on for mail with DKVERIFY: {place} is the launcher, {place}.orig "
                 "the original")]
    if host.installation.verify:
        return faults("verifying", check_receiving.launcher_failures()) or [
            Line("verifying", f"prepared: {check_receiving.LAUNCHER}")]
    return [Line("verifying", "not prepared; to do so: ./install.sh --verify")]


def resident(host):
    """Returns Lines on whether the resident signer runs."""
    place, running = host.installation.rspawn, host.running
    found = check_resident.place_findings(place)
    if failures(found):
        return faults("resident", found, "OFF when qmail is restarted: ")
    if running is None or running.release is None:
        text = f"off until qmail is restarted: {place} is the launcher, {place}.orig the original"
    elif check_resident.is_older(running):
        text = f"on, but of an older version until qmail is restarted: {running.release}"
    else:
        text = "on: qmail-rspawn signs"
    return [Line("resident", text)]
