# SPDX-License-Identifier: MIT
"""Verifies a DKIM-Signature field: RFC 6376 section 6.1, RFC 8301, RFC 8463."""

from . import dkimpy, tag_values
from .canonicalization import FIELD
from .message import FIELD_NAME
from .verification import Refused, Verification, with_line_end

TIME_DIGITS = 12    # of t= and x=; longer ones are infinite
LENGTH_DIGITS = 76  # of l=
CLOCK_SKEW = 36000  # seconds that t= may lie ahead: some mailers' clocks run in local time

# a= -> (key type, hash); RFC 6376 section 3.3, RFC 8463 section 3.
ALGORITHMS = {
    b"rsa-sha1": (b"rsa", "sha1"),
    b"rsa-sha256": (b"rsa", "sha256"),
    b"ed25519-sha256": (b"ed25519", "sha256"),
}


class DkimVerification(Verification):
    """A DKIM-Signature field; see Verification."""

    protocol = "dkim"
    required = (b"v", b"a", b"b", b"bh", b"d", b"h", b"s")

    def read(self, now):
        """RFC 6376 section 6.1.1, what needs no key.  now: seconds since 1970."""
        tags = self.read_tags()
        self.now = now
        self.read_terms(tags)
        self.read_limits(tags)
        self.read_identity(tags)
        self.read_names(tags)
        dkimpy.check_signature_tags(tags)

    def read_terms(self, tags):
        """v=, a=, c=, q=, b=, bh=."""
        if tags[b"v"] != b"1":
            raise Refused("neutral", "G", "v= is not 1")
        if tags[b"a"] not in ALGORITHMS:
            raise Refused("neutral", "G", "a= is not a known algorithm")
        self.key_type, self.hash_name = ALGORITHMS[tags[b"a"]]
        self.canonicalizations = dkimpy.canonicalizations(tags.get(b"c", b"simple/simple"))
        if b"dns/txt" not in tag_values.words(tags.get(b"q", b"dns/txt")):
            raise Refused("neutral", "G", "q= has no known query method")
        if not tag_values.is_base64(tags[b"b"]) or not tag_values.is_base64(tags[b"bh"]):
            raise Refused("neutral", "G", "b= or bh= is not base64")
        # What an encoder would not have written is wrong for any message.
        self.signature = tag_values.base64(tags[b"b"]) or b""
        self.body_hash = tag_values.base64(tags[b"bh"]) or b""

    def read_limits(self, tags):
        """t=, x=, l=: ints or None."""
        self.time = self.read_number(tags, b"t", TIME_DIGITS)
        self.expire = self.read_number(tags, b"x", TIME_DIGITS)
        self.length = self.read_number(tags, b"l", LENGTH_DIGITS)
        if len(tags.get(b"l", b"")) > LENGTH_DIGITS:
            raise Refused("neutral", "G", "l= is not a number")
        if None not in (self.time, self.expire) and self.expire <= self.time:
            raise Refused("neutral", "G", "x= is not later than t=")

    def read_number(self, tags, name, most_digits):
        if name not in tags:
            return None
        number = tag_values.number(tags[name], most_digits)
        if number is None:
            raise Refused("neutral", "G", f"{name.decode()}= is not a number")
        return number

    def read_identity(self, tags):
        """i=: at d= or below it, both in A-labels (RFC 8616 section 4)."""
        identity = tag_values.quoted_printable(tags.get(b"i", b"@" + self.domain))
        _, at, domain = (identity or b"").rpartition(b"@")
        domain = tag_values.domain_name(domain)
        if not at or domain is None or not tag_values.is_within(domain, self.domain):
            raise Refused("neutral", "G", "i= is not at or below d=")
        self.identity_is_below = domain != self.domain

    def read_names(self, tags):
        """h=: names in lower case, From among them."""
        self.names = [name.lower() for name in tag_values.words(tags[b"h"])]
        if any(name.translate(None, FIELD_NAME) for name in self.names):
            raise Refused("neutral", "G", "h= is not a list of header field names")
        if b"from" not in self.names:
            raise Refused("neutral", "G", "h= does not name From")
        if not self.header.named(b"from"):
            raise Refused("permerror", "C", "the message has no From field")
        # The field itself was not there when h= was made (section 3.5, h=).
        others = (self.header.fields[:self.position] + self.header.fields[self.position + 1:])
        self.selected = select_fields(others, self.names)

    def body_terms(self):
        """-> (name of the body canonicalization, hash object, bytes to hash or None)."""
        self.hashed_body = self.hashes[self.hash_name]()
        return self.canonicalizations[1], self.hashed_body, self.length

    def take_body_length(self, length):
        """Is told the length of the canonical body, in bytes."""
        self.body_length = length

    def verify(self, record):
        """RFC 6376 sections 6.1.2, from step 5, and 6.1.3.  Raises Refused."""
        self.check_record(record)
        key = self.public_key(record)
        if self.expire is not None and self.expire < self.now:
            raise Refused("fail", "B", "the signature has expired")
        if self.length is not None and self.length > self.body_length:
            raise Refused("fail", "B", "the body is shorter than l=")
        if self.hashed_body.digest() != self.body_hash:
            raise Refused("fail", "B", "the body hash is wrong for this body")
        self.check_signature(key, self.header_hash(), self.signature)
        self.check_policy(key)

    def check_record(self, record):
        """Whether the key may be used for this signature.  Raises Refused."""
        if record.version not in (None, b"DKIM1"):
            raise Refused("permerror", "E", "bad key: v= is not DKIM1, or not its first tag")
        if record.revoked:
            raise Refused("permerror", "J", "the key is revoked")
        if record.key_type != self.key_type:
            raise Refused("permerror", "E", "bad key: k= is not that of the signature")
        if record.hashes is not None and self.hash_name.encode() not in record.hashes:
            raise Refused("permerror", "E", "bad key: h= excludes the signature's hash")
        if b"*" not in record.services and b"email" not in record.services:
            raise Refused("permerror", "E", "bad key: s= excludes mail")
        if b"s" in record.flags and self.identity_is_below:
            raise Refused("permerror", "E", "bad key: t=s, and i= is below d=")

    def header_hash(self):
        """The hash of RFC 6376 section 3.7.

        Canonicalization is ours: dkimpy also strips control characters at line
        ends, and takes every " b=" in the field for the tag.
        """
        canonical = FIELD[self.canonicalizations[0]]
        hashed = self.hashes[self.hash_name]()
        for _, field in self.selected:
            hashed.update(canonical(with_line_end(field)))
        hashed.update(canonical(without_signature(self.field))[:-2])
        return hashed

    def covered(self):
        return [field for _, field in self.selected]

    def check_policy(self, key):
        """What verifies but is not accepted.  Raises Refused."""
        if self.hash_name == "sha1":
            raise Refused("policy", "B", "rsa-sha1 is not accepted any more (RFC 8301)")
        self.check_size(key)
        if self.length is not None and self.length < self.body_length:
            raise Refused("policy", "B", "l= leaves the end of the body unsigned")
        # RFC 6376 section 8.15: readers may show the one that was added.
        if len(self.header.named(b"from")) > self.names.count(b"from"):
            raise Refused("policy", "B", "a From field is not signed")
        if self.time is not None and self.time > self.now + CLOCK_SKEW:
            raise Refused("policy", "B", "t= lies in the future")


def select_fields(fields, names):
    """The fields that h= names, in its order: list of (name, field).

    fields: of message.Header; names: lower case.  A name stands for the lowest
    field that it has not stood for yet, or for none (RFC 6376 section 5.4.2).
    dkimpy searches the header anew for each name.
    """
    left = {name: [] for name in names}
    for name, field in fields:
        if name in left:
            left[name].append((name, field))
    return [left[name].pop() for name in names if left[name]]


def without_signature(field):
    """The field with the value of b= removed, blanks around it included."""
    name, colon, value = field.partition(b":")
    tags = value[:-1].split(b";")
    for index, tag in enumerate(tags):
        tag_name, equals, _ = tag.partition(b"=")
        if tag_name.strip(tag_values.BLANKS) == b"b":
            tags[index] = tag_name + equals
    return name + colon + b";".join(tags) + b"\n"
