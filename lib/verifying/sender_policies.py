# SPDX-License-Identifier: MIT
"""Evaluates what the owners of a message's domains publish about their mail: SPF and DMARC.

SPF (RFC 7208) names the hosts that may send for the envelope sender's domain.  DMARC (RFC
9989) asks whether a passing signature or SPF fits the domain in From:, and says what its
owner wants done if not.  DomainKeys' pass does not count: RFC 9989 knows DKIM and SPF.
"""

from ..mail import author
from . import dmarc, spf


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
    domain = author.author_domain(header)
    signed = [result.domain.encode() for result in results
              if result.protocol == "dkim" and result.status == "pass"]
    # Before SPF, so that a dead SPF domain does not take its time.
    found = dmarc.evaluate(domain, signed, None, find, to_explain)
    by_spf = client and spf.evaluate(client.address, client.sender, client.helo, find, to_explain)
    if found.status not in ("fail", "temperror"):
        return SenderPolicies(by_spf, found)
    if by_spf and by_spf.status == "pass":
        found = dmarc.evaluate(domain, signed, by_spf.domain, find, to_explain)
    if found.status == "fail":
        status, reason = doubt(domain, results, client, by_spf, find)
        if status:
            found.status, found.reason = status, reason
            found.policy, found.disposition = "", "none"
    return SenderPolicies(by_spf, found)


def doubt(domain, results, client, by_spf, find):
    """Returns the (status, reason) of a failure that isn't certain, ("", "") if it is.

    domain: the author's; by_spf: SpfResult, or None; other arguments: as in evaluate()
    """
    if client is None:
        return "permerror", "the client is unknown, so SPF is not evaluated"
    undecided = [result.domain.encode() for result in results
                 if result.protocol == "dkim" and result.status == "temperror"]
    spf_domain = by_spf.domain if by_spf.status == "temperror" else None
    if ((undecided or spf_domain)
            and dmarc.evaluate(domain, undecided, spf_domain, find).status != "fail"):
        return "temperror", "what would fit the domain can't be verified now"
    return "", ""


def words(policies):
    """Returns the words for the log (list of str) about SenderPolicies."""
    spf_result, found = policies.spf, policies.dmarc
    said = ["spf not evaluated: the client or the sender is not known"]
    if spf_result:
        said = [f"spf={spf_result.status} {spf_result.identity}={spf_result.domain.decode()}"
                + noted(spf_result.reason)]
    policy = f" p={found.policy}" if found.policy else ""
    return said + [f"dmarc={found.status} from={found.domain}{policy}{noted(found.reason)}"]


def noted(reason):
    return f" ({reason})" if reason else ""


def rejecting(policies):
    """Returns the author's domain (str) if its DMARC policy is to reject the message, else ""."""
    return policies.dmarc.domain if policies.dmarc.disposition == "reject" else ""
