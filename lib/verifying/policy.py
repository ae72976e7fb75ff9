# SPDX-License-Identifier: MIT
"""Applies a domain's policy for unsigned mail: RFC 4870 section 3.6."""

from ..mail import address
from . import dkimpy
from .results import SignatureResult


def refusal(header, lookup):
    """Returns the SignatureResult for unsigned mail of a domain that signs all its mail, or None.

    header: message.Header; lookup: as in examination.examine().  Returns None as well if
    the policy is in test mode or can't be looked up, because name servers that fail on
    underscores must not delay mail.
    """
    domain = address.sending_domain(header)
    if domain is None or not address.is_domain(domain):
        return None
    answer = lookup(b"_domainkey." + domain)
    if answer.status != "found" or not any(signs_all(text) for text in answer.values):
        return None
    result = SignatureResult("domainkeys", "none", "B", "the domain signs all its mail (o=-)")
    result.sender_field = "sender" if header.named(b"sender") else "from"
    result.sender_domain = domain.decode("ascii")
    return result


def signs_all(text):
    """Returns whether a policy record (bytes) has o=- and not t=y."""
    try:
        tags = dkimpy.tag_list(text)
    except dkimpy.Malformed:
        return False
    return tags.get(b"o") == b"-" and tags.get(b"t") != b"y"
