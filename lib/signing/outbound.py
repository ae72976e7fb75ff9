# SPDX-License-Identifier: MIT
"""Signs an outgoing message: takes its descriptor and returns one of the signed copy."""

import posix
import time

from .. import process
from ..mail import message
from ..process import fsdecode, fsencode
from ..qmail import spool
from . import key_files
from .plan import choose, doubt


def prepare(fd, arguments, settings, clock=time.time):
    """Returns the descriptor to send: a signed copy, or fd itself if nothing signs.

    fd: descriptor of a regular file with the message from offset 0; is not changed
    arguments: host, envelope sender, recipients; str, as in sys.argv
    clock: function that returns seconds since 1970
    The descriptor is at its start.  Raises Trouble and OSError.
    """
    if len(arguments) < 3:
        return fd   # the original will explain its usage
    fields, remarks = sign_message(fd, fsencode(arguments[1]), settings, clock)
    log(remarks, arguments)
    return signed_copy(fields, fd, settings) if fields else fd


def signed(fd, envelope_sender, settings, clock=time.time):
    """Signs the message on fd for a caller that logs on its own.

    Returns (descriptor of the signed copy, at its start, or fd itself if nothing signs;
    remarks, as sign_message() returns them).  Raises Trouble and OSError.
    """
    fields, remarks = sign_message(fd, envelope_sender, settings, clock)
    return signed_copy(fields, fd, settings) if fields else fd, remarks


def sign_message(fd, envelope_sender, settings, clock=time.time):
    """Returns (signature fields of the message on fd, b"" for none; list of remarks for log()).

    The result depends on the message, the domain of envelope_sender (bytes), the clock
    and the files that settings.consulted() is called with.  Raises Trouble and OSError.
    """
    header, body = message.split(message.without_cr(message.chunks(fd)))
    outcome = decide(header, body, envelope_sender, lambda: message.has_cr(fd), settings,
                     int(clock()), posix.fstat(fd).st_size > message.CHUNK)
    remarks = outcome.remarks()
    if not remarks and settings.logs_keyless():
        remarks = [(False, f"not signed: {keyless(outcome.plan)}")]
    return b"".join(field for _, _, field in outcome.signatures), remarks


def keyless(plan):
    """Returns the log's text (str) on a message that no key fits.

    The domain is the first that could have one: the author's, else the sender's.
    """
    domains = plan.candidates["dkim"] + plan.candidates["domainkeys"]
    return f"no key for {fsdecode(domains[0])}" if domains else "no domain that could have a key"


class Outcome:
    """The result of signing a message, with remarks that explain it.

    plan: plan.Plan
    signatures: list of (protocol, key_files.SigningKey, field), topmost first
    left_out: list of the signatures that verifiers would not accept
    choice, on_keys, on_way: lists of remarks on the signer, on the keys, and on what
    makes signatures fail on the way; a remark is (whether it is a warning, text)
    """

    __slots__ = ("plan", "choice", "on_keys", "signatures", "left_out", "on_way")

    def __init__(self, plan, choice):
        self.plan = plan
        self.choice = choice
        self.on_keys = self.signatures = self.left_out = self.on_way = ()

    def remarks(self):
        """Returns the list of remarks for log()."""
        found = [*self.choice, *self.on_keys, *self.too_much()]
        if self.signatures:
            found.append((False, "signed: " + ", ".join(
                f"{protocol} {signer(protocol, key)}" for protocol, key, _ in self.signatures)))
            found += self.on_way
        return found

    def too_much(self):
        """Returns a list with the remark on the signatures that are left out, if any are."""
        left_out = len(self.left_out)
        return [(True, f"the header has too much to sign for {left_out} of "
                       f"{left_out + len(self.signatures)} signatures, which were left out")
                ] if left_out else []


def decide(header, body, envelope_sender, has_cr, settings, now, large):
    """Takes every step of signing a message.  Returns its Outcome.

    qmail-dk why takes the same steps.
    has_cr: as in forwarded.withheld(); the other arguments: as in sign()
    Raises Trouble, OSError.
    """
    plan = choose(header, envelope_sender, has_cr, settings)
    if plan.has_keys() and plan.flaw:
        return Outcome(plan, [(True, f"sent unsigned: {plan.flaw}, so verifiers would not agree "
                                     "on it")])
    outcome = Outcome(plan, [(False, f"not signed as {fsdecode(domain)}: {why}")
                             for domain, why in plan.withheld])
    if plan.doubted:
        outcome.choice.append((True, doubt(plan, header)))
    if plan.dkim2:
        outcome.choice.append((not plan.has_keys(), "no DomainKeys signature, which would break "
                                                    "the DKIM2 signature of the message"))
    if plan.has_keys():
        sign(outcome, header, body, settings, now, large)
    return outcome


def log(remarks, arguments):
    """Logs remarks, a list of (whether a warning, text), each with its delivery.

    arguments: as in prepare()
    """
    if remarks:
        from .. import maillog      # only for a message that needs a line
        delivery = "host={} sender=<{}> recipient=<{}>".format(
            arguments[0], arguments[1], " ".join(arguments[2:]))
        for warning, text in remarks:
            (maillog.warn if warning else maillog.info)(f"{text}; {delivery}")


def unsigned(trouble):
    """Returns the remark on a message that goes out unsigned because of an exception."""
    return True, f"sent unsigned (DKONERROR): {trouble!r}"


def sign(outcome, header, body, settings, now, large):
    """Signs a message according to the plan of its Outcome, and completes the Outcome.

    header: message.Header; body: chunks of LF text
    now: seconds since 1970
    large: whether the message is long enough for OpenSSL's hashes to save time
    Raises Trouble.
    """
    # Imported only if there is a key, since the crypto library takes most of their time.
    from .. import crypto
    from ..mail.canonicalization import BODY, NofwsBody
    from . import dkim, domainkeys, relayed
    sha1, sha256 = crypto.hash_functions(large)
    dkim_keys, domainkeys_keys, flaws = load_keys(outcome.plan)
    canonicalization = settings.canonicalization()
    lines = relayed.watch(header.fields)
    consumers = [lines]
    if dkim_keys:
        body_hash = sha256()
        consumers.append(BODY[canonicalization[1]](body_hash.update))
    if domainkeys_keys:
        message_hash = sha1()
        covered = domainkeys.fields_to_sign(header.fields)
        domainkeys.hash_header(message_hash.update, covered)
        consumers.append(NofwsBody(message_hash.update, header.body_follows))
    feed(body, consumers)

    signatures, names = [], []
    if dkim_keys:
        terms = dkim.terms(header, canonicalization, body_hash.digest(), settings, now)
        signatures += [("dkim", key, dkim.signature_field(key, terms, header.fields, sha256))
                       for key in dkim_keys]
        names = terms.names
    if domainkeys_keys:
        digest = message_hash.digest()
        signatures += [("domainkeys", key, domainkeys.signature_field(key, covered, digest))
                       for key in domainkeys_keys]
    outcome.signatures, outcome.left_out = sound(signatures)
    outcome.on_keys = [(True, text) for text in flaws]
    outcome.on_way = [(True, text) for text in relayed.warnings(header, names, lines)]


def load_keys(plan):
    """Loads the keys of a Plan.  Raises KeyTrouble, CryptoTrouble.

    Returns (keys for DKIM, RSA first; keys for DomainKeys, which has only RSA; what is
    wrong with them, list of str).  An RSA key for DKIM has at least RSA_LEAST bits
    (RFC 8301 section 3.2).
    """
    from ..crypto import RSA_LEAST
    dkim_keys = key_files.load(*plan.dkim)
    domainkeys_keys = (dkim_keys if plan.domainkeys == plan.dkim
                       else key_files.load(*plan.domainkeys))
    warnings = []
    for key in {key.path: key for key in dkim_keys + domainkeys_keys}.values():
        path = fsdecode(key.path)
        if key.readable_by_others:
            warnings.append(f"{path} is readable by others; remedy: chmod o= {path}")
        if key.private_key.bits < RSA_LEAST and is_rsa(key):
            warnings.append(f"{path} has {key.private_key.bits} bits, too few for DKIM (RFC 8301), "
                            "so only DomainKeys uses it; remedy: make a key of 2048 bits")
    return (sorted((key for key in dkim_keys
                    if not is_rsa(key) or key.private_key.bits >= RSA_LEAST),
                   key=is_rsa, reverse=True),
            [key for key in domainkeys_keys if is_rsa(key)],
            warnings)


def is_rsa(key):
    return key.private_key.algorithm == "rsa"


def feed(body, consumers):
    """Passes each chunk of body to each of the consumers, then calls their finish()."""
    for chunk in body:
        for consumer in consumers:
            consumer.feed(chunk)
    for consumer in consumers:
        consumer.finish()


def sound(signatures):
    """Returns (the signatures that verifiers accept, the others), lists as in Outcome."""
    from ..mail.signature_field import is_sound
    kept = [signature for signature in signatures if is_sound(signature[2])]
    return kept, [signature for signature in signatures if signature not in kept]


def signer(protocol, key):
    """Returns the tags d=, s= and a= (str) of a signature by a protocol and a SigningKey."""
    algorithm = "rsa-sha1" if protocol == "domainkeys" else key.private_key.algorithm + "-sha256"
    return f"d={fsdecode(key.domain)} s={fsdecode(key.selector)} a={algorithm}"


def signed_copy(fields, fd, settings):
    """Returns a descriptor at its start, with fields and then the message without CR.

    fields: bytes; fd: descriptor of the message.  Raises SpoolTrouble, OSError.
    """
    copy = spool.anonymous_file(len(fields) + posix.fstat(fd).st_size,
                                settings.temporary_directory)
    spool.write(copy, fields)
    spool.write_all(copy, message.without_cr(message.chunks(fd)))
    process.rewind(copy)
    return copy
