# SPDX-License-Identifier: MIT
"""Finds mail from outside that is forwarded and claims to be from a domain of ours.

Our verifier puts its results on top of an incoming message, and removes the fields
that pretend to be its own (RFC 8601 sections 4.1 and 5).  If it found no valid
signature that fits the domain in From: or Sender:, our signature would turn a
forgery into genuine mail.
"""

from ..mail import address, author
from ..mail.authentication_results import NAME, is_ours

# Not domainkeys=pass: a DomainKeys signature does not cover the fields above it, but our
# signature would.  Not dmarc=pass: if SPF alone gives it, that only holds for the host that sent
# the message here, and our signature would be good wherever it goes.
PASSED = b"dkim=pass"
DOMAIN = b"header.d="
WHY = "the message came from outside without a good DKIM signature of that domain"
PLAIN = address.LETTERS_DIGITS_HYPHEN + b"._"

# Second-level domains under which others register names, in countries with much mail; from
# the ICANN section of the Public Suffix List of 2026-08-19.  Those of governments are left
# out, since some have a DMARC record, which makes all names below it one organization.
COUNTRIES = {
    b"ac": b"at cn id il in jp kr nz th uk za",
    b"asn": b"au",
    b"co": b"at hu id il in jp ke kr nz th ug uk ve za zm zw",
    b"com": b"ar au bo br cn co cy do ec eg es gr gt hk hr kw lb mt mx my ng pa pe ph pk pl pt py "
            b"qa ro sa sg sv tr tw ua uy ve vn",
    b"edu": b"ar au br cn co es hk in mx my pe ph pl sg tr tw",
    b"id": b"au",
    b"ltd": b"uk",
    b"me": b"uk",
    b"ne": b"jp kr",
    b"net": b"au br cn il in mx nz pl tr tw ua uk za",
    b"or": b"at id jp kr th",
    b"org": b"ar au br cn es hk il in mx my nz pe ph pl sg tr tw ua uk za",
    b"plc": b"uk",
    b"web": b"za",
}
REGISTRIES = frozenset((label, country) for label, countries in COUNTRIES.items()
                       for country in countries.split())


def withheld(candidates, header, has_cr, settings):
    """Returns the candidates that must not sign the message, list of bytes.

    candidates: list of domains that could sign, bytes
    header: message.Header, its CRs made LF
    has_cr: function that returns whether the message has any CR
    Raises SettingTrouble, OSError.
    """
    if not header.named(NAME) or not settings.checks_forwarded() or not settings.host_name():
        return []   # without a host name, the verifier can't have written results
    passed = passing_domains(header, settings.authserv_id())
    if passed is None:
        return []
    if passed and has_cr():
        passed = []     # the verifier read other lines than we would sign
    claimed = claimed_domains(header)
    if claimed is None:
        return candidates
    unproven = {organization(domain) for domain in set(claimed) - related(claimed, passed)}
    return [domain for domain in candidates if organization(domain) in unproven]


def organization(domain):
    """Returns the organizational domain of a domain, as far as its name shows (bytes).

    To receivers, the signature of any domain below it is the author's (relaxed
    alignment, RFC 9989 section 4.4); they find it by DMARC records (section 4.10) or,
    as before, by a list of all registries.  A registry that is missing here only
    costs a signature; one that receivers don't know would let a forgery through.
    """
    labels = domain.split(b".")[-3:]
    return b".".join(labels if tuple(labels[-2:]) in REGISTRIES else labels[-2:])


def passing_domains(header, authserv_id):
    """Returns d= of the signatures that our verifier found valid, list of lower-case bytes.

    Returns None if it has not seen the message.  authserv_id: bytes.  Only our
    topmost field counts, since a message that passes again has older ones below.
    """
    for field in header.named(NAME):
        if is_ours(NAME, field, authserv_id):
            results = [result.split() for result in field.split(b";")[1:]]
            return [word[len(DOMAIN):].lower() for words in results
                    if words and words[0] == PASSED
                    for word in words if word.startswith(DOMAIN)]
    return None


def claimed_domains(header):
    """Returns all domains in From: and Sender:, list of bytes.

    Returns None if a reader could find others; for instance if a domain must be
    decoded, since IDNA maps many spellings to one domain.
    """
    claimed = []
    for field in header.named(b"from") + header.named(b"sender"):
        found = author.domains(field.partition(b":")[2])
        if not found or any(domain.translate(None, PLAIN) and not domain.startswith(b"[")
                            for domain in found):
            return None
        claimed += found
    return claimed


def related(domains, others):
    """Returns the set of the domains that are one of the others, below one, or above one.

    Uses sets, since a message may claim 100,000 domains.
    """
    domains, others = set(domains), set(others)
    above = {name for other in others for name in with_ancestors(other) if name in domains}
    return above | {domain for domain in domains
                    if any(name in others for name in with_ancestors(domain))}


def with_ancestors(domain):
    """Yields a domain (bytes) and all domains above it; of a name too long, only its end."""
    name = domain[-address.LONGEST_DOMAIN - 1:]
    while name:
        yield name
        name = name.partition(b".")[2]
