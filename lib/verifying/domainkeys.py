# SPDX-License-Identifier: MIT
"""Verifies a DomainKey-Signature field: RFC 4870 sections 3.2 to 3.5."""

from itertools import compress, groupby, islice

from ..mail import address, tag_values
from ..mail.canonicalization import DOMAINKEYS_FIELDS
from ..mail.message import in_parts
from ..mail.signature_field import LONGEST_FIELD
from .refusals import BadKey, MalformedField, NoAuthor, Refused, RevokedKey
from .signature import Verification, with_line_end


class DomainKeysVerification(Verification):
    """A DomainKey-Signature field; see Verification.

    The steps set these, for the steps behind them and for qmail-dk verify.
    read():
      canonicalization: c=, str; signature: b=, bytes
      local_part: of the sending address, bytes
      names: h= in lower case, list of bytes, None without h=
    body_terms(): candidates, Hashes: one for each of orders()
    """

    protocol = "domainkeys"
    required = (b"b", b"d", b"s")
    hash_name = "sha1"

    def read(self, now):
        """Checks the field without a key.  Raises Refused, Malformed.

        now: not used, because these signatures have no time
        """
        # The address comes first: the result shows it even if the tags are malformed.
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
            raise MalformedField("d= is not the sending address's domain or above it")
        self.names = None
        if b"h" in tags:
            self.names = [word.lower() for word in tag_values.words(tags[b"h"])]
            if name not in self.names:
                raise MalformedField(f"h= does not name {name.decode()}")

    def read_terms(self, tags):
        """Reads a=, b=, c=, q= (RFC 4870 section 3.3).  Raises MalformedField.

        Absent tags have defaults, as in libdomainkeys, even if the RFC demands them.
        """
        if tags.get(b"a", b"rsa-sha1").lower() != b"rsa-sha1":
            raise MalformedField("a= is not rsa-sha1")
        self.canonicalization = tags.get(b"c", b"simple").lower().decode("latin-1")
        if self.canonicalization not in DOMAINKEYS_FIELDS:
            raise MalformedField("c= is not simple or nofws")
        if tags.get(b"q", b"dns").lower() != b"dns":
            raise MalformedField("q= is not dns")
        if not tag_values.is_base64(tags[b"b"]):
            raise MalformedField("b= is not base64")
        self.signature = tag_values.base64(tags[b"b"]) or b""   # b"" is wrong for any message

    def sending_address(self):
        """Returns ((field name, local part, domain), None), or (None, a Refused).

        RFC 4870 section 3.1: the first address of Sender:, else of From:, if the field is
        signed, thus below the signature.  A second From: or Sender: anywhere is refused,
        because readers may show either.
        """
        for name in (b"from", b"sender"):
            if len(self.header.positions(name)) > 1:
                return None, MalformedField(f"there are two {name.decode()} fields")
        signed = {name: self.header.fields.texts[position] for name in (b"from", b"sender")
                  for position in self.header.positions(name) if position > self.position}
        if b"from" not in signed:
            return None, NoAuthor("there is no From field below the signature")
        name = b"sender" if b"sender" in signed else b"from"
        mailbox = None
        if len(signed[name]) <= LONGEST_FIELD:
            mailbox = address.first_mailbox(signed[name].partition(b":")[2])
        if mailbox is None:
            return None, MalformedField(f"there is no address in {name.decode()}")
        return (name,) + mailbox, None

    def body_terms(self):
        """Returns (name of the body canonicalization, Hashes, None: all of the body).

        The hashes contain the header already: one in the order of the message (RFC 4870
        section 3.4.2.1) and, if h= has another order, one "in the order presented to the
        signing algorithm" (section 3.3).  Signers use either.
        """
        canonical = DOMAINKEYS_FIELDS[self.canonicalization]
        self.candidates = Hashes()
        for fields in self.orders():
            hashed = self.hashes["sha1"]()
            for _, part in in_parts(fields):
                hashed.update(canonical(with_line_end(b"".join(part))))
            self.candidates.append(hashed)
        return "domainkeys " + self.canonicalization, self.candidates, None

    def orders(self):
        """Returns the covered fields in one or two orders, a list of bytes each.

        The first is the order of the message; none is kept, because ten signatures may
        cover 345,000 fields each.
        """
        fields, start = self.header.fields, self.position + 1
        if self.names is None:
            return [fields.texts[start:]]
        is_named = frozenset(self.names).__contains__

        def found():
            return filter(is_named, islice(fields.names, start, None))
        covered = list(compress(islice(fields.texts, start, None),
                                map(is_named, islice(fields.names, start, None))))
        if is_in_order(found(), self.names):
            return [covered]
        listed = listed_order(zip(found(), covered), self.names)
        return [covered] if listed == covered else [covered, listed]

    @property
    def hashed(self):
        """The hash object of the message's own order."""
        return self.candidates[0]

    def take_body_length(self, length):
        """Ignores the length of the canonical body: DomainKeys has no l=."""

    def verify(self, record):
        """Verifies with one KeyRecord (RFC 4870 section 3.2.3).  Raises Refused."""
        if record.revoked:
            raise RevokedKey()
        if record.key_type != b"rsa":
            raise BadKey("k= is not rsa")
        # DKIM's tags are ignored, unless the key excludes SHA-1.
        if record.hashes is not None and b"sha1" not in record.hashes:
            raise BadKey("h= excludes sha1")
        if not matches(self.local_part, record.granularity):
            raise BadKey("g= is for another address")
        key = self.public_key(record)
        self.check_any(key)
        self.check_size(key)

    def check_any(self, key):
        """Verifies with any of the orders of fields.  Raises Refused if none is valid."""
        for hashed in self.candidates[1:]:
            try:
                return self.check_signature(key, hashed, self.signature)
            except Refused:
                continue
        return self.check_signature(key, self.hashed, self.signature)


class Hashes(list):
    """Hash objects that get the same bytes from now on."""

    def update(self, data):
        for hashed in self:
            hashed.update(data)


def is_in_order(found, names):
    """Returns whether fields of the names found stand as listed_order() puts them.

    It is the usual case, and faster to see.  found: iterator; names: of h=, lower case
    """
    order = [name for name, _ in islice(groupby(found), len(names) + 1)]
    present = set(order)
    return (len(set(names)) == len(names)
            and order == [name for name in names if name in present])


def listed_order(fields, names):
    """Returns the fields in the order of h=: list of bytes.

    fields: (name, field) each, all of these names; names: of h=, lower case
    From the end, each mention of a name selects the lowest of its fields that is left;
    the first mention selects all that are left (RFC 4870 section 3.3: all occurrences
    are included).
    """
    of_name = {name: [] for name in names}
    for name, field in fields:
        of_name[name].append(field)
    mentions = dict.fromkeys(names, 0)      # name: its mentions that are still to come
    for name in names:
        mentions[name] += 1
    found = []
    mentioned = set()
    for name in names:
        mentions[name] -= 1
        end = max(len(of_name[name]) - mentions[name], 0)
        found += of_name[name][max(end - 1, 0) if name in mentioned else 0:end]
        mentioned.add(name)
    return found


def matches(local_part, granularity):
    """Returns whether g= allows the local part (RFC 4870 section 3.2.3); both bytes.

    One * in it matches any text.  An absent or empty g= allows all.
    """
    if not granularity:
        return True
    before, star, after = granularity.partition(b"*")
    if not star:
        return local_part == granularity
    return (len(local_part) >= len(before) + len(after)
            and local_part.startswith(before) and local_part.endswith(after))
