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


def names_to_sign(fields):
    """The names for h=: every field's, once, in the order they first occur.

    RFC 4870 section 3.2.1: one name covers all fields of that name.  A name
    that a tag list can't hold is left out.
    """
    names = {}
    for name, field in fields:
        if name in names or name in LEFT_OUT or name.startswith(LEFT_OUT_PREFIXES):
            continue
        if name.translate(None, NAME) or len(name) > LONGEST_NAME:
            continue
        names[name] = field[:len(name)]     # as the message writes it
    return names


def hash_header(update, fields, names):
    """Passes the canonical form of the named fields to update, in order."""
    for name, field in fields:
        if name in names:
            update(nofws_field(field))


def signature_field(key, names, digest):
    """The DomainKey-Signature field by one RSA key (keys.SigningKey); LF line ends.

    names: of names_to_sign(); digest: SHA-1 of the canonical header and body.
    """
    field = folded(b"DomainKey-Signature", [
        (b"a", [b"rsa-sha1"]), (b"q", [b"dns"]), (b"c", [b"nofws"]),
        (b"s", [key.selector]), (b"d", [key.domain]),
        (b"h", name_words(list(names.values()))), (b"b", [b""])])
    signature = key.private_key.sign("sha1", digest)
    return with_value(field, binascii.b2a_base64(signature, newline=False))
