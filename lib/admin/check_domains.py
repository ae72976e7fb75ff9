# SPDX-License-Identifier: MIT
"""Checks the domains that sign: their keys, and what receivers demand of them beside these."""

import os

from ..lookup.threads import at_once
from . import (
    check_dmarc, check_key_directories, check_keys, check_mx, check_spf, key_places, progress,
)
from .findings import FAIL, OK, WARN, Finding, about, failures, named

PROBE = b"_domainkey.example.com"   # a name that any resolver can be asked for
AT_ONCE = 128                       # domains; dnscache takes 200 questions at a time


def findings(domains, settings, questions, asked):
    """Checks domains (list of str).  Raises SettingTrouble.

    questions: published.SharedQuestions, or None to skip the DNS; asked: of ask_ahead()
    """
    found = check_key_directories.way_findings(settings)
    if found:
        return found                # no domain's key can sign
    found = for_all_findings(settings)
    if not domains:
        found.append(no_domain(settings))
    for domain in domains:
        found += about(domain, check_keys.domain_findings(
            domain, settings, questions if domain in asked else None) + asked.get(domain, []))
    if questions and len(asked) < len(domains):
        left = [domain for domain in domains if domain not in asked]
        found.append(Finding(
            WARN, "DNS", f"no time was left within {questions.limit:g} seconds for the records of "
            + named(left), "qmail-dk check --timeout SECONDS, or a nearer resolver"))
    return found + check_key_directories.expiry_findings(settings)


def ask_ahead(domains, settings, questions, seen):
    """Asks all that the checks of domains will ask, many at a time.

    Returns {domain: Findings on what it publishes beside keys}, without the domains for
    which no time was left; none if no key can be reached.
    questions: as in findings(); seen: check_outgoing.Outgoing
    Threads only ask: the checks of files change the effective user, which is the same for
    all threads.  Raises SettingTrouble.
    """
    if questions is None or check_key_directories.way_findings(settings):
        return {}
    keys = {domain: check_keys.readable_keys(domain, settings) for domain in domains}
    signers = {domain: check_keys.signing_domain(domain, settings) for domain in domains}

    def ask(domain):
        if questions.is_over():
            return None
        check_keys.ask_ahead(keys[domain], questions)
        found = policy_findings(domain, signers[domain], questions, seen)
        return None if questions.is_over() else found

    asked = {}
    with progress.shown("domains looked up", len(domains)) as count:
        for domain, found in at_once(ask, domains, AT_ONCE):
            count()
            if found is not None:
                asked[domain] = found
    return asked


def policy_findings(domain, signer, questions, seen):
    """Checks what a domain publishes beside keys.

    signer: d= of its mail's signatures, "" if none signs; seen: check_outgoing.Outgoing
    """
    return (check_spf.findings(domain, seen.addresses, seen.helo, questions.by_resolver)
            + check_dmarc.findings(domain, signer, questions.by_resolver)
            + check_mx.findings(domain, questions.by_resolver))


def for_all_findings(settings):
    """Checks that keys for all domains can be used: else all mail is deferred.

    Raises SettingTrouble.
    """
    found = []
    for pattern in settings.key_patterns().split(":"):
        if "%" in pattern:
            continue
        if not key_places.is_there(pattern):
            found.append(Finding(FAIL, pattern, "DKSIGN names it for all domains, and it does not "
                                 "exist, so all mail is deferred",
                                 "restore it, or take it out of DKSIGN"))
        else:
            found += failures(check_keys.read_key(
                key_places.Place("", pattern), "",
                "all mail is deferred until the file is a readable private key")[1])
    return found


def no_domain(settings):
    """Returns the Finding for a host where no domain has a key of its own."""
    if not all("%" in pattern for pattern in settings.key_patterns().split(":") if pattern):
        return Finding(WARN, "keys", "DKSIGN names a key for all domains, so none was checked",
                       "qmail-dk check DOMAIN")
    for place in key_places.places("example.com", settings.key_patterns()):
        if key_places.is_there(place.path):     # any domain seems to have one then
            return Finding(FAIL, "keys", f"{os.path.dirname(place.directory)} can't be read",
                           "if it is a link, restore what it leads to; else run this as root")
    return Finding(FAIL, "keys", f"no domain has a key by DKSIGN ({settings['DKSIGN']}), so no "
                   "mail is signed", "qmail-dk keygen DOMAIN")


def keyless_findings(settings):
    """Finds domains' directories for keys that have no key, for instance after a disk failure."""
    found = []
    for domain in key_places.keyless(settings.key_patterns()):
        closed = [finding for place in key_places.places(domain, settings.key_patterns())
                  for finding in check_key_directories.closed_findings(place)]
        found += closed or check_key_directories.removed_findings(domain, settings) or [
            Finding(WARN, domain, "has a directory for keys, but no key by DKSIGN "
                    f"({settings['DKSIGN']}), so its mail is not signed as {domain}",
                    f"restore the key, or qmail-dk keygen {domain}, or remove the directory")]
    return found


def resolver_findings(questions):
    """Returns (Findings on the resolver, whether it answers at all).

    It is asked for PROBE; the records that it returns do not matter.
    questions: published.SharedQuestions
    """
    subject = "resolver " + (questions.settings["DNSCACHEIP"] or "(/etc/resolv.conf)")
    answer = questions.by_resolver(PROBE)
    if answer.status != "temporary":
        return [Finding(OK, subject, "answers")], True
    is_alive = answer.reason.isupper()      # a response code, such as SERVFAIL
    return [Finding(FAIL, subject, f"gives no answer: {answer.reason}"
                    + ("" if is_alive else "; so nothing in the DNS was looked at"),
                    "see that it runs, and that DNSCACHEIP or /etc/resolv.conf names it")], is_alive
