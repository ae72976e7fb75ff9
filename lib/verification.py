# SPDX-License-Identifier: MIT
"""The steps that a signature field goes through, whichever its protocol.

read() is for what the field says itself, find_keys() asks the DNS, then the
body is hashed, and conclude() gives the result.  A step that finds the
signature no good raises Refused, and the next steps are left out.
"""

from . import crypto, dkimpy, key_record, tag_values
from .dkimpy import Malformed
from .errors import CryptoTrouble
from .results import SignatureResult, foremost
from .signature_field import LONGEST_FIELD

ALGORITHM = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"
PRINTABLE = bytes(range(0x21, 0x7f))
LONGEST_SHOWN = 320     # bytes: a mail address has no more
START = 8       # characters of b= that tell signatures apart, RFC 6008

# y of the points of order 1, 2, 4 and 8 on Ed25519's curve, in each form that
# is decoded: with such a key anybody's signature is right for any message.
FIELD_PRIME = 2 ** 255 - 19
SMALL_ORDER = (0, 1, FIELD_PRIME - 1, FIELD_PRIME, FIELD_PRIME + 1,
               0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826,
               0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7)


class Refused(Exception):
    """A signature is no good.  Does not leave Verification.

    status, letter, reason: as in SignatureResult
    """

    def __init__(self, status, letter, reason):
        super().__init__(reason)
        self.status = status
        self.letter = letter
        self.reason = reason


class Verification:
    """One signature field on its way to a result.

    header: message.Header; position: of the field in header.fields
    limits: inbound.Limits; hashes: {"sha1": constructor, "sha256": constructor}
    result: SignatureResult; settled: whether it stands
    """

    protocol = ""
    required = ()       # tags without which it is no signature

    def __init__(self, header, position, limits, hashes):
        self.header = header
        self.position = position
        self.limits = limits
        self.hashes = hashes
        self.field = with_line_end(header.fields[position][1])
        self.result = SignatureResult(self.protocol)
        self.settled = False
        self.domain = self.selector = b""
        self.records = []

    def attempt(self, step, *arguments):
        """Takes a step, unless the result stands already."""
        if self.settled:
            return
        try:
            step(*arguments)
        except Refused as refused:
            self.settle(refused.status, refused.letter, refused.reason)
        except Malformed as malformed:
            self.settle("neutral", "G", str(malformed))

    def settle(self, status, letter, reason):
        self.result.status = status
        self.result.letter = letter
        self.result.reason = reason
        self.settled = True

    def read_tags(self):
        """The tags of the field; those that can be shown go into the result.

        Raises Refused, Malformed.
        """
        if len(self.field) > LONGEST_FIELD:
            raise Refused("neutral", "G", f"the field is longer than {LONGEST_FIELD} bytes")
        tags = dkimpy.tag_list(self.field.partition(b":")[2])
        self.domain = tag_values.domain_name(tags.get(b"d", b""))
        self.selector = tag_values.domain_name(tags.get(b"s", b""), 1)
        self.result.domain = (self.domain or b"").decode()
        self.result.selector = (self.selector or b"").decode()
        self.result.algorithm = shown(tags.get(b"a", b""), ALGORITHM)
        start = tag_values.without_blanks(tags.get(b"b", b""))[:START]
        self.result.signature_start = shown(start, PRINTABLE)
        for name in self.required:
            if name not in tags:
                raise Refused("neutral", "C", f"the signature has no {name.decode()}=")
        if self.domain is None:
            raise Refused("neutral", "G", "d= is not a domain")
        if self.selector is None or len(self.key_name()) > tag_values.LONGEST_NAME:
            raise Refused("neutral", "G", "s= is not a selector")
        return tags

    def key_name(self):
        """Where the key is (RFC 6376 section 3.6.2.1, RFC 4870 section 3.2.2)."""
        return self.selector + b"._domainkey." + self.domain

    def find_keys(self, lookup):
        """Gets the key records.  lookup: as in inbound.examine().  Raises Refused."""
        answer = lookup(self.key_name())
        if answer.status == "temporary":
            raise Refused("temperror", "F", f"the key can't be had now: {answer.reason}")
        if answer.status == "none":
            raise Refused("permerror", "D", f"no key: {answer.reason}")
        try:
            self.records = key_record.parse_all(answer.texts)
        except Malformed as malformed:
            raise Refused("permerror", "E", f"bad key: {malformed}") from malformed

    def conclude(self):
        """Settles the result by the best that the key records give."""
        trials = [self.trial(record) for record in self.records]
        best = foremost([trial for trial in trials if trial.counts()] or trials)
        self.result.test_mode = best.test_mode
        self.settle(best.status, best.letter, best.reason)

    def trial(self, record):
        """SignatureResult by one key record alone."""
        outcome = SignatureResult(self.protocol, "pass", "A")
        outcome.test_mode = record.test_mode
        try:
            self.verify(record)
            self.check_readers()
        except Refused as refused:
            outcome.status, outcome.letter = refused.status, refused.letter
            outcome.reason = refused.reason
        return outcome

    def verify(self, record):
        """Verifies with one KeyRecord.  Raises Refused."""
        raise NotImplementedError

    def check_readers(self):
        """Raises Refused where some readers may show what is not signed as a field or the body."""
        first = self.header.disputed()
        below = self.header.fields[first:]
        if not below:
            return
        covered = frozenset(self.covered())
        if any(field not in covered for index, (_, field) in enumerate(below, first)
               if index != self.position):
            raise Refused("policy", "B", "some readers end the header, or find other fields, where "
                          "it is not signed")

    def covered(self):
        """The header fields that are signed; list of bytes."""
        raise NotImplementedError

    def public_key(self, record):
        """What check_signature() takes, of a KeyRecord.  Raises Refused."""
        try:
            return (dkimpy.rsa_public_key(record.public_key) if record.key_type == b"rsa"
                    else ed25519_public_key(record.public_key))
        except Malformed as malformed:
            raise Refused("permerror", "E", f"bad key: {malformed}") from malformed

    def check_signature(self, key, hashed, signature):
        """Verifies a signature (bytes).  hashed: hash object.  Raises Refused."""
        if isinstance(key, bytes):
            try:
                good = crypto.ed25519_verifies(hashed.digest(), signature, key)
            except CryptoTrouble as trouble:
                raise Refused("temperror", "H", f"it can't be verified here: {trouble}"
                              ) from trouble
        else:
            good = dkimpy.rsa_verifies(hashed, signature, key)
        if not good:
            raise Refused("fail", "B", "the signature is wrong for this message")

    def check_size(self, key):
        """Policy on RSA keys: RFC 8301 section 3.2, unless a setting loosens it."""
        if not isinstance(key, bytes) and dkimpy.rsa_bits(key) < self.limits.least_rsa_bits:
            raise Refused("policy", "E", f"the key has only {dkimpy.rsa_bits(key)} bits")


def ed25519_public_key(data):
    """p= of an Ed25519 key, checked (RFC 8463 section 4.2).  Raises Malformed."""
    if len(data) != 32:
        raise Malformed("p= is not an Ed25519 key")
    if int.from_bytes(data, "little") % 2 ** 255 in SMALL_ORDER:    # but for the sign of x
        raise Malformed("the Ed25519 key is a point of small order")
    return data


def with_line_end(field):
    """The field; the message may end within it."""
    return field if field.endswith(b"\n") else field + b"\n"


def shown(value, allowed):
    """The value as str if it has only allowed bytes, and not too many, else ""."""
    value = tag_values.without_blanks(value)
    if len(value) > LONGEST_SHOWN or value.translate(None, allowed):
        return ""
    return value.decode("ascii")
