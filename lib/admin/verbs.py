# SPDX-License-Identifier: MIT
"""The verbs of qmail-dk that examine the installation or one message.

Each takes the options and the host.Host, and returns the exit code.
"""

import contextlib
import hashlib      # noqa: F401 (before libcrypto is bound: see crypto.openssl)
import os
import sys
import time

from ..errors import RequestTrouble, SettingTrouble
from ..mail import message
from ..qmail import spool
from ..signing import outbound
from . import (
    account, check_domains, check_installation, check_key_directories, check_outgoing,
    check_packages, explain_signing, key_places, published, saved_message,
)
from .findings import OK, as_json, as_line, badness, counts, exit_status, grouped, visible

STREAM = "-"


def check(options, host):
    """Checks keys, records and the installation."""
    from . import check_receiving, check_sending
    domains = [key_places.checked_domain(domain) for domain in options.domains]
    if options.smtpd:
        return show(check_receiving.findings(host), options)
    if options.rspawn:
        return show(check_sending.memory_findings(host.running), options)
    seen = check_outgoing.outgoing(host.settings.control, options.address)
    findings, questions, lacks = [], None, "the packages"       # check_installation reports these
    if not check_packages.flaws():
        questions, lacks = published.SharedQuestions(host.settings, options.timeout), ""
        findings, answers = check_domains.resolver_findings(questions)
        if not answers:
            questions, lacks = None, "a resolver"
    asked = {}
    with contextlib.suppress(SettingTrouble):   # the findings on settings include it
        domains = domains or key_places.domains(host.settings.key_patterns())
        asked = check_domains.ask_ahead(domains, host.settings, questions, seen)
    trials = trials_of(domains, host, questions, lacks)
    with contextlib.suppress(SettingTrouble):
        findings += check_domains.findings(domains, host.settings, questions, asked)
        findings += directory_findings(domains, not options.domains, host.settings)
    findings += check_outgoing.findings(seen, questions and questions.by_resolver)
    findings += host_findings(host)
    return show(findings + (trials.findings() if trials else []), options)


def trials_of(domains, host, questions, lacks):
    """Returns the check_trial.Trials, whose arguments these are; None if none can be made."""
    from . import check_trial
    try:
        host.settings.number("DKRSAMIN", "bits")
    except SettingTrouble:      # check_installation reports it
        questions, lacks = None, "a valid DKRSAMIN"
    # Another program in the launcher's place would send the trial message.
    if host.installation and check_installation.runs_launcher(host):
        return check_trial.Trials(domains, host, questions, lacks)
    return None


def directory_findings(domains, all_of_them, settings):
    """Returns the Findings on key directories and domains without key.  Raises SettingTrouble.

    domains: list of str; all_of_them: whether no other domain has a key
    """
    if not all_of_them:
        return check_key_directories.unnamed_findings(settings, domains)
    return (check_key_directories.unnamed_findings(settings)
            + check_key_directories.directory_name_findings(settings)
            + check_domains.keyless_findings(settings)
            + check_key_directories.hosted_findings(settings))


def host_findings(host):
    """Returns the Findings on all but domains."""
    from . import check_receiving, check_resident, check_sending, check_surroundings
    found = check_installation.findings(host) + check_surroundings.findings(host)
    if host.installation:
        found += (check_sending.findings(host) + check_receiving.findings(host)
                  + check_resident.findings(host))
    return found


def show(findings, options):
    """Prints Findings.  Returns the exit code."""
    shown = [finding for finding in findings if not (options.quiet and finding.level == OK)]
    colour = sys.stdout.isatty()
    if options.json:
        print(as_json(shown))
    elif len({finding.domain for finding in shown}) < 2:
        print_lines(sorted(shown, key=badness, reverse=True), colour)
    else:
        for number, (domain, group) in enumerate(grouped(shown)):
            print("\n" * bool(number) + (domain or "this host") + ":")
            print_lines(group, colour)
    if options.quiet and shown and not options.json:
        print(counts(findings))
    return exit_status(findings)


def print_lines(findings, colour):
    for finding in findings:
        print(as_line(finding, colour))


def sign(options, host):
    """Signs the message on standard input."""
    received = spool.from_start(0)
    signed, remarks = outbound.signed(received, os.fsencode(options.sender), host.settings)
    for warning, text in remarks:
        print("qmail-dk: " + "warning: " * warning + visible(text), file=sys.stderr)
    with open(signed, "rb") as file:
        for piece in iter(lambda: file.read(message.CHUNK), b""):
            sys.stdout.buffer.write(piece)
    if signed == received:
        print("qmail-dk: not signed; qmail-dk why - says why", file=sys.stderr)
        return 1
    return 0


def verify(options, host):
    """Explains the signatures of the message on standard input, SPF and DMARC."""
    published.require_packages()
    from ..verifying.report import Terms
    from . import explain_verifying
    header, body = message.split(saved_message.text_of(spool.from_start(0)))
    terms = Terms(host.settings.number("DKRSAMIN", "bits"), dmarc=True,
                  client=explain_verifying.client_of(header, options))
    lines, passes = explain_verifying.explain(
        header, body, terms, published.Questions(host.settings).by_resolver, int(time.time()))
    print("\n".join(lines))
    return 0 if passes else 1


def why(options, host):
    """Says how the signer treats the mail of a domain or an author, or a message."""
    name = options.subject
    body, has_cr = None, False
    if name == STREAM or os.path.isfile(name):
        fd = spool.from_start(0) if name == STREAM else os.open(name, os.O_RDONLY)
        header, body = message.split(message.without_cr(message.chunks(fd)))
        has_cr = message.has_cr(fd) and not saved_message.has_crlf(fd)
    elif "/" in name:
        raise RequestTrouble(f"{name} is not a file")
    else:
        header = explain_signing.header_of(key_places.checked_domain(name.rpartition("@")[2]))
    explain_signing.load()
    first, on = check_installation.signing_state(host)
    with account.signers_eyes() as seen:
        lines, signs = explain_signing.why(header, body, has_cr, os.fsencode(options.sender),
                                           host.settings)
    if not seen:
        lines.append("(files as this user sees them: only root can see them as qmail-remote does)")
    print("\n".join(map(visible, [first, *lines])))
    return 0 if signs and on is not False else 1
