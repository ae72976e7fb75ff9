# SPDX-License-Identifier: MIT
"""The only door to dkimpy; turns the exceptions that hostile input causes into Malformed.

dkimpy reads tag lists, checks the tags of a signature, reads RSA keys and encodes
digests for RSA.  Each function here documents which input dkimpy never gets, and why.
Importing dkimpy takes a third of the CPU time of a verified message, so this module is
imported only for a signed one.
"""

import functools

from .. import crypto
from ..packages import Hidden, Late, add_site_packages

add_site_packages()


def null_handler():
    """As logging.NullHandler, which dkimpy imports for a logger that we do not let it make."""
    import logging
    return logging.NullHandler()


# Its look-ups would import dns.resolver, which imports an HTTP client if it finds one: up to
# 300 ms and 20 MiB.  The wing lookup has ours; crypto verifies Ed25519.  logging, with all
# that it imports, takes a sixth of a verified message.
with Hidden("dkim.dnsplug", "aiodns", "authres", "nacl",
            late=[Late("logging", NullHandler=null_handler)]):
    import dkim
import dkim.crypto                              # noqa: E402
from dkim.canonicalization import (             # noqa: E402
    CanonicalizationPolicy, InvalidCanonicalizationPolicyError)
from dkim.util import InvalidTagValueList, parse_tag_value      # noqa: E402

HOSTILE = (dkim.DKIMException, InvalidTagValueList, InvalidCanonicalizationPolicyError,
           dkim.crypto.UnparsableKeyError, dkim.crypto.DigestTooLargeError,
           AssertionError, IndexError, KeyError, TypeError, ValueError)

TAG_NAME = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

ASKED = (b"v", b"a", b"d", b"h", b"s")
NOT_ASKED = (b"b", b"bh", b"i", b"q", b"t", b"x")

EXPONENT_MOST = 32          # bits: a larger one only costs time
LONGEST_RSA_KEY = 2048      # bytes of DER: enough for crypto.RSA_MOST

# AlgorithmIdentifier of rsaEncryption with its NULL, RFC 3279 section 2.3.1.
RSA_ENCRYPTION = bytes.fromhex("300d06092a864886f70d0101010500")


class Malformed(Exception):
    """A field or a record is not in the grammar, or dkimpy rejects it; the text says why."""


def call(fault, function, *arguments):
    """Calls a function of dkimpy.  Raises Malformed(fault) for each of the HOSTILE exceptions."""
    try:
        return function(*arguments)
    except HOSTILE as error:
        raise Malformed(fault) from error


def tag_list(text):
    """Returns the tags of a tag list (RFC 6376 section 3.2), {name: value}, all bytes.

    Values keep the folds inside them.  The names are checked here, because dkimpy checks
    only how they start.  Raises Malformed.
    """
    tags = call("not a tag list", parse_tag_value, text)
    for name in tags:
        if name.translate(None, TAG_NAME):
            raise Malformed("not a tag list")
    return tags


def check_signature_tags(tags):
    """Checks v=, a=, d=, h=, s=, l= (RFC 6376 section 3.5).  Raises Malformed.

    dkimpy does not get b= and bh=, because its expressions take quadratic time on them
    and demand padding, as the RFC does not; nor i=, for which it knows neither
    quoted-printable nor A-labels; nor t= and x=, which it compares with its own clock
    after int() of any number of digits; nor q=, because it accepts no list.
    """
    asked = {name: value for name, value in tags.items() if name not in NOT_ASKED}
    call("a tag's value is not allowed", dkim.validate_signature_fields, asked, ASKED)


def canonicalizations(value):
    """Returns (header, body) of c= (bytes), str as in RFC 6376 section 3.4.  Raises Malformed."""
    policy = call("c= is not a known canonicalization",
                  CanonicalizationPolicy.from_c_value, value)
    return policy.header_algorithm.name.decode(), policy.body_algorithm.name.decode()


@functools.lru_cache(maxsize=256)   # the resident verifier reads the same keys again
def rsa_public_key(data):
    """Returns the RSA public key in decoded p= (bytes), for rsa_verifies().  Raises Malformed.

    Accepts SubjectPublicKeyInfo (RFC 6376 erratum 3017) and RSAPublicKey, in DER, and
    checks all limits before any arithmetic.  dkimpy ignores the algorithm and bytes
    after the key, so the key is encoded again to compare.
    """
    if len(data) > LONGEST_RSA_KEY:
        raise Malformed(f"the RSA key has over {crypto.RSA_MOST} bits")
    key = call("p= is not an RSA key", dkim.crypto.parse_public_key, data)
    modulus, exponent = key["modulus"], key["publicExponent"]
    if modulus.bit_length() > crypto.RSA_MOST:
        raise Malformed(f"the RSA key has over {crypto.RSA_MOST} bits")
    if exponent.bit_length() > EXPONENT_MOST:
        raise Malformed(f"the RSA key's exponent has over {EXPONENT_MOST} bits")
    if modulus % 2 == 0 or exponent % 2 == 0 or exponent < 3:
        raise Malformed("the RSA key's numbers can't be those of a key")
    bare = der(0x30, der_integer(modulus) + der_integer(exponent))
    if data not in (bare, der(0x30, RSA_ENCRYPTION + der(0x03, b"\0" + bare))):
        raise Malformed("the RSA key is not in DER")
    return key


def rsa_bits(key):
    """Returns the size in bits of a key of rsa_public_key()."""
    return key["modulus"].bit_length()


def rsa_verifies(hashed, signature, key):
    """Returns whether a PKCS #1 v1.5 signature (bytes) is valid (RFC 8017 section 8.2.2).

    hashed: a SHA-1 or SHA-256 object; key: of rsa_public_key().  dkimpy's own function
    is not used: it accepts signatures of any length and above the modulus, and converts
    bytes to numbers more slowly than it computes.
    """
    size = (rsa_bits(key) + 7) // 8
    number = int.from_bytes(signature, "big")
    if len(signature) != size or number >= key["modulus"]:
        return False
    try:
        encoded = call("the key is too short", dkim.crypto.EMSA_PKCS1_v1_5_encode, hashed, size)
    except Malformed:       # the key is too short for this hash
        return False
    power = crypto.power(number, key["publicExponent"], key["modulus"])
    return power.to_bytes(size, "big") == encoded


def der(tag, content):
    """Returns a DER value: tag (int), length, content (bytes); X.690 section 8.1."""
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def der_integer(number):
    """Returns a positive int in DER."""
    return der(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))
