# SPDX-License-Identifier: MIT
"""Explains how each signature of a message is verified, and what differs where it fails."""

import binascii

from . import dkimpy, inbound
from .crypto import DIGEST_INFO

SHOWN = 68          # characters of a header field or record on a line


def explain(header, body, limits, lookup, now):
    """-> (lines, whether a signature passes).

    The arguments are those of inbound.examine(), and so are the steps; but the
    body is hashed, too, for a signature whose key can't be had.
    """
    if header.too_long:
        return [header.flaw], False
    lines = [f"the header has a flaw: {header.flaw}"] if header.flaw else []
    verifications, left = inbound.verifications(header, limits)
    if not verifications:
        return lines + ["the message has no signature"], False
    lookup = inbound.once(lookup)
    for verification in verifications:
        verification.attempt(verification.read, now)
    readable = [verification for verification in verifications if not verification.settled]
    for verification in readable:
        verification.attempt(verification.find_keys, lookup)
    inbound.hash_body(header, body, readable)
    for number, verification in enumerate(verifications, 1):
        verification.attempt(verification.conclude)
        lines.append(f"signature {number}: {described(verification.result)}")
        if verification in readable:
            lines += EXPLAIN[verification.protocol](verification)
            lines += key_lines(verification, lookup(verification.key_name()))
        lines.append("  result: " + outcome(verification.result))
    lines += ["left out: " + outcome(result) for result in inbound.left_out(left)]
    return lines, any(v.result.status == "pass" for v in verifications)


def described(result):
    """Which signature a SignatureResult is about."""
    return (f"{result.protocol} d={result.domain} s={result.selector}"
            + (f" a={result.algorithm}" if result.algorithm else ""))


def outcome(result):
    return (result.status + (f": {result.reason}" if result.reason else "")
            + (" (t=y: the key is in test mode)" if result.test_mode else ""))


def dkim_lines(verification):
    """The terms of a DKIM signature, the fields and the body that it covers."""
    of_header, of_body = verification.canonicalizations
    lines = [f"  canonicalization: {of_header} for the header, {of_body} for the body",
             "  header fields that it covers:"]
    left, seen = list(verification.selected), set()
    for name in verification.names:
        if left and left[0][0] == name:
            lines.append("    " + printable(left.pop(0)[1]))
            seen.add(name)
        else:
            no = "no other" if name in seen else "no"
            lines.append(f"    ({no} {name.decode('ascii')}: adding one breaks the signature)")
    computed, claimed = verification.hashed_body.digest(), verification.body_hash
    limit = "" if verification.length is None else f", of which l= covers {verification.length}"
    return lines + [
        f"  body: {verification.body_length} bytes in canonical form{limit}",
        f"    hash as computed: {base64(computed)}",
        f"    bh= as signed:    {base64(claimed)}"
        + ("" if computed == claimed else ", so the body is not the one that was signed")]


def domainkeys_lines(verification):
    """The terms of a DomainKeys signature and the fields that it covers."""
    lines = [f"  canonicalization: {verification.canonicalization}",
             "  header fields that it covers"
             + (":" if verification.names else " (no h=: all below it):")]
    return lines + ["    " + printable(field) for field in verification.covered()]


def key_lines(verification, answer):
    """What the DNS said, and what the signature is worth by the key that it gave."""
    lines = [f"  DNS: {verification.key_name().decode('ascii')}: "
             + (answer.reason if answer.status != "found" else f"{len(answer.texts)} TXT")]
    lines += ["    " + printable(text) for text in answer.texts]
    for record in verification.records:
        lines.append("  signature: " + judged(verification, record))
    return lines


def judged(verification, record):
    """What becomes of the signature by one key, and which part differs."""
    result = verification.trial(record)
    if result.status != "fail" or record.key_type != b"rsa":
        return outcome(result)
    signed = signed_hash(verification, record)
    if signed is None:
        return "made by another key than this, or damaged itself"
    computed = hash_of_header(verification)
    lines = [f"made by this key over another hash\n    hash as computed: {base64(computed)}"
             f"\n    hash as signed:   {base64(signed)}"]
    if verification.protocol == "domainkeys":
        lines.append("so a header field that it covers, or the body, is not as it was signed")
    elif signed == computed:
        return "right for the header, " + result.reason
    else:
        lines.append("so a header field that it covers is not as it was signed")
    return "\n    ".join(lines)


def hash_of_header(verification):
    """The hash that is signed; DomainKeys' is over header and body."""
    hashed = (verification.hashed if verification.protocol == "domainkeys"
              else verification.header_hash())
    return hashed.digest()


def signed_hash(verification, record):
    """The hash that the key's owner signed, None if it was another key.

    The padding comes out right for the right key only (RFC 8017 section 9.2).
    """
    try:
        key = dkimpy.rsa_public_key(record.public_key)
    except dkimpy.Malformed:
        return None
    modulus, exponent = key["modulus"], key["publicExponent"]
    length = (modulus.bit_length() + 7) // 8
    padded = pow(int.from_bytes(verification.signature, "big"), exponent, modulus)
    before, separator, digest = padded.to_bytes(length, "big").partition(
        b"\xff\0" + DIGEST_INFO[verification.hash_name])
    if before != b"\0\1" + b"\xff" * (len(before) - 2) or not separator:
        return None
    return digest


def base64(data):
    return binascii.b2a_base64(data, newline=False).decode()


def printable(text):
    """A header field or a record on one line, not too long."""
    text = " ".join(text.decode("ascii", "backslashreplace").split())
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


EXPLAIN = {"dkim": dkim_lines, "domainkeys": domainkeys_lines}
