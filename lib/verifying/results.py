# SPDX-License-Identifier: MIT
"""The result of one signature, and of a whole message.

Statuses are the words of RFC 8601 section 2.7.1, letters are those of DKVERIFY.
Text from outside is never kept unchecked: a str here is printable ASCII, or "" if the
text was not in the grammar.
"""

from .letters import PRECEDENCE


class SignatureResult:
    """The result of one signature field, or of the policy on unsigned mail.

    protocol: "dkim" or "domainkeys"; status: a word of RFC 8601
    letter: of DKVERIFY; reason: a short sentence, "" for a pass
    domain, selector, algorithm: d=, s=, a=
    signature_start: the first characters of b= (RFC 6008)
    sender_field, sender_domain: the field of DomainKeys' sending address, "from" or
    "sender", and its domain
    test_mode: whether the key record has t=y
    """

    __slots__ = ("protocol", "status", "letter", "reason", "domain", "selector", "algorithm",
                 "signature_start", "sender_field", "sender_domain", "test_mode")

    def __init__(self, protocol: str, status: str = "", letter: str = "", reason: str = ""):
        self.protocol = protocol
        self.status = status
        self.letter = letter
        self.reason = reason
        self.domain = self.selector = self.algorithm = self.signature_start = ""
        self.sender_field = self.sender_domain = ""
        self.test_mode = False

    def counts(self) -> bool:
        """Returns whether the result counts; a failure with a key in test mode does not.

        RFC 6376 section 3.6.1, t=y: such mail is treated as unsigned.
        """
        return self.letter == "A" or not self.test_mode


def foremost(results):
    """Returns the result whose letter comes first in PRECEDENCE, the first of equals, or None."""
    return min(results, key=lambda result: PRECEDENCE.index(result.letter), default=None)


def verdict(results):
    """Returns (the letter for all results together, whether a key in test mode decided)."""
    decisive = foremost([result for result in results if result.counts()])
    if decisive is not None and decisive.letter != "C":
        return decisive.letter, decisive.test_mode
    return "C", any(result.test_mode for result in results)
