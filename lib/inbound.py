# SPDX-License-Identifier: MIT
"""Examines a message on its way in: all signatures, one verdict, the fields to add.

No clock, no environment, no socket: the caller brings the time and the DNS.
"""

from . import authentication_results, results
from .crypto import RSA_LEAST

PROTOCOLS = {b"dkim-signature": "dkim", b"domainkey-signature": "domainkeys"}
MOST_SIGNATURES = 10


class Limits:
    """What an administrator can set.

    least_rsa_bits: smaller RSA keys do not pass; dkpolicy: whether the sending
    domain's policy is asked for unsigned mail
    """

    __slots__ = ("least_rsa_bits", "dkpolicy")

    def __init__(self, least_rsa_bits=RSA_LEAST, dkpolicy=False):
        self.least_rsa_bits = least_rsa_bits
        self.dkpolicy = dkpolicy


class Examination:
    """What became of a message.

    results: list of SignatureResult, as the signatures stand in the header
    letter: the one verdict, of DKVERIFY; status_word: that of DomainKey-Status
    test_mode: whether a key with t=y decided
    """

    __slots__ = ("results", "letter", "status_word", "test_mode")

    def __init__(self, found):
        self.results = found
        self.letter, self.test_mode = results.verdict(found)
        self.status_word = results.STATUS_WORDS[self.letter]


def has_signature(header):
    """Whether examine() has anything to look at: a signature, or a header too long to know."""
    return header.too_long or any(name in PROTOCOLS for name, _ in header.fields)


def examine(header, body, limits, lookup, now):
    """Examination of a message.  Raises what body and lookup raise.

    header: message.Header; body: iterator over chunks, LF line ends
    limits: Limits; now: seconds since 1970
    lookup: function of a name (bytes) -> TxtAnswer; each name is asked for once
    """
    found = []
    lookup = once(lookup)
    if header.too_long:
        found.append(results.SignatureResult("dkim", "policy", "G", header.flaw))
    elif has_signature(header):
        found += examine_signatures(header, body, limits, lookup, now)
    if limits.dkpolicy and not header.too_long and results.verdict(found)[0] == "C":
        from . import domainkeys_policy
        refusal = domainkeys_policy.refusal(header, lookup)
        found += [refusal] if refusal else []
    return Examination(found)


def once(lookup):
    """The function with an answer kept for each name."""
    answers = {}

    def kept(name):
        if name not in answers:
            answers[name] = lookup(name)
        return answers[name]
    return kept


def examine_signatures(header, body, limits, lookup, now):
    """The SignatureResults of the signature fields, from top to bottom."""
    examined, left = verifications(header, limits)
    for verification in examined:
        verification.attempt(verification.read, now)
    for verification in examined:
        verification.attempt(verification.find_keys, lookup)
    hash_body(header, body, [verification for verification in examined
                             if not verification.settled])
    for verification in examined:
        verification.attempt(verification.conclude)
    return [verification.result for verification in examined] + left_out(left)


def verifications(header, limits):
    """-> (the verification.Verifications of the signatures, names of the fields left out)."""
    # Only now: they import dkimpy.
    from .dkim_verify import DkimVerification
    from .domainkeys_verify import DomainKeysVerification
    from . import crypto
    kinds = {"dkim": DkimVerification, "domainkeys": DomainKeysVerification}
    hashes = dict(zip(("sha1", "sha256"), crypto.hash_functions(True)))
    positions = [position for position, (name, _) in enumerate(header.fields)
                 if name in PROTOCOLS]
    return ([kinds[PROTOCOLS[header.fields[position][0]]](header, position, limits, hashes)
             for position in positions[:MOST_SIGNATURES]],
            [header.fields[position][0] for position in positions[MOST_SIGNATURES:]])


def hash_body(header, body, verifications):
    """Reads the body once, for those signatures that are still open."""
    from .body_hash import BodyHashes
    if not verifications:
        return
    hashes = BodyHashes(header.body_follows)
    forms = [(verification, hashes.add(*verification.body_terms()))
             for verification in verifications]
    for chunk in body:
        hashes.feed(chunk)
    hashes.finish()
    for verification, form in forms:
        verification.take_body_length(form.length)


def left_out(names):
    """A result for those signatures of each protocol that are not looked at."""
    return [results.SignatureResult(
                protocol, "policy", "K",
                f"{names.count(name)} more, but only {MOST_SIGNATURES} are looked at")
            for name, protocol in PROTOCOLS.items() if name in names]


def header_fields(examination, authserv_id):
    """The fields to put on top of the message: bytes, LF line ends.

    authserv_id: bytes, RFC 8601 section 2.5
    """
    return (authentication_results.field(authserv_id, examination.results)
            + authentication_results.status_field(examination.status_word,
                                                  examination.test_mode))


def fields_to_remove(header, authserv_id):
    """Indexes into header.fields of those that pretend to be ours: set of int.

    authserv_id: bytes
    """
    return {index for index, (name, field) in enumerate(header.fields)
            if authentication_results.is_ours(name, field, authserv_id)}
