# SPDX-License-Identifier: MIT
"""The only door to dkimpy.  What it can raise on hostile input becomes Malformed.

dkimpy reads tag lists, checks the tags of a signature, reads RSA keys and
verifies RSA signatures.  Each function here says what is kept from it, and why.
Importing it costs 60 ms: it is imported only for a message with a signature.
"""

import functools

from .crypto import RSA_MOST
from .dependencies import Hidden, add_site_packages

add_site_packages()

# Its look-ups would import dns.resolver, and that an HTTP client where there is
# one: up to 300 ms and 20 MiB.  Ours are in lookups; Ed25519 is crypto's.
with Hidden("dkim.dnsplug", "aiodns", "authres", "nacl"):
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
LONGEST_RSA_KEY = 2048      # bytes of DER: enough for RSA_MOST

# AlgorithmIdentifier of rsaEncryption with its NULL, RFC 3279 section 2.3.1.
RSA_ENCRYPTION = bytes.fromhex("300d06092a864886f70d0101010500")


class Malformed(Exception):
    """The text is not in the grammar, or dkimpy says so.  The text says why."""


def call(fault, function, *arguments):
    """Calls a function of dkimpy.  Raises Malformed(fault) for all that it raises itself."""
    try:
        return function(*arguments)
    except HOSTILE as error:
        raise Malformed(fault) from error


def tag_list(text):
    """The tags of a tag list, {name: value} (RFC 6376 section 3.2); bytes.

    Values keep the folds inside them.  dkimpy looks only at the start of a
    tag's name.  Raises Malformed.
    """
    tags = call("not a tag list", parse_tag_value, text)
    for name in tags:
        if name.translate(None, TAG_NAME):
            raise Malformed("not a tag list")
    return tags


def check_signature_tags(tags):
    """Checks v=, a=, d=, h=, s=, l= (RFC 6376 section 3.5).  Raises Malformed.

    It is not asked about b= and bh=, on which its expressions are quadratic
    and its demand for padding is not the RFC's; nor about i=, of which it knows
    neither quoted-printable nor A-labels; nor about t= and x=, which it holds
    against its own clock after int() of any number of digits; nor about q=, of
    which it knows no list.
    """
    asked = {name: value for name, value in tags.items() if name not in NOT_ASKED}
    call("a tag's value is not allowed", dkim.validate_signature_fields, asked, ASKED)


def canonicalizations(value):
    """c= -> (header, body), names of RFC 6376 section 3.4.  Raises Malformed."""
    policy = call("c= is not a known canonicalization",
                  CanonicalizationPolicy.from_c_value, value)
    return policy.header_algorithm.name.decode(), policy.body_algorithm.name.decode()


@functools.lru_cache(maxsize=256)   # the resident verifier meets the same keys again
def rsa_public_key(data):
    """An RSA public key for rsa_verifies(), from p= decoded.  Raises Malformed.

    SubjectPublicKeyInfo (RFC 6376 erratum 3017) or RSAPublicKey, in DER.  All
    limits are held before any arithmetic.  dkimpy reads past the algorithm and
    anything behind the key, so the key is written again to compare.
    """
    if len(data) > LONGEST_RSA_KEY:
        raise Malformed(f"the RSA key has over {RSA_MOST} bits")
    key = call("p= is not an RSA key", dkim.crypto.parse_public_key, data)
    modulus, exponent = key["modulus"], key["publicExponent"]
    if modulus.bit_length() > RSA_MOST:
        raise Malformed(f"the RSA key has over {RSA_MOST} bits")
    if exponent.bit_length() > EXPONENT_MOST:
        raise Malformed(f"the RSA key's exponent has over {EXPONENT_MOST} bits")
    if modulus % 2 == 0 or exponent % 2 == 0 or exponent < 3:
        raise Malformed("the RSA key's numbers can't be those of a key")
    bare = der(0x30, der_integer(modulus) + der_integer(exponent))
    if data not in (bare, der(0x30, RSA_ENCRYPTION + der(0x03, b"\0" + bare))):
        raise Malformed("the RSA key is not in DER")
    return key


def rsa_bits(key):
    """The size of a key of rsa_public_key(), in bits."""
    return key["modulus"].bit_length()


def rsa_verifies(hashed, signature, key):
    """Whether a signature (bytes) by PKCS #1 v1.5 is right (RFC 8017 section 8.2.2).

    hashed: a SHA-1 or SHA-256 object; key: of rsa_public_key().  dkimpy would
    take a signature of any length and over the modulus, and is slower at making
    numbers of bytes than at the arithmetic.
    """
    size = (rsa_bits(key) + 7) // 8
    number = int.from_bytes(signature, "big")
    if len(signature) != size or number >= key["modulus"]:
        return False
    try:
        encoded = call("the key is too short", dkim.crypto.EMSA_PKCS1_v1_5_encode, hashed, size)
    except Malformed:       # for this hash
        return False
    return pow(number, key["publicExponent"], key["modulus"]).to_bytes(size, "big") == encoded


def der(tag, content):
    """A DER value: tag, length, content (X.690 section 8.1)."""
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def der_integer(number):
    """A positive number in DER."""
    return der(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))
