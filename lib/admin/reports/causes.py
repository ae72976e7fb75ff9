# SPDX-License-Identifier: MIT
"""What reports mean: a table of causes, each with its remedy.

Each function of CAUSES looks for one, in the mail of one domain.  It takes a
summary.Domain and its list of summary.Withdrawn, and yields Findings.
"""

from ..findings import FAIL, LEVELS, OK, WARN, Finding, counted
from .store import ALTERED, FORGED, UNSIGNED
from .summary import date, only_observed, withdrawn

NEARLY_ALL = 0.9    # of a receiver's messages: the share from which failure is the rule
MANY = 0.5          # from which mail is in danger
SOME = 0.01         # from which it is more than chance
SHOWN = 3           # receivers and hosts that a line names
ED25519 = "ed"      # with which selectors of such keys begin, as key_places names them


def findings(store, summary):
    """Returns the Findings on a summary.Summary, the worst first.  Raises StoreTrouble."""
    late = withdrawn(store, summary.since)
    observed = only_observed(store, summary.until)
    found = []
    for domain in summary.domains:
        of_domain = [one for one in late if one.domain == domain.name]
        for cause in CAUSES:
            found += cause(domain, of_domain)
        if domain.name in observed:
            found.append(observed_finding(domain.name, *observed[domain.name]))
    return sorted(found, key=lambda finding: -LEVELS.index(finding.level))


def withdrawn_too_early(domain, late):
    """A selector that passed, and fails everywhere since another has taken over."""
    for key in late:
        yield Finding(
            FAIL, domain.name, f"{key.messages:,} messages signed as {key.selector} failed at "
            f"{counted(key.receivers, 'receiver')} after {date(key.since)}, when it last passed: "
            "its record was withdrawn or changed too early",
            f"publish it again for a week (qmail-dk dns {domain.name} --only former)")


def never_good(domain, late):
    """A selector whose record nobody finds, or finds wrong."""
    known = {key.selector for key in late}
    for selector, signatures in by_selector(domain).items():
        failed, direct = (sum(getattr(one, name) for one in signatures)
                          for name in ("failed", "direct"))
        if direct and selector not in known and failed == sum(one.messages for one in signatures):
            yield Finding(FAIL, domain.name, f"no receiver found a signature as {named(selector)} "
                          f"good: {direct:,} messages from the domain's own hosts failed",
                          f"qmail-dk check {domain.name}")


def broken_at_a_receiver(domain, late):
    """A selector that passes elsewhere, but not for mail that comes straight to a receiver."""
    known = {key.selector for key in late}
    for selector, signatures in by_selector(domain).items():
        passes = any(one.failed < one.messages for one in signatures)
        for one in signatures if passes and selector not in known else ():
            if one.direct > SOME * one.messages:
                yield Finding(
                    FAIL if one.direct > MANY * one.messages else WARN, domain.name,
                    f"{one.receiver} found {one.direct:,} of {one.messages:,} signatures as "
                    f"{named(selector)} broken, though the domain's own hosts sent them",
                    "look for a relay or scanner that changes mail after it is signed: send a "
                    "message there, and give what arrives to qmail-dk verify")


def ignored_beside_another(domain, late):
    """A signature that a receiver can't verify, beside one that it can: Ed25519."""
    for selector, signatures in by_selector(domain).items():
        receivers = [one for one in signatures if one.beside >= NEARLY_ALL * one.messages]
        if not receivers:
            continue
        harmless = (selector.startswith(ED25519)
                    or any(one.failed < one.messages for one in signatures))
        yield Finding(
            OK if harmless else WARN, domain.name,
            f"{names(one.receiver for one in receivers)} counted the signature as "
            f"{named(selector)} as failed, beside another that passed: harmless if it is Ed25519, "
            "which they don't know", "" if harmless else
            f"qmail-dk check {domain.name} compares its record")


def signs_nothing(domain, late):
    """A host of the domain that does not sign."""
    if domain.by_kind[UNSIGNED]:
        yield Finding(
            WARN, domain.name, f"{addresses(domain, UNSIGNED)} sent "
            f"{domain.by_kind[UNSIGNED]:,} messages that pass by SPF only: hosts of the domain "
            "that do not sign", "let them sign, or send through a host that does; there, "
            f"qmail-dk why {domain.name}")


def changed_on_the_way(domain, late):
    """Lists and forwards that break signatures."""
    explained = sum(key.messages for key in late)
    if domain.by_kind[ALTERED] > explained and domain.by_dkim:
        yield Finding(
            WARN, domain.name, f"{addresses(domain, ALTERED)} passed on "
            f"{domain.by_kind[ALTERED]:,} messages whose signature had been broken, as mailing "
            "lists do", "doc/lists-and-forwards")


def forged(domain, late):
    """Mail that has nothing to do with the domain, or that was forgotten."""
    if domain.by_kind[FORGED]:
        yield Finding(
            OK, domain.name, f"{domain.by_kind[FORGED]:,} messages have no signature of the "
            "domain and fail SPF: forged, unless a host among the senders is yours",
            f"qmail-dk reports {domain.name} --names")


CAUSES = (withdrawn_too_early, never_good, broken_at_a_receiver, signs_nothing,
          changed_on_the_way, ignored_beside_another, forged)


def observed_finding(domain, days, messages):
    """Returns the Finding on a domain whose policy could be stricter.  days: since the first"""
    return Finding(WARN, domain, f"p=none in all reports for {days} days, and all {messages:,} "
                   "messages of the last 90 passed", "go on to p=quarantine (doc/dns)")


def by_selector(domain):
    """Returns {selector: list of Signatures} of a Domain."""
    found = {}
    for signatures in domain.signatures:
        found.setdefault(signatures.selector, []).append(signatures)
    return found


def named(selector):
    return f"selector {selector}" if selector else "a selector that is not named"


def names(texts):
    """Returns the first SHOWN of texts as one str."""
    found = list(texts)
    return ", ".join(found[:SHOWN]) + (f" and {len(found) - SHOWN} more" if found[SHOWN:] else "")


def addresses(domain, kind):
    """Returns the hosts that sent most messages of a kind, as one str."""
    examples = domain.senders[kind][:SHOWN]
    others = domain.by_kind[kind] > sum(sender.messages for sender in examples)
    return ", ".join(f"{sender.address} ({sender.messages:,})" for sender in examples) + (
        " and others" if others else "")
