# SPDX-License-Identifier: MIT
"""Verifies a DomainKey-Signature field: RFC 4870 sections 3.2 to 3.5."""

from . import address, tag_values
from .canonicalization import DOMAINKEYS_FIELD
from .signature_field import LONGEST_FIELD
from .verification import Refused, Verification, with_line_end


class DomainKeysVerification(Verification):
    """A DomainKey-Signature field; see Verification."""

    protocol = "domainkeys"
    required = (b"b", b"d", b"s")
    hash_name = "sha1"

    def read(self, now):
        """What needs no key.  now is not used: these signatures have no time."""
        self.below = self.header.fields[self.position + 1:]
        # The address first: it is shown even where the tags are no good.
        sender, fault = self.sending_address()
        domain = None if sender is None else tag_values.domain_name(sender[2])
        if domain:
            self.result.sender_field = sender[0].decode("ascii")
            self.result.sender_domain = domain.decode("ascii")
        tags = self.read_tags()
        if fault is not None:
            raise fault
        self.read_terms(tags)
        name, self.local_part, given_domain = sender
        if not tag_values.is_within(domain or given_domain, self.domain):
            raise Refused("neutral", "G", "d= is not the sending address's domain or above it")
        self.names = None
        if b"h" in tags:
            self.names = [word.lower() for word in tag_values.words(tags[b"h"])]
            if name not in self.names:
                raise Refused("neutral", "G", f"h= does not name {name.decode()}")

    def read_terms(self, tags):
        """a=, b=, c=, q=; libdomainkeys has defaults even for those that the RFC demands."""
        if tags.get(b"a", b"rsa-sha1").lower() != b"rsa-sha1":
            raise Refused("neutral", "G", "a= is not rsa-sha1")
        self.canonicalization = tags.get(b"c", b"simple").lower().decode("latin-1")
        if self.canonicalization not in DOMAINKEYS_FIELD:
            raise Refused("neutral", "G", "c= is not simple or nofws")
        if tags.get(b"q", b"dns").lower() != b"dns":
            raise Refused("neutral", "G", "q= is not dns")
        if not tag_values.is_base64(tags[b"b"]):
            raise Refused("neutral", "G", "b= is not base64")
        self.signature = tag_values.base64(tags[b"b"]) or b""   # wrong for any message

    def sending_address(self):
        """-> ((field name, local part, domain), None), or (None, a Refused).

        Section 3.1: the first address of Sender:, else of From:, where these
        are signed, thus below the signature.  A second From: or Sender: is
        refused wherever it is, for readers may show either.
        """
        for name in (b"from", b"sender"):
            if len(self.header.named(name)) > 1:
                return None, Refused("neutral", "G", f"there are two {name.decode()} fields")
        signed = {name: field for name, field in self.below if name in (b"from", b"sender")}
        if b"from" not in signed:
            return None, Refused("permerror", "C", "there is no From field below the signature")
        name = b"sender" if b"sender" in signed else b"from"
        mailbox = None
        if len(signed[name]) <= LONGEST_FIELD:
            mailbox = address.first_mailbox(signed[name].partition(b":")[2])
        if mailbox is None:
            return None, Refused("neutral", "G", f"there is no address in {name.decode()}")
        return (name,) + mailbox, None

    def body_terms(self):
        """-> (name of the body canonicalization, hash object, bytes to hash or None).

        The hash has the header already, in the order of the message (section
        3.4.2.1) and, if h= has another, in that, "in the order presented to the
        signing algorithm" (section 3.3): signers take either for the right one.
        """
        canonical = DOMAINKEYS_FIELD[self.canonicalization]
        orders = self.orders()
        self.of_message = orders[0]
        self.candidates = Hashes()
        for fields in orders:
            hashed = self.hashes["sha1"]()
            for field in fields:
                hashed.update(canonical(with_line_end(field)))
            self.candidates.append(hashed)
        return "domainkeys " + self.canonicalization, self.candidates, None

    def orders(self):
        """The fields that are covered, in one or two orders: list of lists."""
        if self.names is None:
            return [[field for _, field in self.below]]
        named = frozenset(self.names)
        of_message = [field for name, field in self.below if name in named]
        listed = listed_order(self.below, self.names)
        return [of_message] if listed == of_message else [of_message, listed]

    def covered(self):
        return self.of_message

    @property
    def hashed(self):
        """The hash object of the message's own order."""
        return self.candidates[0]

    def take_body_length(self, length):
        """Is told the length of the canonical body, which does not matter here."""

    def verify(self, record):
        """Verifies with one KeyRecord.  Raises Refused."""
        if record.revoked:
            raise Refused("permerror", "J", "the key is revoked")
        if record.key_type != b"rsa":
            raise Refused("permerror", "E", "bad key: k= is not rsa")
        # DKIM's tags do no harm here, but for a key that says: no SHA-1.
        if record.hashes is not None and b"sha1" not in record.hashes:
            raise Refused("permerror", "E", "bad key: h= excludes sha1")
        if not matches(self.local_part, record.granularity):
            raise Refused("permerror", "E", "bad key: g= is for another address")
        key = self.public_key(record)
        self.check_any(key)
        self.check_size(key)

    def check_any(self, key):
        """Verifies by one of the orders.  Raises Refused."""
        for hashed in self.candidates[1:]:
            try:
                return self.check_signature(key, hashed, self.signature)
            except Refused:
                continue
        return self.check_signature(key, self.hashed, self.signature)


class Hashes(list):
    """Hash objects that get the same from now on."""

    def update(self, data):
        for hashed in self:
            hashed.update(data)


def listed_order(fields, names):
    """The fields in the order of h= (names), lower case; list of bytes.

    From the end, a name stands for the lowest of its fields that is left, and its
    first mention for all of them (section 3.3: all occurrences are included).
    """
    left = {name: [] for name in names}
    for name, field in fields:
        if name in left:
            left[name].append(field)
    mentions = dict.fromkeys(left, 0)
    for name in names:
        mentions[name] += 1
    found = []
    for name in reversed(names):
        mentions[name] -= 1
        while left[name]:
            found.append(left[name].pop())
            if mentions[name]:
                break
    return found[::-1]


def matches(local_part, granularity):
    """Whether g= allows the local part (section 3.2.3): one * may stand for anything.

    Absent or empty, it allows all.
    """
    if not granularity:
        return True
    before, star, after = granularity.partition(b"*")
    if not star:
        return local_part == granularity
    return (len(local_part) >= len(before) + len(after)
            and local_part.startswith(before) and local_part.endswith(after))
