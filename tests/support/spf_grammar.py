# SPDX-License-Identifier: MIT
"""RFC 7208 section 12 as regular expressions, and the texts that lib/verifying/spf.py writes."""

import ipaddress
import re

STATUSES = {"pass", "fail", "softfail", "neutral", "none", "temperror", "permerror"}

MACRO = r"%%(?:[%%_-]|\{[%s](?:0*[1-9][0-9]*)?r?[.+,/_=-]*\})"
IN_TERMS, IN_ALL = MACRO % "slodipvh", MACRO % "slodipvhcrt"
STRING = r"(?:[!-$&-~]|%s)*"
TOP_LABEL = r"(?:[a-z0-9]*[a-z][a-z0-9]*|[a-z0-9]+-[a-z0-9-]*[a-z0-9])"
DOMAIN_SPEC = rf"(?P<spec>{STRING % IN_TERMS}(?:\.{TOP_LABEL}\.?|{IN_TERMS}))"
LENGTH = r"(?:0|[1-9][0-9]{0,2})"
DUAL = rf"(?:/(?P<of_ip4>{LENGTH}))?(?://(?P<of_ip6>{LENGTH}))?"
TERMS = [re.compile(term, re.IGNORECASE | re.ASCII) for term in (
    r"[+?~-]?all",
    rf"[+?~-]?(?:include|exists):{DOMAIN_SPEC}",
    rf"[+?~-]?ptr(?::{DOMAIN_SPEC})?",
    rf"[+?~-]?(?:a|mx)(?::{DOMAIN_SPEC})?{DUAL}",
    rf"[+?~-]?ip4:(?P<ip4>[^/]*)(?:/(?P<of_ip4>{LENGTH}))?",
    rf"[+?~-]?ip6:(?P<ip6>[^/]*)(?:/(?P<of_ip6>{LENGTH}))?",
    rf"(?P<once>redirect|exp)={DOMAIN_SPEC}",
    rf"(?!(?:redirect|exp)=)[a-z][a-z0-9_.-]*={STRING % IN_ALL}")]
LONGEST_SPEC = 255      # a limit of ours
# No qnum has one; ipaddress lets them pass before Python 3.9.5.
LEADING_ZERO = re.compile(r"(?<![0-9])0[0-9]+\.|\.0[0-9]")


def is_record(text):
    """Whether str is an SPF record that the grammar allows, and that says nothing twice."""
    version, *terms = text.split(" ")
    found = [matched(term) for term in terms if term]
    once = [term["once"].lower() for term in found if term and "once" in term]
    return version.lower() == "v=spf1" and all(found) and len(once) == len(set(once))


def matched(term):
    """-> the parts of a term by their names, and at least its text; None if it is none."""
    for expression in TERMS:
        match = expression.fullmatch(term)
        if match and fits(match.groupdict()):
            return {"text": term, **match.groupdict()}
    return None


def fits(parts):
    """Whether addresses are some, and the numbers not too high."""
    for name, read in (("ip4", ipaddress.IPv4Address), ("ip6", ipaddress.IPv6Address)):
        if name in parts:
            try:
                read(parts[name])
            except ValueError:
                return False
            if LEADING_ZERO.search(parts[name]):
                return False
    return (int(parts.get("of_ip4") or 0) <= 32 and int(parts.get("of_ip6") or 0) <= 128
            and len(parts.get("spec") or "") <= LONGEST_SPEC and "%" not in parts.get("ip6", ""))


NAME = r"(?![A-Za-z0-9_.-]{254})[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*"
FLAW = (r"an unknown macro|a malformed macro|a macro without end|a percent sign without macro"
        r"|an unknown mechanism|an argument that does not belong there|no domain|no address"
        r"|not an address|not a domain|not a prefix length|a domain that is too long"
        r"|a modifier for the second time")
REASON = re.compile(
    rf"[?~-]?(?:all|ip4|ip6|(?:a|mx|ptr|include|exists)(?::{NAME})?) of {NAME}"
    rf"|no term of {NAME} matches|no SPF record of {NAME}|\d+ SPF records of {NAME}"
    rf"|SPF record of {NAME}: (?:term \d+: (?:{FLAW})|a character that is not printable ASCII)"
    rf"|(?:TXT|A|AAAA|MX) of (?:{NAME}|a name): (?:timeout|more than 8 CNAME records)"
    r"|a target that is not a domain name|the sender has no domain name"
    r"|HELO is not a domain name|SPF records of more than 16384 bytes"
    r"|more than 10 terms need look-ups|more than 2 terms find nothing|more than 10 MX records"
    r"|the DNS has too many records for it")


def is_shown_safely(result):
    """Whether an SpfResult has our words and names in its reason, printable ASCII in its steps."""
    return bool(REASON.fullmatch(result.reason)) and all(
        re.fullmatch("[ -~]+", step) for step in result.steps or ())
