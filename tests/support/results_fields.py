# SPDX-License-Identifier: MIT
"""Authentication-Results fields that lib/ writes for given results."""

from collections import namedtuple

from lib.mail import authentication_results
from lib.verifying.dmarc import DmarcResult
from lib.verifying.results import SignatureResult
from lib.verifying.sender_policies import SenderPolicies
from lib.verifying.spf import SpfResult

ID = "mx.example.net"

# method, status, reason: str, "" without a reason; properties: {"header.d": value}
Result = namedtuple("Result", "method status reason properties")


def field(results):
    """Returns the field (bytes) that has Results, with SPF and DMARC, in this order, last.

    [] stands for an unsigned message without them.
    """
    signatures, spf, policies = [], None, None
    for result in results:
        if result.method == "spf":
            spf = spf_result(result)
        elif result.method == "dmarc":
            policies = SenderPolicies(spf, dmarc_result(result))
        else:
            signatures.append(signature_result(result))
    return authentication_results.field(ID.encode(), signatures, policies)


def signature_result(wanted):
    result = SignatureResult(wanted.method, wanted.status, "A", wanted.reason)
    named = wanted.properties
    result.domain, result.selector = named.get("header.d", ""), named.get("header.s", "")
    result.algorithm = named.get("header.a", "")
    result.signature_start = named.get("header.b", "")
    result.sender_field = "sender" if "header.sender" in named else "from"
    result.sender_domain = named.get(f"header.{result.sender_field}", "")
    return result


def spf_result(wanted):
    (name, domain), = wanted.properties.items() or [("smtp.mailfrom", "")]
    return SpfResult(wanted.status, name.partition(".")[2], domain.encode(), wanted.reason)


def dmarc_result(wanted):
    """If the message fails, the policy that applies is to be seen, not the one published."""
    result = DmarcResult(wanted.properties.get("header.from", ""))
    result.status, result.reason = wanted.status, wanted.reason
    policy = wanted.properties.get("policy.dmarc", "")
    if wanted.status == "fail":
        result.policy, result.disposition = "reject", policy
    else:
        result.policy = policy
    return result
