# SPDX-License-Identifier: MIT
"""Signs one message on its way out: which domain, which keys, which fields."""

import posix
import time

from . import address, keys, message, process, spool
from .errors import SettingTrouble
from .process import fsdecode, fsencode
from .settings import PROTOCOLS

NAME_CHARACTERS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."


class Plan:
    """Who signs a message.

    dkim, domainkeys: (signing domain, key files) as keys.first_with_key() gives
    them; no key files: no signature of that kind
    withheld: a domain that has a key, but must not sign, or None
    """

    __slots__ = ("dkim", "domainkeys", "withheld")

    def __init__(self):
        self.dkim = self.domainkeys = (None, [])
        self.withheld = None


def prepare(fd, arguments, settings, clock=time.time):
    """What is to be sent for the message on fd: fd itself, or its signed copy.

    fd: a regular file with the message from offset 0, that stays as it is
    arguments: host, envelope sender, recipients; str, as sys.argv has them
    -> descriptor, at its start.  Raises Trouble and OSError.
    """
    if len(arguments) < 3:
        return fd   # the original says how it is used
    fields, remarks = sign_message(fd, fsencode(arguments[1]), settings, clock)
    log(remarks, arguments)
    return signed_copy(fields, fd, settings) if fields else fd


def sign_message(fd, envelope_sender, settings, clock=time.time):
    """-> (signature fields of the message on fd, b"" for none; remarks for log()).

    What it gives depends on the message, the envelope sender's domain, the
    clock, and what settings.consulted() is told of.  Raises Trouble and OSError.
    """
    header, body = message.split(message.without_cr(message.chunks(fd)))
    plan = choose(header, envelope_sender, lambda: message.has_cr(fd), settings)
    remarks = []
    if plan.withheld:
        remarks.append((False, f"not signed as {fsdecode(plan.withheld)}: the message came from "
                               "outside without a good DKIM signature of that domain"))
    if not plan.dkim[1] and not plan.domainkeys[1]:
        return b"", remarks
    flaw = header.flaw or address.author_flaw(header)
    if flaw:
        return b"", [(True, f"sent unsigned: {flaw}, so verifiers would not agree on it")]
    large = posix.fstat(fd).st_size > message.CHUNK
    fields, more = sound(sign(header, body, plan, settings, int(clock()), large))
    return fields, remarks + more


def log(remarks, arguments):
    """Logs remarks, (whether a warning, text), each with the delivery that it is about."""
    if remarks:
        from . import maillog   # a message that needs no line does not pay for it
        delivery = "host={} sender=<{}> recipient=<{}>".format(
            arguments[0], arguments[1], " ".join(arguments[2:]))
        for warning, text in remarks:
            (maillog.warn if warning else maillog.info)(f"{text}; {delivery}")


def choose(header, envelope_sender, has_cr, settings):
    """The Plan for a message.  Raises KeyTrouble, SettingTrouble, OSError.

    DKIM: the author's domain, else the envelope sender's, each with its
    parents: the first that has a key.  DomainKeys: the sending address's only
    (RFC 4870 section 3.2.1: d= is its domain or a parent of it).
    has_cr: as of forwarded.withheld()
    """
    protocols = settings.words("DKPROTOCOLS", PROTOCOLS)
    known = {}

    def first_with_key(domains):
        return keys.first_with_key(domains, settings["DKSIGN"], known, settings.consulted)
    candidates = {"dkim": dkim_candidates(header, envelope_sender),
                  "domainkeys": domainkeys_candidates(header)}
    plan = Plan()
    withheld = []
    if header.named(b"authentication-results"):
        from . import forwarded     # few messages need it
        withheld = forwarded.withheld(candidates["dkim"] + candidates["domainkeys"], header,
                                      has_cr, settings)
        plan.withheld, _ = first_with_key(withheld)
    for protocol in protocols:
        setattr(plan, protocol, first_with_key(
            [domain for domain in candidates[protocol] if domain not in withheld]))
    return plan


def dkim_candidates(header, envelope_sender):
    """The domains that may sign with DKIM, the preferred first; bytes."""
    candidates = address.with_parents(address.author_domain(header))
    _, at, envelope_domain = envelope_sender.rpartition(b"@")
    return candidates + (address.with_parents(envelope_domain.lower()) if at else [])


def domainkeys_candidates(header):
    """The domains that may sign with DomainKeys, the preferred first; bytes."""
    return address.with_parents(address.sending_domain(header))


def sign(header, body, plan, settings, now, large):
    """The signatures of a message, topmost first: list of (SigningKey, field).

    body: chunks of LF text; now: seconds since 1970; large: whether OpenSSL's
    hashes are worth their start.  Raises Trouble.
    """
    # Imported only when there is a key: most of their cost is the crypto library.
    from . import crypto, dkim_sign, domainkeys_sign
    from .canonicalization import BODY, NofwsBody
    sha1, sha256 = crypto.hash_functions(large)
    dkim_keys, domainkeys_keys = load_keys(plan)
    canonicalization = settings.canonicalization()
    consumers = []
    if dkim_keys:
        body_hash = sha256()
        consumers.append(BODY[canonicalization[1]](body_hash.update))
    if domainkeys_keys:
        message_hash = sha1()
        covered = domainkeys_sign.fields_to_sign(header.fields)
        domainkeys_sign.hash_header(message_hash.update, covered)
        consumers.append(NofwsBody(message_hash.update, header.body_follows))
    feed(body, consumers)

    signatures = []
    if dkim_keys:
        terms = dkim_terms(header, canonicalization, body_hash.digest(), settings, now)
        signatures += [(key, dkim_sign.signature_field(key, terms, header.fields, sha256))
                       for key in dkim_keys]
    if domainkeys_keys:
        digest = message_hash.digest()
        signatures += [(key, domainkeys_sign.signature_field(key, covered, digest))
                       for key in domainkeys_keys]
    return signatures


def load_keys(plan):
    """-> (keys for DKIM, RSA first; keys for DomainKeys).  Warns of what is wrong with them.

    Raises KeyTrouble, CryptoTrouble.
    """
    from . import maillog
    from .crypto import RSA_LEAST
    dkim_keys = keys.load(*plan.dkim)
    domainkeys_keys = dkim_keys if plan.domainkeys == plan.dkim else keys.load(*plan.domainkeys)
    for key in {key.path: key for key in dkim_keys + domainkeys_keys}.values():
        path = fsdecode(key.path)
        if key.readable_by_others:
            maillog.warn(f"{path} is readable by others; remedy: chmod o= {path}")
        if key.private_key.bits < RSA_LEAST and is_rsa(key):
            maillog.warn(f"{path} has {key.private_key.bits} bits, too few for DKIM (RFC 8301), so "
                         "only DomainKeys uses it; remedy: make a key of 2048 bits")
    return (sorted((key for key in dkim_keys
                    if not is_rsa(key) or key.private_key.bits >= RSA_LEAST),
                   key=is_rsa, reverse=True),
            [key for key in domainkeys_keys if is_rsa(key)])


def is_rsa(key):
    return key.private_key.algorithm == "rsa"


def feed(body, consumers):
    """Passes each chunk of body to each of the consumers, and ends them."""
    for chunk in body:
        for consumer in consumers:
            consumer.feed(chunk)
    for consumer in consumers:
        consumer.finish()


def dkim_terms(header, canonicalization, body_hash, settings, now):
    """The dkim_sign.Terms of a message.  Raises SettingTrouble."""
    from . import dkim_sign
    additions, removals = header_list(settings["DKIMHEADERS"])
    lifetime = settings.seconds("DKIMEXPIRE")
    return dkim_sign.Terms(
        canonicalization, dkim_sign.names_to_sign(header.fields, additions, removals),
        body_hash, now, now + lifetime if lifetime else None, identity(settings))


def header_list(value):
    """DKIMHEADERS -> (names to add, names to leave out), bytes.

    `+Name` or `Name` adds, `-Name` leaves out; the latter in lower case.
    Raises SettingTrouble.
    """
    additions, removals = [], []
    for word in value.split():
        name = fsencode(word.lstrip("+-"))
        if not name or name.translate(None, NAME_CHARACTERS):
            raise SettingTrouble(f"DKIMHEADERS: {word!r} is not a header field name")
        if word.startswith("-"):
            removals.append(name.lower())
        else:
            additions.append(name)
    return additions, removals


def identity(settings):
    """DKIMIDENTITY, the pattern of i=: `@%`, `user@%` or `@sub.%`; b"" for none.

    "%" stands for d=, which i= must equal or be below (RFC 6376 section 3.5).
    Raises SettingTrouble.
    """
    pattern = fsencode(settings["DKIMIDENTITY"])
    local_part, _, domain = pattern.partition(b"@")
    if pattern and not (
            (domain == b"%" or domain.endswith(b".%"))
            and address.is_domain(domain[:-1].lower() + b"example.com")
            and not local_part.translate(None, NAME_CHARACTERS + b"+")
            and (not local_part or all(local_part.split(b".")))):
        raise SettingTrouble(f"DKIMIDENTITY: {fsdecode(pattern)!r} is not like user@sub.%")
    return pattern


def sound(signatures):
    """-> (the fields of those signatures that verifiers accept, as one bytes; remarks)."""
    from .signature_field import is_sound
    kept = [(key, field) for key, field in signatures if is_sound(field)]
    remarks = []
    if len(kept) < len(signatures):
        remarks.append((True, "the header has too much to sign for "
                              f"{len(signatures) - len(kept)} of {len(signatures)} signatures, "
                              "which were left out"))
    if kept:
        remarks.append((False, "signed: " + ", ".join(map(described, kept))))
    return b"".join(field for _, field in kept), remarks


def described(signature):
    """A signature in the log's words."""
    key, field = signature
    protocol = "domainkeys" if field.startswith(b"DomainKey-") else "dkim"
    return f"{protocol} {signer(protocol, key)}"


def signer(protocol, key):
    """Who signs by a protocol with a SigningKey: the tags d=, s= and a=, str."""
    algorithm = "rsa-sha1" if protocol == "domainkeys" else key.private_key.algorithm + "-sha256"
    return f"d={fsdecode(key.domain)} s={fsdecode(key.selector)} a={algorithm}"


def signed_copy(fields, fd, settings):
    """A descriptor with fields and then the message without CR, at its start."""
    copy = spool.anonymous_file(len(fields) + posix.fstat(fd).st_size,
                                settings.temporary_directory())
    spool.write(copy, fields)
    spool.write_all(copy, message.without_cr(message.chunks(fd)))
    process.rewind(copy)
    return copy
