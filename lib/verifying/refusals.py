# SPDX-License-Identifier: MIT
"""The reasons to refuse a signature, each with its status (RFC 8601 section 2.7.1) and letter."""


class Refused(Exception):
    """A signature is not accepted.  Only Verification and its subclasses raise and catch it.

    status, letter: as in SignatureResult; reason: a short sentence (str)
    """

    status = letter = ""
    prefix = ""

    def __init__(self, reason):
        super().__init__(self.prefix + reason)
        self.reason = self.prefix + reason


class MalformedField(Refused):
    """The field is not in the grammar, or its tags contradict each other."""
    status, letter = "neutral", "G"


class MissingTag(Refused):
    """The field lacks a tag without which it is no signature."""
    status, letter = "neutral", "C"


class NoAuthor(Refused):
    """The message has no author's field that the signature could cover."""
    status, letter = "permerror", "C"


class WrongSignature(Refused):
    """The signature is for another message, by another key, or has expired."""
    status, letter = "fail", "B"


class NotAccepted(Refused):
    """The signature may be valid, but it covers too little or was made in an unacceptable way."""
    status, letter = "policy", "B"


class WeakKey(Refused):
    """The signature is valid, but its key is so short that others could make one.

    RFC 8301 section 3.2.
    """
    status, letter = "policy", "E"


class BadKey(Refused):
    """The record is no key record, or its key is not for this signature."""
    status, letter = "permerror", "E"
    prefix = "bad key: "


class NoKey(Refused):
    """The DNS has no key record for the signature."""
    status, letter = "permerror", "D"
    prefix = "no key: "


class RevokedKey(Refused):
    """The key is revoked: p= of its record is empty (RFC 6376 section 3.6.1)."""
    status, letter = "permerror", "J"

    def __init__(self):
        super().__init__("the key is revoked")


class UnknownKey(Refused):
    """The DNS does not answer now whether there is a key record."""
    status, letter = "temperror", "F"


class NoResources(Refused):
    """This host can't verify the signature."""
    status, letter = "temperror", "H"
