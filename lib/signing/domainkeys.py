# SPDX-License-Identifier: MIT
"""Writes DomainKey-Signature fields: RFC 4870, rsa-sha1, c=nofws, with h=."""

import binascii

from ..mail.canonicalization import nofws_fields
from ..mail.message import Fields, in_parts
from ..mail.signature_field import can_be_listed, folded, name_words, with_value

# Not signed: fields that are added, changed or removed in transit.  Postfix
# (message_drop_headers), Sendmail, dma and nullmailer remove those of the second line, Exim
# those of the third.
LEFT_OUT = (b"received", b"return-path", b"dkim-signature", b"authentication-results",
            b"bcc", b"resent-bcc", b"content-length",
            b"envelope-to", b"delivery-date")
LEFT_OUT_PREFIXES = (b"domainkey-", b"x-spam-")

LONGEST_LIST = 1000     # bytes of h=; libdomainkeys, which qmail-dk uses, accepts up to 1021


def fields_to_sign(fields):
    """Returns the message.Fields that the signature covers.

    fields: of message.Header.  Covers all fields of a name or none (RFC 4870 section
    3.3), and no name that a tag list can't hold.  Omits private fields (X-) if h=
    would be too long with them.
    """
    covered = remaining(fields, LEFT_OUT_PREFIXES)
    if list_length(covered) > LONGEST_LIST:
        covered = remaining(covered, b"x-")
    return covered


def remaining(fields, prefixes):
    """Returns the message.Fields that are not left out, nor have a name with one of prefixes."""
    found = Fields([], [])
    for name, field in fields:
        if name not in LEFT_OUT and not name.startswith(prefixes) and can_be_listed(name):
            found.names.append(name)
            found.texts.append(field)
    return found


def list_length(covered):
    """Returns the length of the names in bytes, with the colons between them."""
    return sum(len(name) + 1 for name in covered.names) - 1


def hash_header(update, covered):
    """Passes the canonical form of the covered fields to update, a function of bytes."""
    for _, part in in_parts(covered):
        update(nofws_fields(b"".join(part.texts)))


def signature_field(key, covered, digest):
    """Returns a DomainKey-Signature field (RFC 4870 section 3.3), bytes with LF line ends.

    key: key_files.SigningKey with an RSA key
    covered: as fields_to_sign() returns it.  h= lists a name once for each field: if
    listed once, some verifiers take all fields of the name at that place, others
    each at its own
    digest: SHA-1 of the canonical header and body, bytes
    Returns b"" if h= would be too long.  Raises CryptoTrouble.
    """
    if list_length(covered) > LONGEST_LIST:
        return b""
    names = [field[:len(name)] for name, field in covered]      # as the message writes them
    field = folded(b"DomainKey-Signature", [
        (b"a", [b"rsa-sha1"]), (b"q", [b"dns"]), (b"c", [b"nofws"]),
        (b"s", [key.selector]), (b"d", [key.domain]),
        (b"h", name_words(names)), (b"b", [b""])])
    signature = key.sign("sha1", digest)
    return with_value(field, binascii.b2a_base64(signature, newline=False))
