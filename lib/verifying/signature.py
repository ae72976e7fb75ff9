# SPDX-License-Identifier: MIT
"""The steps that verify a signature field of either protocol.

read() checks the field itself, find_keys() asks the DNS, then the body is hashed, and
conclude() sets the result.  A step that does not accept the signature raises Refused,
and the next steps are skipped.
"""

from .. import crypto
from ..errors import CryptoTrouble
from ..mail import tag_values
from ..mail.address import LONGEST_DOMAIN
from ..mail.signature_field import LONGEST_FIELD
from . import dkimpy, key_record
from .dkimpy import Malformed
from .refusals import (
    BadKey, MalformedField, MissingTag, NoKey, NoResources, NotAccepted, Refused, UnknownKey,
    WeakKey, WrongSignature,
)
from .results import SignatureResult, foremost

ALGORITHM = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"
PRINTABLE = bytes(range(0x21, 0x7f))
LONGEST_SHOWN = 320     # bytes; no mail address is longer
START = 8       # characters of b= that distinguish signatures, RFC 6008

# y of the points of order 1, 2, 4 and 8 on Ed25519's curve, in each form that decoders accept.
# With such a key, anybody can make a signature that is valid for any message.
FIELD_PRIME = 2 ** 255 - 19
SMALL_ORDER = (0, 1, FIELD_PRIME - 1, FIELD_PRIME, FIELD_PRIME + 1,
               0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826,
               0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7)


class Verification:
    """The verification of one signature field; base class of the protocols.

    header: message.Header; position: index of the field in header.fields
    terms: report.Terms; hashes: {"sha1": constructor, "sha256": constructor}
    result: SignatureResult; settled: whether it is final
    answer: answer.Answer to the look-up of the key, None before that
    records: list of the key_record.KeyRecords in it
    """

    protocol = ""
    required: "tuple[bytes, ...]" = ()      # tags without which it is no signature

    def __init__(self, header, position, terms, hashes):
        self.header = header
        self.position = position
        self.terms = terms
        self.hashes = hashes
        self.field = with_line_end(header.fields[position][1])
        self.result = SignatureResult(self.protocol)
        self.settled = False
        self.domain = self.selector = b""
        self.answer = None
        self.records = []

    def attempt(self, step, *arguments):
        """Calls step(*arguments), unless the result is final; settles it if the step fails."""
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
        """Returns the tags of the field, and copies those that can be shown to the result.

        Raises Refused, Malformed.
        """
        if len(self.field) > LONGEST_FIELD:
            raise MalformedField(f"the field is longer than {LONGEST_FIELD} bytes")
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
                raise MissingTag(f"the signature has no {name.decode()}=")
        if self.domain is None:
            raise MalformedField("d= is not a domain")
        if self.selector is None or len(self.key_name()) > LONGEST_DOMAIN:
            raise MalformedField("s= is not a selector")
        return tags

    def key_name(self):
        """Returns the domain name (bytes) of the key record.

        RFC 6376 section 3.6.2.1, RFC 4870 section 3.2.2.
        """
        return self.selector + b"._domainkey." + self.domain

    def find_keys(self, lookup):
        """Looks up the key records.  lookup: as in examination.examine().  Raises Refused."""
        answer = self.answer = lookup(self.key_name())
        if answer.status == "temporary":
            raise UnknownKey(f"the key can't be had now: {answer.reason}")
        if answer.status == "none":
            raise NoKey(answer.reason)
        try:
            self.records = key_record.parse_all(answer.values)
        except Malformed as malformed:
            raise BadKey(str(malformed)) from malformed

    @property
    def hashed(self):
        """The hash object whose digest is signed."""
        raise NotImplementedError

    def conclude(self):
        """Settles the result: the best one of the key records (RFC 6376 section 6.1.2 step 4)."""
        trials = [self.trial(record) for record in self.records]
        best = foremost([trial for trial in trials if trial.counts()] or trials)
        self.result.test_mode = best.test_mode
        self.settle(best.status, best.letter, best.reason)

    def trial(self, record):
        """Returns the SignatureResult by one key record alone."""
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
        """Raises Refused if some readers find other fields than we do, or an earlier body.

        It does so even if the signature covers these lines, because they need not be as
        they were signed: relaxed and nofws ignore a blank before the colon (RFC 6376
        section 3.4.2, RFC 4870 section 3.4.2.2), nofws ignores a CR, and DKIM does not
        sign the position of a field.
        """
        if self.header.is_disputed():
            raise NotAccepted("some readers end the header elsewhere, or find other "
                          "fields in it")

    def public_key(self, record):
        """Returns the key of a KeyRecord, for check_signature().  Raises Refused.

        It is the 32 bytes of an Ed25519 key, or an RSA key of dkimpy.rsa_public_key().
        """
        try:
            return (dkimpy.rsa_public_key(record.public_key) if record.key_type == b"rsa"
                    else ed25519_public_key(record.public_key))
        except Malformed as malformed:
            raise BadKey(str(malformed)) from malformed

    def check_signature(self, key, hashed, signature):
        """Raises Refused unless a signature (bytes) is valid.

        key: of public_key(); hashed: hash object
        """
        if isinstance(key, bytes):
            try:
                good = crypto.ed25519_verifies(hashed.digest(), signature, key)
            except CryptoTrouble as trouble:
                raise NoResources(f"it can't be verified here: {trouble}") from trouble
        else:
            good = dkimpy.rsa_verifies(hashed, signature, key)
        if not good:
            raise WrongSignature("the signature is wrong for this message")

    def check_size(self, key):
        """Raises Refused for an RSA key that is too short: RFC 8301 section 3.2, or DKRSAMIN."""
        if not isinstance(key, bytes) and dkimpy.rsa_bits(key) < self.terms.least_rsa_bits:
            raise WeakKey(f"the key has only {dkimpy.rsa_bits(key)} bits")


def ed25519_public_key(data):
    """Returns p= of an Ed25519 key if it is usable (RFC 8463 section 4.2).  Raises Malformed."""
    if len(data) != 32:
        raise Malformed("p= is not an Ed25519 key")
    if int.from_bytes(data, "little") % 2 ** 255 in SMALL_ORDER:    # without the sign bit of x
        raise Malformed("the Ed25519 key is a point of small order")
    return data


def with_line_end(field):
    """Returns the field with a final LF, which it lacks if the message ends within it."""
    return field if field.endswith(b"\n") else field + b"\n"


def shown(value, allowed):
    """Returns the value as str if it has only allowed bytes, LONGEST_SHOWN at most, else ""."""
    value = tag_values.without_blanks(value)
    if len(value) > LONGEST_SHOWN or value.translate(None, allowed):
        return ""
    return value.decode("ascii")
