# SPDX-License-Identifier: MIT
"""What a domain says about its unsigned mail: RFC 4870 section 3.6."""

from . import address, dkimpy
from .results import SignatureResult


def refusal(header, lookup):
    """The SignatureResult for unsigned mail of a domain that signs all its mail, else None.

    lookup: as in inbound.examine().  No policy, a policy in test mode, and one
    that can't be had leave the mail unsigned: name servers that fail on
    underscores must not hold up mail.
    """
    domain = address.sending_domain(header)
    if domain is None or not address.is_domain(domain):
        return None
    answer = lookup(b"_domainkey." + domain)
    if answer.status != "found" or not any(signs_all(text) for text in answer.texts):
        return None
    result = SignatureResult("domainkeys", "none", "B", "the domain signs all its mail (o=-)")
    result.sender_field = "sender" if header.named(b"sender") else "from"
    result.sender_domain = domain.decode("ascii")
    return result


def signs_all(text):
    """Whether a policy record (bytes) says o=-, and not t=y."""
    try:
        tags = dkimpy.tag_list(text)
    except dkimpy.Malformed:
        return False
    return tags.get(b"o") == b"-" and tags.get(b"t") != b"y"
