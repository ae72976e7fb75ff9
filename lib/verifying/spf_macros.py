# SPDX-License-Identifier: MIT
"""Parses and expands the macro strings of SPF records: RFC 7208 section 7."""

from ..mail import tag_values
from ..mail.address import LONGEST_DOMAIN

# Section 7.2: c, r and t are for the text of exp= only, which is never looked up here.
LETTERS = b"slodipvh"
ALL_LETTERS = LETTERS + b"crt"
DELIMITERS = b".-+,/_="
ESCAPES = {b"%": b"%", b"_": b" ", b"-": b"%20"}    # the character behind a percent sign
UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
COUNT_DIGITS = 3    # section 7.3: a count of parts may have to be 127, and more are all there are


class Malformed(Exception):
    """A part of a record is not in the grammar; the text (our own words) says how."""


class Macro:
    """A macro-expand in braces (section 7.1).

    letter: str, lower case; escaped: whether its value is escaped as in a URL
    count: how many parts on the right to keep, 0 for all; reverse: bool
    delimiters: bytes, b"." if the macro names none
    """

    __slots__ = ("letter", "escaped", "count", "reverse", "delimiters")

    def __init__(self, text, letters):
        """text: bytes between the braces; letters: those that may be used.  Raises Malformed."""
        letter = text[:1].lower()
        if not letter or letter not in letters:
            raise Malformed("an unknown macro")
        transformers = text[1:].lstrip(tag_values.DIGITS)
        digits = text[1:len(text) - len(transformers)]
        # Section 7.3: a count must not be zero.
        count = tag_values.number(digits.lstrip(b"0"), COUNT_DIGITS) if digits else 0
        self.reverse = transformers[:1].lower() == b"r"
        delimiters = transformers[1:] if self.reverse else transformers
        if count is None or delimiters.translate(None, DELIMITERS):
            raise Malformed("a malformed macro")
        self.letter = letter.decode()
        self.escaped = letter != text[:1]
        self.count = count
        self.delimiters = delimiters or b"."

    def expanded(self, value):
        """Returns a value (bytes) as the macro transforms it (section 7.3)."""
        first = self.delimiters[:1]
        same = bytes.maketrans(self.delimiters, first * len(self.delimiters))
        parts = value.translate(same).split(first)
        if self.reverse:
            parts.reverse()
        text = b".".join(parts[-self.count:])
        return escaped(text) if self.escaped else text


def parse(text, letters=LETTERS):
    """Returns a list of bytes and Macros for a macro-string (section 7.1); the last are bytes.

    The last are b"" if the string ends in a macro.  Raises Malformed.
    """
    parts = []
    at = 0
    while True:
        start = text.find(b"%", at)
        if start < 0:
            parts.append(text[at:])
            return parts
        parts.append(text[at:start])
        kind = text[start + 1:start + 2]
        at = start + 2
        if kind == b"{":
            end = text.find(b"}", at)
            if end < 0:
                raise Malformed("a macro without end")
            parts.append(Macro(text[at:end], letters))
            at = end + 1
        elif kind in ESCAPES:
            parts.append(ESCAPES[kind])
        else:
            raise Malformed("a percent sign without macro")


def expand(parts, value):
    """Returns the domain name (bytes, lower case) of parse()d parts, b"" if there is none.

    value: function that returns the value of a macro's letter, None if no name can have it
    Section 7.3: of more than 253 bytes, labels on the left are removed.  So this starts on
    the right, and stops when the rest would be removed.
    """
    pieces = []
    length = 0
    for part in reversed(parts):
        if isinstance(part, Macro):
            raw = value(part.letter)
            if raw is None:
                return b""
            part = part.expanded(raw)
        pieces.append(part)
        length += len(part)
        if length > LONGEST_DOMAIN + 1:     # a dot at the end does not count
            break
    pieces.reverse()
    name = b"".join(pieces).removesuffix(b".")
    if len(name) > LONGEST_DOMAIN:
        name = name[-LONGEST_DOMAIN - 1:].partition(b".")[2]
    return name.lower()


def escaped(text):
    """Returns bytes with all but unreserved characters as %XX (section 7.3, RFC 3986 2.1)."""
    return b"".join(bytes((byte,)) if byte in UNRESERVED else b"%%%02X" % byte for byte in text)
