# SPDX-License-Identifier: MIT
"""The values of tags: base64, numbers, lists, domains.  None: not in the grammar."""

import binascii

BLANKS = b" \t\r\n"
DIGITS = b"0123456789"
HEXADECIMAL = b"0123456789ABCDEFabcdef"     # RFC 5234: HEXDIG has no case
BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
NAME = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

LONGEST_NAME = 253      # bytes of a domain name, RFC 1035 section 2.3.4, as text
LONGEST_LABEL = 63


def without_blanks(value):
    """The value without blanks and folds, where they mean nothing (RFC 6376 section 2.10)."""
    return value.translate(None, BLANKS)


def words(value):
    """The parts of a list with colons, blanks around them removed."""
    return [word.strip(BLANKS) for word in value.split(b":")]


def is_base64(value):
    """Whether a value is in the grammar of base64string (RFC 6376 section 2.10).

    That leaves open whether it stands for bytes: its padding may be missing.
    """
    text = without_blanks(value)
    digits = text.rstrip(b"=")
    return bool(digits) and len(text) - len(digits) <= 2 and not digits.translate(None, BASE64)


def base64(value):
    """The bytes of a base64 value, or None.

    Only the one form that an encoder writes, for else a changed character could
    stand for the same bytes; but the padding may be missing (section 2.10).
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
    """The bytes of a DKIM-Quoted-Printable value (RFC 6376 section 2.11), or None."""
    first, *escapes = without_blanks(value).split(b"=")
    decoded = [first]
    for escape in escapes:
        if len(escape) < 2 or escape[:2].translate(None, HEXADECIMAL):
            return None
        decoded.append(bytes((int(escape[:2], 16),)) + escape[2:])
    return b"".join(decoded)


def number(value, most_digits):
    """The int that a value's digits make, or None; one of more digits than that is the largest.

    RFC 6376 section 3.5, x=: longer ones may be taken for infinite.
    """
    if not value or value.translate(None, DIGITS):
        return None
    return int(value) if len(value) <= most_digits else 10 ** most_digits


def domain_name(value, least_labels=2):
    """A domain or selector (least_labels=1) as asked of the DNS: lower case, or None.

    Underscores are allowed beyond RFC 6376 section 3.5, for they are in use.
    U-labels (RFC 8616 section 4) become A-labels.
    """
    if len(value) > 4 * LONGEST_NAME:
        return None
    if not value.isascii():
        value = a_labels(value)
        if value is None:
            return None
    labels = value.lower().split(b".")
    if (len(value) > LONGEST_NAME or len(labels) < least_labels
            or not all(0 < len(label) <= LONGEST_LABEL and not label.translate(None, NAME)
                       for label in labels)):
        return None
    return b".".join(labels)


def a_labels(value):
    """A domain with U-labels (UTF-8) in A-labels, or None.

    Python's IDNA is that of 2003, which makes other names, even somebody else's,
    of some (an eszett becomes ss).  What comes back unchanged is the same in
    both versions.
    """
    try:
        text = value.decode("utf-8").lower()
        labels = text.encode("idna")
        return labels if labels.decode("idna") == text else None
    except UnicodeError:
        return None


def is_within(domain, parent):
    """Whether a domain is the parent or below it; both in lower case."""
    return domain == parent or domain.endswith(b"." + parent)
