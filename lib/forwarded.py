# SPDX-License-Identifier: MIT
"""Mail from outside that is sent out again, and claims to be of a domain of ours.

Where our verifier has seen a message come in, it has said so on top, and has
taken off all that pretends to be its word.  If it found no signature that
passes and fits the domain in From: or Sender:, a signature of ours would turn
somebody's forgery into genuine mail.
"""

from . import address
from .authentication_results import NAME, is_ours

# Not domainkeys=pass: fields above a DomainKeys signature are covered by nothing, and
# ours would cover them.
PASSED = b"dkim=pass"
DOMAIN = b"header.d="
LONGEST_DOMAIN = 253        # bytes
PLAIN = address.LETTERS_DIGITS_HYPHEN + b"._"

# Labels below a country's, under which others register their domains.
REGISTRIES = frozenset(b"ac co com ed edu go gob gov gv id ltd me mil ne net nhs nic nom or org "
                       b"plc sch".split())


def withheld(candidates, header, has_cr, settings):
    """Those of the domains that must not answer for the message; list of bytes.

    candidates: domains that could sign; header: message.Header, its CRs made LF
    has_cr: function -> whether the message has any.  Raises SettingTrouble, OSError.
    """
    if not header.named(NAME) or not settings.checks_forwarded() or not settings.host_name():
        return []   # nameless, the verifier can't have seen anything
    passed = passing_domains(header, settings.authserv_id())
    if passed is None:
        return []
    if passed and has_cr():
        passed = []     # the verifier saw other lines than those that we would sign
    claimed = claimed_domains(header)
    if claimed is None:
        return candidates
    unproven = {organization(domain) for domain in set(claimed) - related(claimed, passed)}
    return [domain for domain in candidates if organization(domain) in unproven]


def organization(domain):
    """The domain under which all are one's own, as far as its name tells (bytes).

    Receivers take a signature of any of them for the author's own (relaxed
    alignment, RFC 7489 section 3.1.1), by a list of all registries.  One that is
    not known here only costs a signature.
    """
    labels = domain.split(b".")[-3:]
    is_registry = len(labels) > 1 and len(labels[-1]) == 2 and labels[-2] in REGISTRIES
    return b".".join(labels if is_registry else labels[-2:])


def passing_domains(header, authserv_id):
    """d= of the signatures that our verifier found good; None if it has not seen the message.

    authserv_id: bytes.  Only the topmost field of ours counts, for what we see
    again has older ones below.
    """
    for field in header.named(NAME):
        if is_ours(NAME, field, authserv_id):
            results = [result.split() for result in field.split(b";")[1:]]
            return [word[len(DOMAIN):].lower() for words in results
                    if words and words[0] == PASSED
                    for word in words if word.startswith(DOMAIN)]
    return None


def claimed_domains(header):
    """All domains in From: and Sender:; None where a reader could find others.

    As where one has to be decoded: IDNA makes many spellings one domain.
    """
    claimed = []
    for field in header.named(b"from") + header.named(b"sender"):
        found = address.domains(field.partition(b":")[2])
        if not found or any(domain.translate(None, PLAIN) and not domain.startswith(b"[")
                            for domain in found):
            return None
        claimed += found
    return claimed


def related(domains, others):
    """The set of those domains that are one of the others, below one, or above one.

    A message may claim 100,000 domains.
    """
    domains, others = set(domains), set(others)
    above = {name for other in others for name in with_ancestors(other) if name in domains}
    return above | {domain for domain in domains
                    if any(name in others for name in with_ancestors(domain))}


def with_ancestors(domain):
    """Yields a domain and all above it (bytes); of what is too long for one, only these."""
    name = domain[-LONGEST_DOMAIN - 1:]
    while name:
        yield name
        name = name.partition(b".")[2]
