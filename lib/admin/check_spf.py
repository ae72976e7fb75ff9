# SPDX-License-Identifier: MIT
"""Checks the SPF record of a domain, by evaluating it as a receiver does (RFC 7208)."""

import ipaddress

from ..process import fsencode
from ..verifying import spf
from .findings import FAIL, OK, WARN, Finding

# No host has this address (RFC 1112 section 4), so each term of a record is evaluated.
NOBODY = bytes((240, 0, 0, 1))
ENDING = "let it end in ~all or -all"


def findings(domain, addresses, helo, find):
    """Checks the record of a signing domain (str).

    addresses: from which this host sends mail (list of str); helo: its name there (str)
    find: as in spf.evaluate()
    """
    def evaluated(address):
        return spf.evaluate(address, b"postmaster@" + domain.encode(), fsencode(helo), find)

    for_others = evaluated(NOBODY)
    if for_others.status == "none":
        terms = "".join(f" ip{ipaddress.ip_address(address).version}:{address}"
                        for address in addresses) or " mx"
        return [Finding(WARN, subject(domain), "there is none, and large receivers want one",
                        f'publish as a TXT record of {domain}: "v=spf1{terms} ~all", with all '
                        "other hosts that send its mail")]
    ours = [ours_finding(domain, address, evaluated(ipaddress.ip_address(address).packed))
            for address in addresses]
    if for_others.status == "permerror" and ours and all(one.level == OK for one in ours):
        # They match before the fault is reached.
        return [others_finding(domain, for_others)._replace(level=WARN)] + ours
    if for_others.status in ("permerror", "temperror"):
        return [others_finding(domain, for_others)]
    return [others_finding(domain, for_others)] + ours


def subject(domain):
    return f"SPF of {domain}"


def others_finding(domain, result):
    """Returns the Finding on what a record says of hosts that it does not name.

    result: spf.SpfResult for NOBODY
    """
    level, text, remedy = {
        "temperror": (WARN, "can't be evaluated now", "see that the name servers answer"),
        "permerror": (FAIL, "receivers can't evaluate it", remedy_of(result.reason)),
        "pass": (WARN, "it lets every host send this domain's mail", ENDING),
        "neutral": (WARN, "it says nothing of hosts that it does not name", ENDING),
        "softfail": (OK, "softfail for others", ""),
        "fail": (OK, "fail for others", ""),
    }[result.status]
    return Finding(level, subject(domain), f"{text} ({result.reason})", remedy)


def remedy_of(reason):
    """Returns the remedy for a record with which an evaluation ends in an error."""
    if "need look-ups" in reason:
        return "name addresses by ip4: and ip6: where it has a, mx, include, exists or ptr"
    if "SPF records of" in reason and reason[0].isdigit():
        return "make one of them, since receivers use none"
    if "find nothing" in reason:
        return "take the names out of it that don't exist"
    return "correct it"


def ours_finding(domain, address, result):
    """Returns the Finding on what a record says of this host.

    address: its own (str); result: spf.SpfResult for it
    """
    said = f"{result.status} for this host's address {address} ({result.reason})"
    if result.status == "pass":
        return Finding(OK, subject(domain), said)
    return Finding(FAIL if result.status == "fail" else WARN, subject(domain), said,
                   f"if this host sends its mail, add ip{ipaddress.ip_address(address).version}:"
                   f"{address} to the record, before \"all\"")
