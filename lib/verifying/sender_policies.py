# SPDX-License-Identifier: MIT
"""Evaluates what the owners of a message's domains publish about their mail: SPF and DMARC.

SPF (RFC 7208) names the hosts that may send for the envelope sender's domain.  DMARC (RFC
9989) asks whether a passing signature or SPF fits the domain in From:, and says what its
owner wants done if not.  DomainKeys' pass does not count: RFC 9989 knows DKIM and SPF.
"""

from ..mail import author
from . import dmarc, spf

DISPUTED = "some readers find other header fields, so perhaps another author"


class SenderPolicies:
    """The results.  spf: spf.SpfResult, or None without a client; dmarc: dmarc.DmarcResult"""

    __slots__ = ("spf", "dmarc")

    def __init__(self, spf_result, dmarc_result):
        self.spf = spf_result
        self.dmarc = dmarc_result


def evaluate(header, results, client, find, to_explain=False):
    """Returns the SenderPolicies of a message.

    header: message.Header; results: list of SignatureResult; client: client.Client, or None
    find: function of a name (bytes) and a type that returns an Answer, always the same
    """
    domain = author_domain(header)
    signed, undecided = [[result.domain.encode() for result in results
                          if (result.protocol, result.status) == ("dkim", status)]
                         for status in ("pass", "temperror")]
    undecided = [("dkim", name) for name in undecided]
    # Before SPF, so that a dead SPF domain does not take its time.
    found = dmarc.evaluate(domain, signed, None, find, to_explain, undecided)
    by_spf = client and spf.evaluate(client.address, client.sender, client.helo, find, to_explain)
    if found.status in ("fail", "temperror") and by_spf:
        if by_spf.status == "temperror":
            undecided.append(("spf", by_spf.domain))
        found = dmarc.evaluate(domain, signed, by_spf.domain if by_spf.status == "pass" else None,
                               find, to_explain, undecided)
    elif found.status == "fail":
        # It can't be evaluated to its end, now or later (RFC 8601 section 2.7.2, permerror).
        found.withdraw("permerror", "the client is unknown, so SPF is not evaluated")
    if found.status == "pass" and header.is_disputed():
        # SPF proves nothing for an author that only some readers see.  A failure stays one.
        found.withdraw("none", DISPUTED)
    return SenderPolicies(by_spf, found)


def author_domain(header):
    """Returns the domain (bytes) of all addresses in the only From: field, None if they differ.

    RFC 9989 section 5.3.1: several authors of one domain have a DMARC result.
    """
    found = set(author.author_domains(header))
    return found.pop() if len(found) == 1 else None


def words(policies):
    """Returns the words for the log (list of str) about SenderPolicies."""
    spf_result, found = policies.spf, policies.dmarc
    said = ["spf not evaluated: the client, the sender, or a bounce's HELO name is not known"]
    if spf_result:
        said = [f"spf={spf_result.status} {spf_result.identity}={spf_result.domain.decode()}"
                + noted(spf_result)]
    policy = f" p={found.policy}" if found.policy else ""
    return said + [f"dmarc={found.status} from={found.domain}{policy}{noted(found)}"]


def noted(result):
    return "" if result.status == "pass" else f" ({result.reason})"


def rejecting(policies):
    """Returns the author's domain (str) if its DMARC policy is to reject the message, else ""."""
    return policies.dmarc.domain if policies.dmarc.disposition == "reject" else ""
