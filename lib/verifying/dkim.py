# SPDX-License-Identifier: MIT
"""Verifies a DKIM-Signature field: RFC 6376 section 6.1, RFC 8301, RFC 8463."""

from ..mail import tag_values
from ..mail.canonicalization import FIELD
from ..mail.message import FIELD_NAME
from . import dkimpy
from .refusals import BadKey, MalformedField, NoAuthor, NotAccepted, RevokedKey, WrongSignature
from .signature import Verification, with_line_end

TIME_DIGITS = 12    # of t= and x=; RFC 6376 section 3.5, t=: longer values may count as infinite
LENGTH_DIGITS = 76  # of l=; RFC 6376 section 3.5, l=
CLOCK_SKEW = 36000  # seconds that t= may lie ahead, since some mailers' clocks run in local time

# a= -> (key type, hash); RFC 6376 section 3.3, RFC 8463 section 3.
ALGORITHMS = {
    b"rsa-sha1": (b"rsa", "sha1"),
    b"rsa-sha256": (b"rsa", "sha256"),
    b"ed25519-sha256": (b"ed25519", "sha256"),
}


class DkimVerification(Verification):
    """A DKIM-Signature field; see Verification.

    The steps set these, for the steps behind them and for qmail-dk verify.
    read():
      now: seconds since 1970; key_type, hash_name: by a=
      canonicalizations: (header, body), c=, str
      signature, body_hash: b= and bh=, bytes
      time, expire, length: t=, x= and l=, int or None
      identity_is_below: whether the domain of i= is below d=
      names: h= in lower case, list of bytes; selected: of select_fields()
    body_terms(): hashed_body, hash object; take_body_length(): body_length, in bytes
    """

    protocol = "dkim"
    required = (b"v", b"a", b"b", b"bh", b"d", b"h", b"s")

    def read(self, now):
        """Checks the tags, without a key (RFC 6376 section 6.1.1).  Raises Refused, Malformed.

        now: int, seconds since 1970
        """
        tags = self.read_tags()
        self.now = now
        self.read_terms(tags)
        self.read_limits(tags)
        self.read_identity(tags)
        self.read_names(tags)
        dkimpy.check_signature_tags(tags)

    def read_terms(self, tags):
        """Reads v=, a=, c=, q=, b=, bh= (RFC 6376 section 3.5).  Raises MalformedField."""
        if tags[b"v"] != b"1":
            raise MalformedField("v= is not 1")
        if tags[b"a"] not in ALGORITHMS:
            raise MalformedField("a= is not a known algorithm")
        self.key_type, self.hash_name = ALGORITHMS[tags[b"a"]]
        self.canonicalizations = dkimpy.canonicalizations(tags.get(b"c", b"simple/simple"))
        # Section 3.5, q=: unknown methods in the list are ignored.
        if b"dns/txt" not in tag_values.words(tags.get(b"q", b"dns/txt")):
            raise MalformedField("q= has no known query method")
        if not tag_values.is_base64(tags[b"b"]) or not tag_values.is_base64(tags[b"bh"]):
            raise MalformedField("b= or bh= is not base64")
        # Base64 that no encoder writes becomes b"", which is wrong for any message.
        self.signature = tag_values.base64(tags[b"b"]) or b""
        self.body_hash = tag_values.base64(tags[b"bh"]) or b""

    def read_limits(self, tags):
        """Reads t=, x=, l=: ints, or None if absent.  Raises MalformedField."""
        self.time = self.read_number(tags, b"t", TIME_DIGITS)
        self.expire = self.read_number(tags, b"x", TIME_DIGITS)
        self.length = self.read_number(tags, b"l", LENGTH_DIGITS)
        if len(tags.get(b"l", b"")) > LENGTH_DIGITS:
            raise MalformedField("l= is not a number")
        if None not in (self.time, self.expire) and self.expire <= self.time:   # section 3.5, x=
            raise MalformedField("x= is not later than t=")

    def read_number(self, tags, name, most_digits):
        if name not in tags:
            return None
        number = tag_values.number(tags[name], most_digits)
        if number is None:
            raise MalformedField(f"{name.decode()}= is not a number")
        return number

    def read_identity(self, tags):
        """Reads i=, whose domain must be d= or below it (RFC 6376 section 6.1.1).

        Both are compared as A-labels (RFC 8616 section 4).  Raises MalformedField.
        """
        identity = tag_values.quoted_printable(tags.get(b"i", b"@" + self.domain))
        _, at, domain = (identity or b"").rpartition(b"@")
        domain = tag_values.domain_name(domain)
        if not at or domain is None or not tag_values.is_within(domain, self.domain):
            raise MalformedField("i= is not at or below d=")
        self.identity_is_below = domain != self.domain

    def read_names(self, tags):
        """Reads h=, names in lower case, which must include From (RFC 6376 section 6.1.1).

        Raises MalformedField, NoAuthor.
        """
        self.names = [name.lower() for name in tag_values.words(tags[b"h"])]
        if any(name.translate(None, FIELD_NAME) for name in self.names):
            raise MalformedField("h= is not a list of header field names")
        if b"from" not in self.names:
            raise MalformedField("h= does not name From")
        if not self.header.positions(b"from"):
            raise NoAuthor("the message has no From field")
        # The field itself was not in the header when h= was written (section 3.5, h=).
        self.selected = select_fields(self.header.fields, self.names, self.position)

    def body_terms(self):
        """Returns (name of the body canonicalization, hash object, bytes to hash; None: all)."""
        self.hashed_body = self.hashes[self.hash_name]()
        return self.canonicalizations[1], self.hashed_body, self.length

    def take_body_length(self, length):
        """Takes the length of the canonical body in bytes, once it is hashed."""
        self.body_length = length

    def verify(self, record):
        """Verifies with one KeyRecord: RFC 6376 sections 6.1.2, from step 5, and 6.1.3.

        Raises Refused.
        """
        self.check_record(record)
        key = self.public_key(record)
        if self.expire is not None and self.expire < self.now:      # section 3.5, x=
            raise WrongSignature("the signature has expired")
        if self.length is not None and self.length > self.body_length:      # section 3.5, l=
            raise WrongSignature("the body is shorter than l=")
        if not self.body_is_as_signed():
            raise WrongSignature("the body hash is wrong for this body")
        self.check_signature(key, self.hashed, self.signature)
        self.check_policy(key)

    def check_record(self, record):
        """Raises Refused unless a KeyRecord allows its key for this signature.

        RFC 6376 sections 3.6.1, tag by tag, and 6.1.2.
        """
        # Section 3.6.1, v=; section 6.1.2 step 5.  It must be the first tag, but DKIM1 means the
        # same anywhere, and other verifiers accept it (doc/interoperability).
        if record.version not in (None, b"DKIM1"):
            raise BadKey("v= is not DKIM1")
        if record.revoked:                      # section 6.1.2 step 7: p= is empty
            raise RevokedKey()
        if record.key_type != self.key_type:    # section 6.1.2 step 8, RFC 8463 section 4.2
            raise BadKey("k= is not that of the signature")
        # Section 6.1.2 step 6.
        if record.hashes is not None and self.hash_name.encode() not in record.hashes:
            raise BadKey("h= excludes the signature's hash")
        # Section 3.6.1, s=: "email" is the only service type; a key for others is ignored.
        if b"*" not in record.services and b"email" not in record.services:
            raise BadKey("s= excludes mail")
        # Section 3.6.1, t=s: the domain of i= must equal d=.
        if b"s" in record.flags and self.identity_is_below:
            raise BadKey("t=s, and i= is below d=")

    def body_is_as_signed(self):
        """Returns whether the hash of the canonical body is the one in bh=."""
        return self.hashed_body.digest() == self.body_hash

    @property
    def hashed(self):
        """The hash object over the header, new at each access (RFC 6376 section 3.7)."""
        hashed = self.hashes[self.hash_name]()
        for part in self.canonical_header():
            hashed.update(part)
        return hashed

    def canonical_header(self):
        """Yields the bytes to hash, field by field.

        We canonicalize ourselves, because dkimpy also strips control characters at line
        ends, and takes every " b=" in the field for the tag.
        """
        canonical = FIELD[self.canonicalizations[0]]
        for _, field in self.selected:
            yield canonical(with_line_end(field))
        yield canonical(without_signature(self.field))[:-2]

    def check_policy(self, key):
        """Raises Refused if a signature verifies but is not acceptable.  key: of public_key()"""
        if self.hash_name == "sha1":        # RFC 8301 section 3.1
            raise NotAccepted("rsa-sha1 is not accepted any more (RFC 8301)")
        self.check_size(key)
        # RFC 6376 section 8.2: anybody could have added the unsigned end.
        if self.length is not None and self.length < self.body_length:
            raise NotAccepted("l= leaves the end of the body unsigned")
        # RFC 6376 section 8.15: readers may show the field that was added.
        if len(self.header.positions(b"from")) > self.names.count(b"from"):
            raise NotAccepted("a From field is not signed")
        if self.time is not None and self.time > self.now + CLOCK_SKEW:     # section 3.5, t=
            raise NotAccepted("t= lies in the future")


def select_fields(fields, names, own):
    """Returns the fields that h= names, in its order: list of (name, field).

    fields: message.Fields; names: lower case; own: index of the signature itself
    Each mention of a name selects the lowest field that is not yet selected, or none
    (RFC 6376 section 5.4.2).  One pass is enough; dkimpy searches again for each name.
    """
    left = {name: [] for name in names}
    for index, name in enumerate(fields.names):
        if name in left and index != own:
            left[name].append(fields.texts[index])
    return [(name, left[name].pop()) for name in names if left[name]]


def without_signature(field):
    """Returns the field without the value of b= and the blanks around it.

    RFC 6376 section 3.5, b=.
    """
    name, colon, value = field.partition(b":")
    tags = value[:-1].split(b";")
    for index, tag in enumerate(tags):
        tag_name, equals, _ = tag.partition(b"=")
        if tag_name.strip(tag_values.BLANKS) == b"b":
            tags[index] = tag_name + equals
    return name + colon + b";".join(tags) + b"\n"
