# SPDX-License-Identifier: MIT
"""Writes DKIM-Signature fields: RFC 6376 section 5, RFC 8301, RFC 8463."""

import binascii

from .canonicalization import FIELD
from .signature_field import folded, name_words, with_value

# Signed once more than they occur: nobody can add one unseen (RFC 6376
# section 8.15).  These even where they do not occur:
ALWAYS = (b"From", b"Subject", b"To", b"Cc", b"Date", b"Reply-To")
# ... and these where they do, for RFC 5322 and MIME allow but one of each.
SINGLE = (b"Sender", b"Message-ID", b"In-Reply-To", b"References", b"MIME-Version",
          b"Content-Type", b"Content-Transfer-Encoding")
# Signed as often as they occur: lists and resenders add their own on the way.
# List-Unsubscribe-Post: RFC 8058 section 4 demands it.
REPEATED = (b"Content-ID", b"Content-Description", b"Content-Disposition",
            b"Resent-Date", b"Resent-From", b"Resent-Sender", b"Resent-To", b"Resent-Cc",
            b"Resent-Message-ID", b"Resent-Reply-To", b"List-Id", b"List-Help", b"List-Unsubscribe",
            b"List-Unsubscribe-Post", b"List-Subscribe", b"List-Post", b"List-Owner",
            b"List-Archive")

ALGORITHM = {"rsa": b"rsa-sha256", "ed25519": b"ed25519-sha256"}


class Terms:
    """What the signatures of one message have in common.

    canonicalization: (header, body), c=; names: the list for h=, bytes
    body_hash: SHA-256 of the canonical body, bh=
    time, expire: seconds since 1970, t= and x=; expire may be None
    identity: i= as bytes, "%" standing for d=; b"" for none
    """

    __slots__ = ("canonicalization", "names", "body_hash", "time", "expire", "identity")

    def __init__(self, canonicalization, names, body_hash, time, expire, identity):
        self.canonicalization = canonicalization
        self.names = names
        self.body_hash = body_hash
        self.time = time
        self.expire = expire
        self.identity = identity


def names_to_sign(fields, additions=(), removals=()):
    """The names for h=, each as often as it is to be covered.

    fields: of message.Header; additions, removals: from DKIMHEADERS, the latter
    in lower case.  From is always covered (RFC 6376 section 5.4), and what is
    covered already is not added.
    """
    occurrences = {}
    for name, _ in fields:
        occurrences[name] = occurrences.get(name, 0) + 1
    names = []
    done = set(removals) - {b"from"}
    for group, at_least, more in ((ALWAYS, 0, 1), (SINGLE, 1, 1), (REPEATED, 1, 0),
                                  (additions, 1, 0)):
        for name in group:
            count = occurrences.get(name.lower(), 0)
            if name.lower() not in done and count >= at_least:
                names += [name] * (count + more)
            done.add(name.lower())
    return names


def signature_field(key, terms, fields, sha256):
    """The DKIM-Signature field by one key (keys.SigningKey); bytes, LF line ends."""
    algorithm = key.private_key.algorithm
    base64 = binascii.b2a_base64(terms.body_hash, newline=False)
    tags = [(b"v", [b"1"]),
            (b"a", [ALGORITHM[algorithm]]),
            (b"c", [b"/".join(part.encode() for part in terms.canonicalization)]),
            (b"d", [key.domain]),
            (b"s", [key.selector]),
            (b"t", [b"%d" % terms.time])]
    if terms.expire is not None:
        tags.append((b"x", [b"%d" % terms.expire]))
    if terms.identity:
        tags.append((b"i", [terms.identity.replace(b"%", key.domain)]))
    tags += [(b"h", name_words(terms.names)), (b"bh", [base64]), (b"b", [b""])]
    field = folded(b"DKIM-Signature", tags)
    digest = header_hash(field, terms, fields, sha256)
    signature = key.private_key.sign("sha256", digest)
    return with_value(field, binascii.b2a_base64(signature, newline=False))


def header_hash(field, terms, fields, sha256):
    """The hash of RFC 6376 section 3.7 over the named fields and the new one, b= empty."""
    canonical = FIELD[terms.canonicalization[0]]
    data = sha256()
    for occurrence in selected(fields, terms.names):
        data.update(canonical(occurrence))
    data.update(canonical(field + b"\n")[:-2])
    return data.digest()


def selected(fields, names):
    """The fields that h= names: each name takes the next one up from the bottom.

    RFC 6376 section 5.4.2; a name without any field left takes nothing.
    """
    by_name = {}
    for name, field in fields:
        by_name.setdefault(name, []).append(field)
    for name in names:
        left = by_name.get(name.lower())
        if left:
            yield left.pop()
