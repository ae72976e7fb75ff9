# SPDX-License-Identifier: MIT
"""What became of a DNS question, of one signature, and of all of a message.

Statuses are RFC 8601's words (section 2.7.1), letters are those of DKVERIFY,
which libdomainkeys numbered first.  Text from outside is never kept as it
came: a str here is printable ASCII, "" where it was not in the grammar.
"""

# letter -> the word of the DomainKey-Status field, as qmail-dk writes it.
STATUS_WORDS = {
    "A": "good",
    "B": "bad",
    "C": "no signature",
    "D": "no key",
    "E": "bad key",
    "F": "no key",
    "G": "bad format",
    "H": "no resources",
    "I": "bad format",
    "J": "revoked",
    "K": "bad format",
}

# Which letter speaks for several signatures: a pass, then what could still
# turn into one, then the permanent failures.
PRECEDENCE = "AFHBJDEGIKC"


class TxtAnswer:
    """What the DNS said to a TXT question.

    status: "found", "none" (no such name, or no TXT there) or "temporary"
    texts: list of bytes, one for each record, its strings joined
    reason: str for the other two, such as "NXDOMAIN", "timeout", "SERVFAIL"
    seconds: for how long it may be kept; 0: not at all
    """

    __slots__ = ("status", "texts", "reason", "seconds")

    def __init__(self, status, texts=(), reason="", seconds=0):
        self.status = status
        self.texts = list(texts)
        self.reason = reason
        self.seconds = seconds


class SignatureResult:
    """What became of one signature field, or of the question for one.

    protocol: "dkim" or "domainkeys"; status: a word of RFC 8601
    letter: of DKVERIFY; reason: a short sentence, "" for a pass
    domain, selector, algorithm: d=, s=, a=
    signature_start: the first characters of b= (RFC 6008)
    sender_field, sender_domain: where DomainKeys' sending address is, "from" or
    "sender", and its domain
    test_mode: whether the key says t=y
    """

    __slots__ = ("protocol", "status", "letter", "reason", "domain", "selector", "algorithm",
                 "signature_start", "sender_field", "sender_domain", "test_mode")

    def __init__(self, protocol, status="", letter="", reason=""):
        self.protocol = protocol
        self.status = status
        self.letter = letter
        self.reason = reason
        self.domain = self.selector = self.algorithm = self.signature_start = ""
        self.sender_field = self.sender_domain = ""
        self.test_mode = False

    def counts(self):
        """Whether it has a say: a failure with a key in test mode is no signature
        (RFC 6376 section 3.6.1, t=y)."""
        return self.letter == "A" or not self.test_mode


def foremost(results):
    """The first of the results whose letter comes first in PRECEDENCE, else None."""
    return min(results, key=lambda result: PRECEDENCE.index(result.letter), default=None)


def verdict(results):
    """-> (letter that speaks for all the results, whether a key in test mode decided)."""
    decisive = foremost([result for result in results if result.counts()])
    if decisive is not None and decisive.letter != "C":
        return decisive.letter, decisive.test_mode
    return "C", any(result.test_mode for result in results)
