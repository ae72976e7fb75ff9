# SPDX-License-Identifier: MIT
"""Explains how each signature of a message is verified, and what differs if it fails; then
SPF and DMARC."""

import binascii
import os

from .. import crypto
from ..errors import CryptoTrouble, RequestTrouble
from ..verifying import client, dkimpy
from ..verifying.examination import examine
from .findings import on_one_line

SHOWN = 68          # characters of a header field or record on a line
# Descendants of libdkim in patches for qmail sign so; sagredo's did until March 2026.
UNHASHED = ("\n    made by this key over the header itself, as some patches for qmail sign; it is"
            "\n    no good: the SHA-256 hash of the header must be signed (RFC 8463 section 3)")


def explain(header, body, terms, lookup, now):
    """Returns (lines, list of str; whether a signature passes).  Arguments: as in examine()"""
    examined = examine(header, body, terms, lookup, now, to_explain=True)
    return lines_on(examined, header, terms), examined.letter == "A"


def lines_on(examined, header, terms):
    """Returns the lines (list of str) on an Examination that was made to explain it.

    Other arguments: as in examine()
    """
    if header.too_long:
        return [result.reason for result in examined.results]
    lines = [f"the header has a flaw: {header.flaw}"] if header.flaw else []
    if not examined.verifications:
        lines.append("the message has no signature")
    for number, verification in enumerate(examined.verifications, 1):
        lines.append(f"signature {number}: {described(verification.result)}")
        if verification.answer is not None:         # the field could be read
            lines += EXPLAIN[verification.protocol](verification) + key_lines(verification)
        lines.append("  result: " + outcome(verification.result))
    for result in examined.results[len(examined.verifications):]:
        lines.append("left out: " + outcome(result))
    return lines + policy_lines(examined.policies, terms.client)


def client_of(header, options):
    """Returns the client.Client of a message for SPF, None if it is not known.

    header: message.Header; options: client, helo and sender (str), None for what the
    message says: its topmost Received field with an address, and Return-Path
    Raises RequestTrouble if options.client is no address.
    """
    said, shown = next(filter(lambda found: client.packed(found[1]),
                              map(client.greeting, header.named(b"received"))), (b"", ""))
    address = client.packed(shown if options.client is None else options.client)
    if address is None:
        if options.client is not None:
            raise RequestTrouble(f"{options.client} is not an IP address")
        return None
    if options.sender is not None:
        sender = os.fsencode(options.sender)
    elif header.named(b"return-path"):
        sender = header.named(b"return-path")[0].partition(b":")[2].strip().strip(b"<>")
    else:
        return None
    return client.Client(address, said if options.helo is None else os.fsencode(options.helo),
                         sender)


def policy_lines(policies, known):
    """Returns the lines on SenderPolicies.  known: the client.Client, or None"""
    if policies is None:
        return []
    lines = []
    if known is None:
        lines.append("SPF: not evaluated, for the client or the sender is not known "
                     "(qmail-dk verify takes --client, --sender and --helo)")
    else:
        found = policies.spf
        lines.append(f"SPF: client {client.unpacked(known.address)}, {found.identity} "
                     f"{found.domain.decode() or 'without a domain'}")
        lines += ["  " + step for step in found.steps] + [f"  result: {outcome(found)}"]
    found = policies.dmarc
    lines.append(f"DMARC: From: {found.domain or 'without one domain'}")
    return lines + ["  " + step for step in found.steps] + [
        f"  result: {outcome(found)}" + (f"; policy {found.policy}" if found.policy else "")]


def described(result):
    """Returns the tags that identify the signature of a SignatureResult, str."""
    return (f"{result.protocol} d={result.domain} s={result.selector}"
            + (f" a={result.algorithm}" if result.algorithm else ""))


def outcome(result):
    return (result.status + (f": {result.reason}" if result.reason else "")
            + (" (t=y: the key is in test mode)" if getattr(result, "test_mode", False) else ""))


def dkim_lines(verification):
    """Returns the lines on a DKIM signature's terms, the fields and the body that it covers."""
    of_header, of_body = verification.canonicalizations
    lines = [f"  canonicalization: {of_header} for the header, {of_body} for the body",
             "  header fields that it covers:"]
    left, seen = list(verification.selected), set()
    for name in verification.names:
        if left and left[0][0] == name:
            lines.append("    " + on_one_line(left.pop(0)[1], SHOWN))
            seen.add(name)
        else:
            no = "no other" if name in seen else "no"
            lines.append(f"    ({no} {name.decode('ascii')}: adding one breaks the signature)")
    limit = "" if verification.length is None else f", of which l= covers {verification.length}"
    return lines + [
        f"  body: {verification.body_length} bytes in canonical form{limit}",
        f"    hash as computed: {base64(verification.hashed_body.digest())}",
        f"    bh= as signed:    {base64(verification.body_hash)}"
        + ("" if verification.body_is_as_signed()
           else ", so the body is not the one that was signed")]


def domainkeys_lines(verification):
    """Returns the lines on a DomainKeys signature's terms and the fields that it covers."""
    lines = [f"  canonicalization: {verification.canonicalization}",
             "  header fields that it covers"
             + (":" if verification.names else " (no h=: all below it):")]
    return lines + ["    " + on_one_line(field, SHOWN) for field in verification.orders()[0]]


def key_lines(verification):
    """Returns the lines on the answer of the DNS, and on the signature by each key in it."""
    answer = verification.answer
    lines = [f"  DNS: {verification.key_name().decode('ascii')}: "
             + (answer.reason if answer.status != "found" else f"{len(answer.values)} TXT")]
    lines += ["    " + on_one_line(text, SHOWN) for text in answer.values]
    for record in verification.records:
        lines.append("  signature: " + judged(verification, record))
    return lines


def judged(verification, record):
    """Returns the result of the signature by one key record, and which part differs, str."""
    result = verification.trial(record)
    if result.status != "fail":
        return outcome(result)
    if record.key_type == b"ed25519":
        return outcome(result) + (UNHASHED if signs_the_header_itself(verification, record) else "")
    signed = signed_hash(verification, record)
    if signed is None:
        return "made by another key than this, or damaged itself"
    computed = verification.hashed.digest()
    lines = [f"made by this key over another hash\n    hash as computed: {base64(computed)}"
             f"\n    hash as signed:   {base64(signed)}"]
    if verification.protocol == "domainkeys":
        lines.append("so a header field that it covers, or the body, is not as it was signed")
    elif signed == computed:
        return "right for the header, " + result.reason
    else:
        lines.append("so a header field that it covers is not as it was signed")
    return "\n    ".join(lines)


def signs_the_header_itself(verification, record):
    """Returns whether an Ed25519 signature is valid for the header itself, not its hash.

    Then the key's owner signed this header, with a faulty program.
    """
    key = verification.public_key(record)
    header = b"".join(verification.canonical_header())
    try:
        return crypto.ed25519_verifies(header, verification.signature, key)
    except CryptoTrouble:
        return False


def signed_hash(verification, record):
    """Returns the hash (bytes) that the key's owner signed, None if another key signed.

    Only the right key gives the right padding (RFC 8017 section 9.2).  Returns None also
    for a malformed key.
    """
    try:
        key = dkimpy.rsa_public_key(record.public_key)
    except dkimpy.Malformed:
        return None
    modulus, exponent = key["modulus"], key["publicExponent"]
    length = (modulus.bit_length() + 7) // 8
    padded = pow(int.from_bytes(verification.signature, "big"), exponent, modulus)
    before, separator, digest = padded.to_bytes(length, "big").partition(
        b"\xff\0" + crypto.DIGEST_INFO[verification.hash_name])
    if before != b"\0\1" + b"\xff" * (len(before) - 2) or not separator:
        return None
    return digest


def base64(data):
    return binascii.b2a_base64(data, newline=False).decode()


EXPLAIN = {"dkim": dkim_lines, "domainkeys": domainkeys_lines}
