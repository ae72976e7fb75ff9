# SPDX-License-Identifier: MIT
"""Evaluates DMARC: whether DKIM or SPF passes for the domain in From:, and its policy.

RFC 9989 sections 4.10 and 5.3.  Uses no clock and no socket; the caller supplies the DNS.
"""

from ..mail import tag_values
from . import tree_walk
from .dmarc_record import WEAKER
from .tree_walk import Unanswered

MOST_DOMAINS = 10       # of signatures, as examination.MOST_SIGNATURES


class DmarcResult:
    """The result of DMARC for a message.

    status: a word of RFC 9989 section 9.2; "none" also without an author domain
    reason: a short sentence, "" for a pass
    domain: the author domain, "" if there is none
    policy: "none", "quarantine" or "reject" as published for the domain, by p=, sp= or
    np= (np= only if the message fails); "" unless the status is "pass" or "fail"
    disposition: the policy that applies, after t=; "none" unless the status is "fail"
    aligned: "dkim" or "spf", whose domain is aligned; "" if none is
    organization: the author's organizational domain (bytes), b"" if it did not matter
    steps: list of str, how the result came about, if it is to be explained
    """

    __slots__ = ("status", "reason", "domain", "policy", "disposition", "aligned",
                 "organization", "steps")

    def __init__(self, domain: str = ""):
        self.status = self.reason = ""
        self.domain = domain
        self.policy = ""
        self.disposition = "none"
        self.aligned = ""
        self.organization = b""
        self.steps: "list[str]" = []

    def withdraw(self, status, reason):
        """Replaces a pass or a failure that does not hold, so that no policy applies."""
        self.status, self.reason = status, reason
        self.policy, self.disposition = "", "none"


def evaluate(author_domain, signed_domains, spf, find, to_explain=False, undecided=()):
    """Returns the DmarcResult of a message.

    author_domain: of author.author_domain(), bytes or None
    signed_domains: d= of the DKIM signatures that pass, list of bytes; the first
    MOST_DOMAINS count
    spf: the domain (bytes) of MAIL FROM for which SPF gives pass, else None
    find: function (name, type) -> answer with status, values and reason, as answer.Answer
    to_explain: whether to note the steps
    undecided: list of ("dkim" or "spf", domain, bytes) whose result is temperror, since a
    message does not fail for want of them (section 5.3.6); with those that pass, 11 count
    """
    author = None if author_domain is None else tag_values.domain_name(author_domain, 1)
    if author is None:
        # Section 5.3.1: DMARC ends here.  A result without a domain shows that somebody
        # looked, as a missing one does not.
        result = DmarcResult()
        result.status = "none"
        result.reason = "From: has no single author domain"
        return result
    identifiers = [("dkim", domain) for domain in signed_domains[:MOST_DOMAINS]]
    if spf is not None:
        identifiers.append(("spf", spf))
    evaluation = Evaluation(author, find, to_explain)
    evaluation.evaluate(domains(identifiers),
                        domains(undecided[:MOST_DOMAINS + 1 - len(identifiers)]))
    return evaluation.result


class Evaluation:
    """The evaluation of DMARC for one message with an author domain.

    author: bytes; find, to_explain: as in evaluate()
    note: function that takes a line (str) of the explanation
    """

    def __init__(self, author, find, to_explain):
        self.author = author
        self.result = DmarcResult(author.decode("ascii"))
        self.find = find
        self.note = self.result.steps.append if to_explain else ignore
        self.records = tree_walk.Records(find, self.note)

    def evaluate(self, identifiers, undecided):
        """Sets the result (section 5.3).

        identifiers, undecided: what passes, and what is not decided now; of domains()
        """
        result = self.result
        try:
            result.status, result.reason = self.outcome(identifiers, undecided)
        except Unanswered as unanswered:    # section 5.3.6: neither pass nor fail
            result.status, result.reason = "temperror", str(unanswered)

    def outcome(self, identifiers, undecided):
        """Returns (status, reason); sets the policy, and what is aligned.  Raises Unanswered."""
        found = self.discover()
        if found is None:
            return "none", "the domain has no DMARC record"
        name, record = found
        self.note(f"the record of {name.decode()} applies to {self.result.domain}")
        if not record.policy:       # section 4.10.1; section 9.2 has the word
            return "permerror", "p=, sp= or np= is not valid, and rua= has no address"
        self.result.aligned = self.find_aligned(record, identifiers)
        if not self.result.aligned and undecided:
            self.note("not decided now:")
            kind = self.find_aligned(record, undecided)
            if kind:
                raise Unanswered(kind + " of an aligned domain is not decided")
        policy = self.result.policy = self.policy(name, record)
        if self.result.aligned:
            return "pass", ""
        self.result.disposition = WEAKER[policy] if record.testing else policy
        return "fail", ("no domain that passes DKIM or SPF is aligned" if identifiers
                        else "neither DKIM nor SPF passes")

    def discover(self):
        """Returns the (name, DmarcRecord) that applies, or None (section 4.10.1).

        Raises Unanswered.
        """
        own = self.records.of(self.author)
        if own is not None:
            return self.author, own
        found = self.records.walk(self.author)
        self.result.organization = tree_walk.organization(self.author, found)
        return tree_walk.policy_record(self.author, found)

    def policy(self, name, record):
        """Returns the policy by the DmarcRecord of a name (section 4.10.1).  Raises Unanswered.

        Whether the author domain exists only matters for a message that fails.
        """
        if name == self.author:
            return record.policy
        if (not self.result.aligned and record.absent_policy != record.subdomain_policy
                and self.author_is_absent()):
            return record.absent_policy
        return record.subdomain_policy

    def author_is_absent(self):
        """Returns whether the author domain does not exist.  Raises Unanswered.

        Sections 3.2.13 and A.4: the response code to a query of any type says so.  SPF asks
        for TXT, too, so this answer may be at hand.
        """
        answer = self.find(self.author, "TXT")
        absent = answer.status == "none" and answer.reason == "NXDOMAIN"
        if answer.status == "temporary":
            raise Unanswered(f"{self.result.domain}: {answer.reason}")
        self.note(f"{self.result.domain} {'does not exist' if absent else 'exists'}")
        return absent

    def find_aligned(self, record, identifiers):
        """Returns "dkim" or "spf" if one of the identifiers is aligned, else "".

        Raises Unanswered if none is, but one might be (section 4.10.2).
        """
        for kind, domain in identifiers:
            if domain == self.author:
                self.tell(kind, domain, "aligned, the same domain")
                self.result.organization = self.result.organization or domain
                return kind
        strict = {"dkim": record.dkim_strict, "spf": record.spf_strict}
        relaxed = []
        for kind, domain in identifiers:
            if strict[kind]:
                self.tell(kind, domain, "another domain, and alignment is strict")
            elif not may_share_organization(domain, self.author):
                self.tell(kind, domain, "not aligned")
            else:
                relaxed.append((kind, domain))
        return self.find_relaxed(relaxed) if relaxed else ""

    def find_relaxed(self, identifiers):
        """Returns the kind of an identifier whose organizational domain is the author's, or "".

        Only a domain at or below that one is walked from, since the others' signatures
        must not cost look-ups.  Raises Unanswered.
        """
        ours = self.result.organization = self.records.organization(self.author)
        self.note(f"the organizational domain of {self.result.domain} is {ours.decode()}")
        fault = ""
        for kind, domain in identifiers:
            if not tag_values.is_within(domain, ours):
                self.tell(kind, domain, f"not aligned, not below {ours.decode()}")
                continue
            try:
                organization = self.records.organization(domain)
            except Unanswered as unanswered:
                fault = str(unanswered)
                continue
            if organization == ours:
                self.tell(kind, domain, "aligned, the same organizational domain")
                return kind
            self.tell(kind, domain, f"not aligned, it belongs to {organization.decode()}")
        if fault:
            raise Unanswered(fault)
        return ""

    def tell(self, kind, domain, verdict):
        self.note(f"{kind} {domain.decode()}: {verdict}")


def domains(identifiers):
    """Returns those of the (kind, text) whose text is a domain, in the form of the DNS."""
    found = [(kind, tag_values.domain_name(text, 1)) for kind, text in identifiers]
    return [(kind, domain) for kind, domain in found if domain is not None]


def may_share_organization(domain, other):
    """Returns whether two domains end with the same label.

    Their organizational domains are at or above them, so they differ otherwise.
    """
    return domain.rpartition(b".")[2] == other.rpartition(b".")[2]


def ignore(line):
    """Drops a line of the explanation."""
