# SPDX-License-Identifier: MIT
"""Decides who signs a message: which domains, with which keys."""

from ..errors import KeyTrouble
from ..mail import address
from ..process import fsdecode
from ..settings import PROTOCOLS
from . import key_files


class Plan:
    """Who signs a message.

    protocols: tuple of the words in DKPROTOCOLS
    candidates: {protocol: domains}, as candidates() returns it
    dkim, domainkeys: (signing domain, key files), as key_files.first_with_key()
    returns them; no key files: no signature of that kind
    withheld: list of (domain that has a key but must not sign, why, str)
    doubted: a domain that has a key and is the author's to some readers, but not to
    all, or None
    flaw: why verifiers would not agree on the message, which is then sent unsigned
    even if there are keys; "" for none
    dkim2: whether there is a key for DomainKeys, but see Header.has_dkim2()
    """

    __slots__ = ("protocols", "candidates", "dkim", "domainkeys", "withheld", "doubted", "flaw",
                 "dkim2")

    def __init__(self, protocols: "tuple[str, ...]", candidates: "dict[str, list[bytes]]",
                 flaw: str) -> None:
        self.protocols = protocols
        self.candidates = candidates
        self.flaw = flaw
        self.dkim: "tuple[bytes | None, list]" = (None, [])
        self.domainkeys: "tuple[bytes | None, list]" = (None, [])
        self.withheld: "list[tuple[bytes, str]]" = []
        self.doubted: "bytes | None" = None
        self.dkim2 = False

    def has_keys(self) -> bool:
        return bool(self.dkim[1] or self.domainkeys[1])


def choose(header, envelope_sender, has_cr, settings):
    """Returns the Plan for a message.

    For each protocol, the first candidate signs that has a key and may sign.
    header: message.Header; envelope_sender: bytes; settings: Settings
    has_cr: as in forwarded.withheld()
    Raises KeyTrouble, SettingTrouble, OSError.
    """
    protocols = settings.words("DKPROTOCOLS", PROTOCOLS)
    patterns = settings.key_patterns()
    known = {}

    def first_with_key(domains):
        return key_files.first_with_key(domains, patterns, known, settings.consulted)
    author_domain, flaw = author_of(header)
    plan = Plan(protocols, candidates(author_domain, header, envelope_sender), header.flaw or flaw)
    barred = set()
    for domains, why in refusals(plan.candidates["dkim"] + plan.candidates["domainkeys"], header,
                                 has_cr, settings):
        domain, _ = first_with_key([domain for domain in domains if domain not in barred])
        if domain is not None:
            plan.withheld.append((domain, why))
        barred |= set(domains)
    for protocol in protocols:
        setattr(plan, protocol, first_with_key(
            [domain for domain in plan.candidates[protocol] if domain not in barred]))
    if plan.domainkeys[1] and header.has_dkim2():
        plan.domainkeys, plan.dkim2 = (None, []), True
    if author_domain is None:
        plan.doubted = doubted(header, plan, first_with_key)
    return plan


def author_of(header):
    """Returns (the domain of the only author, bytes or None; author.author_flaw())."""
    domain = address.only_domain(header.named(b"from"))
    if domain is not None:
        return domain, ""       # From: is in the grammar
    from ..mail import author      # 0.2 ms, only for an unusual From:
    return author.author_domain(header), author.author_flaw(header)


def candidates(author_domain, header, envelope_sender):
    """Returns {protocol: list of the domains that may sign with it, bytes, preferred first}.

    DKIM: the author's domain, else the envelope sender's, each with its parents.
    DomainKeys: only the sending address's (RFC 4870 section 3.2.1: d= is its domain
    or a parent of it).
    author_domain: of author_of(); header: message.Header; envelope_sender: bytes
    """
    _, at, envelope_domain = envelope_sender.rpartition(b"@")
    return {"dkim": address.with_parents(author_domain)
            + (address.with_parents(envelope_domain.lower()) if at else []),
            "domainkeys": address.with_parents(address.sending_domain(header))}


def doubted(header, plan, first_with_key):
    """Returns Plan.doubted for a message without an author.

    It signs nothing, so a KeyTrouble only means that the domain has a key.
    """
    from ..mail import author
    signing_or_withheld = [plan.dkim[0], plan.domainkeys[0], *dict(plan.withheld)]
    for reading in author.possible_domains(header):
        try:
            domain, _ = first_with_key(address.with_parents(reading))
        except KeyTrouble:
            domain = reading
        if domain and domain not in signing_or_withheld:
            return domain
    return None


def doubt(plan, header):
    """Returns the log's text (str) on why the doubted domain of a Plan does not sign."""
    from ..mail import author
    domain = fsdecode(plan.doubted)
    readings = ", ".join(map(fsdecode, author.possible_domains(header)))
    return (f"not signed as {domain}" if plan.has_keys() else "sent unsigned"
            ) + (f", though {domain} has a key: not all readers find one author in From:, "
                 f"which could be of {readings}")


def refusals(domains, header, has_cr, settings):
    """Yields (list of the domains that must not sign the message, why), one for each rule.

    has_cr: as in forwarded.withheld().  Raises SettingTrouble, OSError.
    """
    if header.named(b"authentication-results"):
        from . import forwarded      # only few messages need it
        yield forwarded.withheld(domains, header, has_cr, settings), forwarded.WHY
    lines = settings.lines("DKMAY")
    if lines is not None:
        from . import clients      # only few hosts need it
        refused, who = clients.refused(domains, header.fields, lines)
        yield refused, f"by DKMAY, that is not for {who}"
