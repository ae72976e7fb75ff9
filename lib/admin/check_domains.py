# SPDX-License-Identifier: MIT
"""Checks the domains that sign: their keys, and what receivers demand of them beside these."""

import os

from . import check_dmarc, check_key_directories, check_keys, check_spf, key_places, published
from .findings import FAIL, OK, WARN, Finding

PROBE = b"_domainkey.example.com"   # a name that any resolver can be asked for


def findings(domains, settings, asks, seen):
    """Checks domains (list of str).  Raises SettingTrouble.

    asks: whether the DNS can be asked; seen: check_outgoing.Outgoing
    """
    found = check_key_directories.way_findings(settings)
    if found:
        return found                # no domain's key can sign
    if not domains:
        found.append(no_domain(settings))
    for domain in domains:
        questions = published.Questions(settings) if asks else None
        found += check_keys.domain_findings(domain, settings, questions)
        if asks:
            found += policy_findings(domain, settings, questions, seen)
    return found + check_key_directories.expiry_findings(settings)


def policy_findings(domain, settings, questions, seen):
    """Checks what a domain publishes beside keys.  seen: check_outgoing.Outgoing"""
    signer = check_keys.signing_domain(domain, settings)
    return (check_spf.findings(domain, seen.addresses, seen.helo, questions.by_resolver)
            + check_dmarc.findings(domain, signer, questions.by_resolver))


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
        found += closed or [
            Finding(WARN, domain, "has a directory for keys, but no key by DKSIGN "
                    f"({settings['DKSIGN']}), so its mail is not signed as {domain}",
                    f"restore the key, or qmail-dk keygen {domain}, or remove the directory")]
    return found


def resolver_findings(settings):
    """Checks that the resolver answers for PROBE; the records that it returns do not matter."""
    subject = "resolver " + (settings["DNSCACHEIP"] or "(/etc/resolv.conf)")
    answer = published.Questions(settings).by_resolver(PROBE)
    if answer.status == "temporary":
        return [Finding(FAIL, subject, f"gives no answer: {answer.reason}",
                        "see that it runs, and that DNSCACHEIP or /etc/resolv.conf names it")]
    return [Finding(OK, subject, "answers")]
