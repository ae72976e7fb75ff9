# SPDX-License-Identifier: MIT
"""Parses key records: RFC 6376 section 3.6.1, RFC 4870 section 3.2.3.

Both protocols store their records at the same name, so this module keeps the tags of
both, and each protocol reads its own.
"""

from ..mail import tag_values
from . import dkimpy
from .dkimpy import Malformed

MOST_RECORDS = 3        # key records of one name that are tried


class KeyRecord:
    """A key record; all bytes or lists of bytes.

    version: v=, None if absent; version_is_late: whether another tag stands before it
    key_type: k=; public_key: p= decoded, b"" if the key is revoked
    hashes: h= as a list, None if absent; services: s= as a list
    flags: t= as a list; granularity: g=, None if absent
    """

    __slots__ = ("version", "version_is_late", "key_type", "public_key", "hashes", "services",
                 "flags", "granularity")

    def __init__(self, version: "bytes | None", version_is_late: bool, key_type: bytes,
                 public_key: bytes, hashes: "list[bytes] | None", services: "list[bytes]",
                 flags: "list[bytes]", granularity: "bytes | None"):
        self.version = version
        self.version_is_late = version_is_late
        self.key_type = key_type
        self.public_key = public_key
        self.hashes = hashes
        self.services = services
        self.flags = flags
        self.granularity = granularity

    @property
    def revoked(self):
        return not self.public_key

    @property
    def test_mode(self):
        return b"y" in self.flags


def parse(text):
    """Returns the KeyRecord in the text of a TXT record (bytes).  Raises Malformed."""
    tags = dkimpy.tag_list(text)
    if b"p" not in tags:
        raise Malformed("the record has no p=")
    public_key = tag_values.base64(tags[b"p"])
    if public_key is None:
        raise Malformed("p= is not base64")
    return KeyRecord(
        tags.get(b"v"), b"v" in tags and next(iter(tags)) != b"v",
        tags.get(b"k", b"rsa"), public_key,
        hashes=tag_values.words(tags[b"h"]) if b"h" in tags else None,
        services=tag_values.words(tags.get(b"s", b"*")),
        flags=tag_values.words(tags.get(b"t", b"")),
        granularity=tags.get(b"g"))


def parse_all(texts):
    """Returns the KeyRecords among the TXT records of a name, MOST_RECORDS at most.

    texts: list of bytes.  Ignores other records, such as a wildcard's SPF record.  If
    none is a KeyRecord, raises Malformed with the reason of the first.
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
