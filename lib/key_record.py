# SPDX-License-Identifier: MIT
"""Key records: RFC 6376 section 3.6.1, RFC 4870 section 3.2.3.

One name has the records of both, so tags that only one of them knows are kept
here, and each protocol asks for its own.
"""

from . import dkimpy, tag_values
from .dkimpy import Malformed

MOST_RECORDS = 3        # at one name, that are tried


class KeyRecord:
    """A key record.

    version: v= or b"", b"" also where it is not the first tag as it must be
    key_type: k=; public_key: p= decoded, b"" if the key is revoked
    hashes: h= as a list, None if absent; services: s= as a list
    flags: t= as a list; granularity: g=, None if absent
    """

    __slots__ = ("version", "key_type", "public_key", "hashes", "services", "flags",
                 "granularity")

    @property
    def revoked(self):
        return not self.public_key

    @property
    def test_mode(self):
        return b"y" in self.flags


def parse(text):
    """KeyRecord from the text of a TXT record (bytes).  Raises Malformed."""
    tags = dkimpy.tag_list(text)
    if b"p" not in tags:
        raise Malformed("the record has no p=")
    record = KeyRecord()
    record.version = tags.get(b"v")
    if record.version is not None and next(iter(tags)) != b"v":
        record.version = b""
    record.key_type = tags.get(b"k", b"rsa")
    record.public_key = tag_values.base64(tags[b"p"])
    if record.public_key is None:
        raise Malformed("p= is not base64")
    record.hashes = tag_values.words(tags[b"h"]) if b"h" in tags else None
    record.services = tag_values.words(tags.get(b"s", b"*"))
    record.flags = tag_values.words(tags.get(b"t", b""))
    record.granularity = tags.get(b"g")
    return record


def parse_all(texts):
    """The KeyRecords among the TXT records of a name, MOST_RECORDS at most.

    What else may be there (a wildcard's SPF record) is passed over.  Raises
    Malformed if none of them is one, as the first of them does.
    """
    records = []
    first = None
    for text in texts:
        try:
            records.append(parse(text))
        except Malformed as malformed:
            first = first or malformed
        if len(records) == MOST_RECORDS:
            break
    if not records:
        raise first or Malformed("the record is empty")
    return records
