# SPDX-License-Identifier: MIT
"""Writes DomainKey-Signature fields: RFC 4870, rsa-sha1, c=nofws, with h=."""

import binascii

from .canonicalization import nofws_field
from .signature_field import folded, name_words, with_value

# Not covered: what the way adds, changes or takes off.
LEFT_OUT = (b"received", b"return-path", b"dkim-signature", b"authentication-results")
LEFT_OUT_PREFIXES = (b"domainkey-", b"x-spam-")

NAME = b"abcdefghijklmnopqrstuvwxyz0123456789-_."
LONGEST_NAME = 76   # bytes: with its colon and a fold it fits a line
LONGEST_LIST = 1000     # bytes of h=: libdomainkeys, which qmail-dk has, takes up to 1021


def fields_to_sign(fields):
    """Those of fields (of message.Header) that the signature covers, in order.

    All occurrences of a name or none (RFC 4870 section 3.3), and no name that a
    tag list can't hold.  Those of private use (X-) are left out where h= would
    be too long with them.
    """
    covered = [(name, field) for name, field in fields
               if name not in LEFT_OUT and not name.startswith(LEFT_OUT_PREFIXES)
               and not name.translate(None, NAME) and len(name) <= LONGEST_NAME]
    if list_length(covered) > LONGEST_LIST:
        covered = [(name, field) for name, field in covered if not name.startswith(b"x-")]
    return covered


def list_length(covered):
    """How many bytes the names have with the colons between them."""
    return sum(len(name) + 1 for name, _ in covered) - 1


def hash_header(update, covered):
    """Passes the canonical form of the covered fields to update, in order."""
    for _, field in covered:
        update(nofws_field(field))


def signature_field(key, covered, digest):
    """The DomainKey-Signature field by one RSA key (keys.SigningKey); LF line ends.

    b"" where h= would be too long.
    covered: of fields_to_sign(), each listed in h=: of a name listed once, some
    verifiers take all fields at that place, others each at its own
    digest: SHA-1 of the canonical header and body
    """
    if list_length(covered) > LONGEST_LIST:
        return b""
    names = [field[:len(name)] for name, field in covered]      # as the message writes them
    field = folded(b"DomainKey-Signature", [
        (b"a", [b"rsa-sha1"]), (b"q", [b"dns"]), (b"c", [b"nofws"]),
        (b"s", [key.selector]), (b"d", [key.domain]),
        (b"h", name_words(names)), (b"b", [b""])])
    signature = key.private_key.sign("sha1", digest)
    return with_value(field, binascii.b2a_base64(signature, newline=False))
