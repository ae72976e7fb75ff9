# SPDX-License-Identifier: MIT
"""Reads the values of tags: base64, numbers, lists, domains.

Values are bytes.  A function returns None for a value that is not in the grammar.
"""

import binascii

from .address import LONGEST_DOMAIN, are_labels

BLANKS = b" \t\r\n"
DIGITS = b"0123456789"
HEXADECIMAL = b"0123456789ABCDEFabcdef"     # RFC 5234 section 2.3: "A" matches "a" too
BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def without_blanks(value):
    """Returns the value without blanks and folds, for types that ignore them.

    RFC 6376 sections 2.10 and 2.11.
    """
    return value.translate(None, BLANKS)


def words(value):
    """Returns the parts of a list that colons separate, without blanks around them."""
    return [word.strip(BLANKS) for word in value.split(b":")]


def is_base64(value):
    """Returns whether a value is in the grammar of base64string (RFC 6376 section 2.10).

    Such a value need not decode to bytes; its padding may be missing.
    """
    text = without_blanks(value)
    digits = text.rstrip(b"=")
    return bool(digits) and len(text) - len(digits) <= 2 and not digits.translate(None, BASE64)


def base64(value):
    """Returns the bytes of a base64 value, or None.

    Accepts only the form that an encoder writes, because otherwise a changed character
    could decode to the same bytes; but padding may be missing (RFC 6376 section 2.10).
    """
    text = without_blanks(value)
    digits = text.rstrip(b"=")
    try:
        data = binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))
    except binascii.Error:
        return None
    encoded = binascii.b2a_base64(data, newline=False)
    return data if text in (encoded, encoded.rstrip(b"=")) else None


def quoted_printable(value):
    """Returns the bytes of a DKIM-Quoted-Printable value (RFC 6376 section 2.11), or None."""
    first, *escapes = without_blanks(value).split(b"=")
    decoded = [first]
    for escape in escapes:
        if len(escape) < 2 or escape[:2].translate(None, HEXADECIMAL):
            return None
        decoded.append(bytes((int(escape[:2], 16),)) + escape[2:])
    return b"".join(decoded)


def number(value, most_digits):
    """Returns the int of a value's digits, or None.

    Returns 10 ** most_digits for a value of more digits, which may count as infinite
    (RFC 6376 section 3.5, t=).
    """
    if not value or value.translate(None, DIGITS):
        return None
    return int(value) if len(value) <= most_digits else 10 ** most_digits


def domain_name(value, least_labels=2):
    """Returns a domain, or a selector (least_labels=1), as the DNS is asked for it, or None.

    It is in lower case; U-labels (RFC 8616 section 4) become A-labels.
    """
    if len(value) > 4 * LONGEST_DOMAIN:
        return None
    if not value.isascii():
        value = a_labels(value)
        if value is None:
            return None
    return value.lower() if are_labels(value, least=least_labels) else None


def a_labels(value):
    """Returns a domain with U-labels (UTF-8) as A-labels, or None.

    Python implements IDNA 2003, which turns some names into other names that may have
    other owners (an eszett becomes ss).  A name that decodes back unchanged is the
    same in IDNA 2003 and 2008.
    """
    try:
        text = value.decode("utf-8").lower()
        labels = text.encode("idna")
        return labels if labels.decode("idna") == text else None
    except UnicodeError:
        return None


def is_within(domain, parent):
    """Returns whether a domain equals the parent or is below it; both in lower case."""
    return domain == parent or domain.endswith(b"." + parent)
