# SPDX-License-Identifier: MIT
"""Evaluates SPF: whether a domain lets a host send its mail (RFC 7208).

The text of exp= is never looked up: the sender would decide what a refusal says, and each
message could cost one more look-up.
"""

from ..mail import tag_values
from ..mail.address import LONGEST_DOMAIN, are_labels
from . import spf_macros, spf_record
from .spf_client import Client
from .spf_lookups import CountedLookups, Ended

MOST_EXCHANGES = 10     # MX records of a name; section 4.6.4: permerror if there are more

# A limit of ours: bytes of all records of one evaluation.  Section 3.4 asks for records that
# fit into 512 bytes, and eleven of these can count, so this is three times what is needed.
# It bounds the CPU time that hostile records cost, to some 10 ms.
MOST_BYTES = 16384

SIGNS = {"pass": "", "fail": "-", "softfail": "~", "neutral": "?"}


class SpfResult:
    """The result of an evaluation.

    status: a word of RFC 8601 section 2.7.2; identity: "mailfrom" or "helo"
    domain: of the identity (bytes, lower case), b"" if it is not a domain name
    reason: a short text of our own words and of names that are in the grammar
    steps: list of str, printable ASCII, one for each look-up and term; None if not wanted
    unanswered: whether a look-up failed that counts as a name that does not match (section
    5.5), so that the result may be another one later
    """

    __slots__ = ("status", "identity", "domain", "reason", "steps", "unanswered")

    def __init__(self, status: str, identity: str, domain: bytes, reason: str,
                 steps: "list[str] | None" = None):
        self.status = status
        self.identity = identity
        self.domain = domain
        self.reason = reason
        self.steps = steps
        self.unanswered = False


def evaluate(address, sender, helo, find, to_explain=False):
    """Returns the SpfResult for the identity that a client's mail has (section 2).

    address: 4 or 16 bytes, of the client; IPv4-mapped IPv6 comes as 4
    sender: bytes, the envelope sender, b"" for the null sender; helo: bytes, b"" if unknown
    find: function of a name (bytes, lower case) and a type ("TXT", "A", "AAAA", "MX", "PTR")
    that returns an object with status ("found", "none", "temporary"), values (list), and
    reason (str).  values: bytes for TXT and PTR, packed addresses, (int, bytes) for MX
    to_explain: whether to keep the steps
    """
    steps = [] if to_explain else None
    identity, local, domain = identity_of(sender, helo)
    if domain is None:
        return SpfResult("none", identity, b"", (
            "the sender has no domain name" if identity == "mailfrom"
            else "HELO is not a domain name"), steps)
    lookups = CountedLookups(find, steps)
    evaluation = Evaluation(Client(address, lookups), local, domain, helo, lookups)
    try:
        status, reason = evaluation.check_host(domain)
    except Ended as ended:
        status, reason = ended.status, ended.reason
    result = SpfResult(status, identity, domain, reason, steps)
    result.unanswered = lookups.unanswered
    return result


def identity_of(sender, helo):
    """Returns (identity, local part, domain, None if it is not a domain name).

    Section 2.4: HELO counts for the null sender.  Section 4.3: a missing local part is
    "postmaster".
    """
    if not sender:
        return "helo", b"postmaster", domain_name(helo)
    local, at, domain = sender.rpartition(b"@")
    return "mailfrom", local or b"postmaster", domain_name(domain) if at else None


def domain_name(text):
    """Returns bytes as a multi-label domain name in lower case, None if they are none.

    Section 4.3: a dot may be at the end.  An IP address is not a domain name.
    """
    name = tag_values.domain_name(text.removesuffix(b"."))
    return None if name is None or name.rpartition(b".")[2].isdigit() else name


class Evaluation:
    """The evaluation of one identity.

    client: spf_client.Client; lookups: spf_lookups.CountedLookups
    local, sender_domain: of the identity; helo: all bytes
    bytes_left: int, how many bytes of records may follow
    """

    def __init__(self, client, local, sender_domain, helo, lookups):
        self.client = client
        self.local = local
        self.sender_domain = sender_domain
        self.helo = helo
        self.lookups = lookups
        self.bytes_left = MOST_BYTES

    def check_host(self, name):
        """Returns (status, reason) by the record of a name (section 4).  Raises Ended."""
        domain = domain_name(name)
        if domain is None:
            return "none", "a target that is not a domain name"
        record = self.record(domain)
        if record is None:
            return "none", f"no SPF record of {domain.decode()}"
        for directive in record.directives:
            target = self.target(directive, domain)
            if self.matches(directive, target):
                self.lookups.note(directive.text, " matches: ", directive.result)
                return directive.result, f"{shown(directive, target)} of {domain.decode()}"
            self.lookups.note(directive.text, " does not match")
        if record.redirect is None:
            return "neutral", f"no term of {domain.decode()} matches"   # section 4.7
        self.lookups.count_term()
        return self.check_other(self.expanded(record.redirect, domain))

    def check_other(self, name):
        """Returns check_host() for include and redirect.  Raises Ended.

        Sections 5.2 and 6.1: here, no record is an error.
        """
        self.lookups.depth += 1
        status, reason = self.check_host(name)
        self.lookups.depth -= 1
        if status == "none":
            raise Ended("permerror", reason)
        return status, reason

    def record(self, domain):
        """Returns the Record of a domain, or None (sections 4.4 to 4.6).  Raises Ended."""
        texts = [text for text in self.lookups.values(domain, "TXT")
                 if spf_record.is_record(text)]
        if not texts:
            return None
        if len(texts) > 1:
            raise Ended("permerror", f"{len(texts)} SPF records of {domain.decode()}")
        self.bytes_left -= len(texts[0])
        if self.bytes_left < 0:
            raise Ended("permerror", f"SPF records of more than {MOST_BYTES} bytes")
        try:
            return spf_record.parse(texts[0])
        except spf_record.Malformed as malformed:
            raise Ended("permerror", f"SPF record of {domain.decode()}: {malformed}") from None

    def target(self, directive, domain):
        """Counts a directive that needs look-ups, and returns its target-name (section 4.8)."""
        if directive.mechanism not in MATCHES:
            return domain
        self.lookups.count_term()
        return self.expanded(directive.target, domain) if directive.target else domain

    def matches(self, directive, target):
        """Returns whether a directive matches (section 5).  Raises Ended."""
        if directive.network:
            bits, shift, network = directive.network
            return bits == self.client.bits and self.client.number >> shift == network
        match = MATCHES.get(directive.mechanism)
        return match is None or match(self, target, directive.prefixes)     # None: all

    def match_include(self, target, _):
        return self.check_other(target)[0] == "pass"

    def match_a(self, target, prefixes):
        return self.client.has_address(self.lookups.values(target, self.client.kind), prefixes)

    def match_mx(self, target, prefixes):
        """See matches(); section 5.4."""
        exchanges = self.lookups.values(target, "MX")
        if len(exchanges) > MOST_EXCHANGES:
            raise Ended("permerror", f"more than {MOST_EXCHANGES} MX records")
        return any(self.match_a(host.lower(), prefixes) for _, host in sorted(exchanges))

    def match_ptr(self, target, _):
        return self.client.has_host_within(target)

    def match_exists(self, target, _):
        """See matches(); section 5.7: IPv4 addresses, for any client."""
        return bool(self.lookups.values(target, "A"))

    def expanded(self, spec, domain):
        """Returns the target-name of a domain-spec (section 4.8), b"" if there is none."""
        return spf_macros.expand(spec, lambda letter: self.value(letter, domain))

    def value(self, letter, domain):
        """Returns the value (bytes) of a macro (section 7.2), or None.  Raises Ended.

        RFC 8616 section 4: no name matches a local part that is not ASCII.  Neither does
        one match what is longer than a name.
        """
        if letter in "slh":
            value = self.helo if letter == "h" else self.local
            if len(value) > LONGEST_DOMAIN or not value.isascii():
                return None
            return value + b"@" + self.sender_domain if letter == "s" else value
        if letter == "i":
            return b".".join(self.client.labels())
        if letter == "p":
            return self.client.host(domain)
        return {"d": domain, "o": self.sender_domain, "v": self.client.zone}[letter]


MATCHES = {     # of the mechanisms that need look-ups
    "include": Evaluation.match_include, "a": Evaluation.match_a, "mx": Evaluation.match_mx,
    "ptr": Evaluation.match_ptr, "exists": Evaluation.match_exists,
}


def shown(directive, target):
    """Returns a directive (str) as a reason shows it, with its target if that is a name."""
    return SIGNS[directive.result] + directive.mechanism + (
        f":{target.decode()}" if directive.target and are_labels(target) else "")
