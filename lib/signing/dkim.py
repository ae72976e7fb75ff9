# SPDX-License-Identifier: MIT
"""Writes DKIM-Signature fields: RFC 6376 section 5, RFC 8301, RFC 8463."""

import binascii

from ..errors import SettingTrouble
from ..process import fsdecode, fsencode
from ..mail.address import is_domain
from ..mail.canonicalization import FIELD
from ..mail.signature_field import can_be_listed, folded, name_words, with_value

# h= lists these once more than they occur, so that an added field breaks the signature
# (RFC 6376 section 8.15).  It lists these even if they do not occur:
ALWAYS = (b"From", b"Subject", b"To", b"Cc", b"Date", b"Reply-To")
# ... and these if they occur, since RFC 5322 section 3.6 and MIME allow only one of each.
# Each field whose name starts with Content- is a MIME field (RFC 2045 section 9), except
# Content-Length of mbox files, which relays remove.
SINGLE = (b"Sender", b"Message-ID", b"In-Reply-To", b"References", b"MIME-Version")
MIME_PREFIX = b"content-"
NOT_MIME = b"content-length"
# h= lists these as often as they occur, since lists and resenders add their own in transit.
# List-Unsubscribe-Post is required by RFC 8058 section 4.
REPEATED = (b"Resent-Date", b"Resent-From", b"Resent-Sender", b"Resent-To", b"Resent-Cc",
            b"Resent-Message-ID", b"Resent-Reply-To", b"List-Id", b"List-Help", b"List-Unsubscribe",
            b"List-Unsubscribe-Post", b"List-Subscribe", b"List-Post", b"List-Owner",
            b"List-Archive")

NAME_CHARACTERS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

LONGEST_LIST = 4000     # bytes of h=; OpenDKIM cuts it at 4096

# RFC 8301 section 3.1 allows no rsa-sha1; RFC 8463 section 3 defines ed25519-sha256.
ALGORITHM = {"rsa": b"rsa-sha256", "ed25519": b"ed25519-sha256"}


class Terms:
    """The tags that all signatures of a message share (RFC 6376 section 3.5).

    canonicalization: (header, body), each "relaxed" or "simple", c=
    names: the names for h=, list of bytes
    body_hash: SHA-256 of the canonical body, bh=
    time, expire: seconds since 1970, t= and x=; expire may be None
    identity: i= as bytes, with "%" for d=; b"" for none
    """

    __slots__ = ("canonicalization", "names", "body_hash", "time", "expire", "identity")

    def __init__(self, canonicalization, names, body_hash, time, expire, identity):
        self.canonicalization = canonicalization
        self.names = names
        self.body_hash = body_hash
        self.time = time
        self.expire = expire
        self.identity = identity


def terms(header, canonicalization, body_hash, settings, now):
    """Returns the Terms of a message's signatures.  Raises SettingTrouble.

    header: message.Header; now: seconds since 1970; the others are as in Terms
    """
    lifetime = settings.seconds("DKIMEXPIRE")
    return Terms(
        canonicalization, configured_names(header, settings), body_hash, now,
        now + lifetime if lifetime else None, identity(settings))


def configured_names(header, settings):
    """Returns the names for h= of a message, list of bytes.  Raises SettingTrouble."""
    return names_to_sign(header.fields, *header_list(settings["DKIMHEADERS"]))


def header_list(value):
    """Parses DKIMHEADERS, str.  Raises SettingTrouble.

    `+Name` or `Name` adds a name, `-Name` leaves it out, `?Name` adds it but lists it
    only if the field occurs.  Returns (names to add, names to leave out, names to list
    only if they occur), lists of bytes, the last two in lower case.
    """
    additions, removals, where_present = [], [], []
    for word in value.split():
        name = fsencode(word.lstrip("+-?"))
        if not name or name.translate(None, NAME_CHARACTERS):
            raise SettingTrouble(f"DKIMHEADERS: {word!r} is not a header field name")
        if word.startswith("-"):
            removals.append(name.lower())
        else:
            additions.append(name)
        if word.startswith("?"):
            where_present.append(name.lower())
    return additions, removals, where_present


def identity(settings):
    """Returns DKIMIDENTITY, the pattern of i=: `@%`, `user@%` or `@sub.%`; b"" for none.

    "%" stands for d=; the domain of i= must be d= or below it (RFC 6376 section 3.5).
    Raises SettingTrouble.
    """
    pattern = fsencode(settings["DKIMIDENTITY"])
    local_part, _, domain = pattern.partition(b"@")
    if pattern and not (
            (domain == b"%" or domain.endswith(b".%"))
            and is_domain(domain[:-1].lower() + b"example.com")
            and not local_part.translate(None, NAME_CHARACTERS + b"+")
            and (not local_part or all(local_part.split(b".")))):
        raise SettingTrouble(f"DKIMIDENTITY: {fsdecode(pattern)!r} is not like user@sub.%")
    return pattern


def names_to_sign(fields, additions=(), removals=(), where_present=()):
    """Returns the names for h=, list of bytes, each as often as it is to be listed.

    fields: of message.Header; the others: as header_list() returns them.  From is
    always listed (RFC 6376 section 5.4); no name is added that is listed already.
    """
    occurrences = {}
    for name, _ in fields:
        occurrences[name] = occurrences.get(name, 0) + 1
    names = []
    done = set(removals) - {b"from"}
    for group, at_least, more in ((ALWAYS, 0, 1), (SINGLE, 1, 1), (mime_names(fields), 1, 1),
                                  (REPEATED, 1, 0), (additions, 1, 0)):
        for name in group:
            count = occurrences.get(name.lower(), 0)
            if name.lower() not in done and count >= at_least and (
                    count or name.lower() not in where_present):
                names += [name] * (count + more)
            done.add(name.lower())
    return names


def mime_names(fields):
    """Returns the names of the MIME fields among fields, each once, as the message has them."""
    return {name: field[:len(name)] for name, field in fields
            if name.startswith(MIME_PREFIX) and name != NOT_MIME and can_be_listed(name)}.values()


def signature_field(key, terms, fields, sha256):
    """Returns a DKIM-Signature field (RFC 6376 section 3.5), bytes with LF line ends.

    key: key_files.SigningKey; fields: of message.Header
    sha256: function that makes a hash object, as hashlib.sha256
    Returns b"" if h= would be too long.  Raises CryptoTrouble.
    """
    if len(b":".join(terms.names)) > LONGEST_LIST:
        return b""
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
    signature = key.sign("sha256", digest)
    return with_value(field, binascii.b2a_base64(signature, newline=False))


def header_hash(field, terms, fields, sha256):
    """Returns the SHA-256 of the named fields and the new field, whose b= is empty, bytes.

    RFC 6376 section 3.7: the new field comes last, without its CR LF.
    """
    canonical = FIELD[terms.canonicalization[0]]
    data = sha256()
    for occurrence in selected(fields, terms.names):
        data.update(canonical(occurrence))
    data.update(canonical(field + b"\n")[:-2])
    return data.digest()


def selected(fields, names):
    """Yields the fields that h= selects: each name the next of its fields from the bottom up.

    RFC 6376 section 5.4.2; a name with no field left selects nothing.
    """
    by_name = {}
    for name, field in fields:
        by_name.setdefault(name, []).append(field)
    for name in names:
        left = by_name.get(name.lower())
        if left:
            yield left.pop()
