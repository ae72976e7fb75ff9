# SPDX-License-Identifier: MIT
"""Examines a message on its way in: all signatures, one verdict, the fields to add.

It uses no clock, environment or socket; the caller supplies the time and the DNS.
"""

from ..mail import authentication_results, message
from . import results
from .letters import STATUS_WORDS

PROTOCOLS = {b"dkim-signature": "dkim", b"domainkey-signature": "domainkeys"}
MOST_SIGNATURES = 10


class Examination:
    """The result of a message's examination.

    results: list of SignatureResult, in the order of the signatures in the header, then
    those of no single signature
    verifications: the signature.Verifications of the first of these, if they are to be
    explained
    letter: the verdict, of DKVERIFY; status_word: the word of DomainKey-Status
    test_mode: whether a key with t=y decided
    policies: sender_policies.SenderPolicies, None if they are not evaluated
    dkim2: whether DomainKey-Status is left out, see Header.has_dkim2()
    """

    __slots__ = ("results", "verifications", "letter", "status_word", "test_mode", "policies",
                 "dkim2")

    def __init__(self, found, examined=(), policies=None, dkim2=False):
        self.results = found
        self.verifications = examined
        self.policies = policies
        self.dkim2 = dkim2
        self.letter, self.test_mode = results.verdict(found)
        self.status_word = STATUS_WORDS[self.letter]


def has_signature(header):
    """Returns whether a message may have a signature: it has one, or its header is too long."""
    return header.too_long or not header.distinct.isdisjoint(PROTOCOLS)


def examine(header, body, terms, find, now, to_explain=False):
    """Returns the Examination of a message.  Raises all that body and find raise.

    header: message.Header; body: iterator over chunks, LF line ends
    terms: report.Terms; now: int, seconds since 1970
    find: function that returns the Answer for a name (bytes) and a type (str, default TXT);
    called once for each
    to_explain: whether to hash the body even for a signature whose key is not available
    """
    found, examined = [], []
    find = once(find)
    if header.too_long:
        found.append(results.SignatureResult("dkim", "policy", "G", header.flaw))
    elif has_signature(header):
        examined, left = verifications(header, terms)
        take_steps(examined, header, body, find, now, to_explain)
        found += [verification.result for verification in examined] + left_out(left)
    if terms.dkpolicy and not header.too_long and results.verdict(found)[0] == "C":
        from . import policy
        refusal = policy.refusal(header, find)
        found += [refusal] if refusal else []
    policies = None
    if terms.dmarc and not header.too_long:
        from . import sender_policies
        policies = sender_policies.evaluate(header, found, terms.client, find, to_explain)
    return Examination(found, examined if to_explain else (), policies, header.has_dkim2())


def once(find):
    """Returns a function like find that keeps the answer for each name and type."""
    answers = {}

    def kept(name, kind="TXT"):
        if (name, kind) not in answers:
            answers[name, kind] = find(name, kind)
        return answers[name, kind]
    return kept


def take_steps(examined, header, body, find, now, to_explain):
    """Takes all Verifications to their results.  Other arguments: as in examine()"""
    for verification in examined:
        verification.attempt(verification.read, now)
    readable = [verification for verification in examined if not verification.settled]
    for verification in readable:
        verification.attempt(verification.find_keys, find)
    hash_body(header, body, [verification for verification in readable
                             if to_explain or not verification.settled])
    for verification in readable:
        verification.attempt(verification.conclude)


def verifications(header, terms):
    """Returns (the signature.Verifications of the signatures, names of the fields left out)."""
    # Imported here because they import dkimpy, which a message without signature does not need.
    from .. import crypto
    from .dkim import DkimVerification
    from .domainkeys import DomainKeysVerification
    kinds = {"dkim": DkimVerification, "domainkeys": DomainKeysVerification}
    hashes = dict(zip(("sha1", "sha256"), crypto.hash_functions(True)))
    positions = sorted(position for name in PROTOCOLS for position in header.positions(name))
    return ([kinds[PROTOCOLS[header.fields[position][0]]](header, position, terms, hashes)
             for position in positions[:MOST_SIGNATURES]],
            [header.fields[position][0] for position in positions[MOST_SIGNATURES:]])


def hash_body(header, body, verifications):
    """Reads the body once, and hashes it for all verifications."""
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
    """Returns a SignatureResult for each protocol with signatures beyond MOST_SIGNATURES.

    names: of their fields (list of bytes).  The limit bounds the look-ups and the time that
    a message can cost (RFC 6376 section 6.1 allows one).
    """
    return [results.SignatureResult(
                protocol, "policy", "K",
                f"{names.count(name)} more, but only {MOST_SIGNATURES} are looked at")
            for name, protocol in PROTOCOLS.items() if name in names]


def header_fields(examination, authserv_id):
    """Returns the fields to put on top of the message (bytes, LF line ends).

    authserv_id: bytes, RFC 8601 section 2.5
    """
    return (authentication_results.field(authserv_id, examination.results, examination.policies)
            + (b"" if examination.dkim2 else authentication_results.status_field(
                examination.status_word, examination.test_mode)))


def fields_to_remove(header, authserv_id):
    """Returns the indexes into header.fields of those that pretend to be ours: set of int.

    authserv_id: bytes.  RFC 8601 section 5.
    """
    found = set()
    for start, part in message.in_parts(header.fields):
        # Most parts have none of our names, and no line that is no field.
        if b"" in part.names or authentication_results.has_name(b"".join(part.texts)):
            found.update(index for index, (name, field) in enumerate(part, start)
                         if authentication_results.is_ours(name, field, authserv_id))
    return found
