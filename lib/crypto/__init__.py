# SPDX-License-Identifier: MIT
"""The only door to a crypto library: hashes, private keys, verification of Ed25519.

It binds OpenSSL's libcrypto directly, because importing the cryptography package
costs five times the rest of a delivery.  That package serves if libcrypto can't be
bound.
"""

import binascii
import sys

from .. import process
from ..errors import CryptoTrouble, KeyTrouble

# Bits of an RSA key: the least of RFC 8301 section 3.2, and the most that verifiers accept.
RSA_LEAST = 1024
RSA_MOST = 8192

# DigestInfo of PKCS #1 v1.5, RFC 8017 section 9.2 note 1, up to the digest.
# A system's policy may forbid SHA-1 signatures, which DomainKeys needs; signing the
# DigestInfo raw works even then.
DIGEST_INFO = {
    "sha1": bytes.fromhex("3021300906052b0e03021a05000414"),
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
}


def hash_functions(large):
    """Returns (sha1, sha256), constructors as in hashlib.

    large: whether the message is large.  Python's own load at once; OpenSSL's cost 2 ms
    but hash three times as fast.  Some distributions build Python without its own.
    """
    if not large:
        try:
            from _sha1 import sha1
            if sys.version_info >= (3, 12):
                from _sha2 import sha256
            else:
                from _sha256 import sha256
            return sha1, sha256
        except ImportError:
            pass
    import hashlib

    def sha1_for_domainkeys():
        return hashlib.sha1(usedforsecurity=False)  # without this, FIPS mode refuses SHA-1
    return sha1_for_domainkeys, hashlib.sha256


class PrivateKey:
    """A loaded private key.

    algorithm: "rsa" or "ed25519"; bits: size of an RSA modulus
    """

    def __init__(self, backend_key):
        self.backend_key = backend_key
        self.algorithm = backend_key.algorithm
        self.bits = backend_key.bits

    def sign(self, hash_name, digest):
        """Returns the signature of a digest (bytes).  hash_name: "sha1" or "sha256"

        RSA: PKCS #1 v1.5 (RFC 8017 section 8.2); Ed25519: PureEdDSA over the digest
        (RFC 8463 section 3).  Raises CryptoTrouble, also if the signature does not
        verify, because a faulty RSA signature can reveal the key.
        """
        signed = DIGEST_INFO[hash_name] + digest if self.algorithm == "rsa" else digest
        signature = self.backend_key.sign(signed)
        if not self.backend_key.verify(signature, signed):
            raise CryptoTrouble("the signature just made does not verify: "
                                "the key is damaged, or this machine's memory is")
        return signature

    def public_key(self):
        """Returns the public key (bytes), as p= of a key record has it in base64.

        RSA: SubjectPublicKeyInfo in DER (RFC 6376 erratum 3017); Ed25519: its 32 bytes
        (RFC 8463 section 4.2).  Raises CryptoTrouble.
        """
        return self.backend_key.public_key()


def generate_private_key(algorithm, bits=0):
    """Returns a new private key as the bytes of a key file, PKCS #8 PEM.

    algorithm: "rsa" or "ed25519"; bits: size of an RSA modulus.  Raises CryptoTrouble.
    """
    process.keep_memory_private()
    return backend().generate(algorithm, bits).pem()


def load_private_key(data):
    """Returns the PrivateKey in the bytes of a key file.

    Reads RSA as PKCS #1 or PKCS #8 PEM, Ed25519 as PKCS #8 PEM, and the base64 of an
    Ed25519 seed alone.  Raises KeyTrouble for other contents, CryptoTrouble if there is
    no crypto library.
    """
    library = backend()
    if b"-----BEGIN" in data:
        key = library.key_from_pem(data)
    else:
        key = library.key_from_seed(ed25519_seed(data))
    if key.algorithm == "rsa" and key.bits > RSA_MOST:
        raise KeyTrouble(f"an RSA key of {key.bits} bits: verifiers refuse over {RSA_MOST}")
    return PrivateKey(key)


def ed25519_seed(data):
    """Returns the 32 bytes of a seed in base64.  Raises KeyTrouble."""
    try:
        seed = binascii.a2b_base64(data.strip())
    except binascii.Error:
        seed = b""
    if len(seed) != 32 or len(data.strip()) != 44:
        raise KeyTrouble("neither a PEM private key nor the base64 of an Ed25519 seed")
    return seed


def ed25519_verifies(digest, signature, public_key):
    """Returns whether an Ed25519 signature over a digest is valid (RFC 8463 section 3).

    All are bytes; public_key has 32.  Raises CryptoTrouble if it can't be verified: if
    there is no crypto library, if the library has no Ed25519, or out of memory.
    """
    return backend().key_from_public(public_key).verify(signature, digest)


def use_fast_powers():
    """Has power() use libcrypto from now on, if that is possible.

    For processes that verify many messages: it costs as much as two powers.
    """
    global fast_power
    try:
        from . import powers
    except ImportError:
        return
    fast_power = powers.power


fast_power = None


def power(base, exponent, modulus):
    """Returns pow(base, exponent, modulus) of ints, of which none is secret.

    0 <= base < modulus, exponent > 0
    """
    result = fast_power(base, exponent, modulus) if fast_power else None
    return pow(base, exponent, modulus) if result is None else result


def check():
    """Returns the version text of the crypto library.  Raises CryptoTrouble if it can't work."""
    fault = backend().configuration_fault()
    if fault:
        raise CryptoTrouble(fault)
    return backend().version()


def backend():
    """Returns the module that does the work, openssl or package.  Raises CryptoTrouble."""
    try:
        from . import openssl
        return openssl
    except ImportError as error:
        reason = error
    try:
        from . import package
        return package
    except ImportError as error:
        raise CryptoTrouble(f"no crypto library: {reason}; {error}; remedy: install "
                            "OpenSSL's libcrypto") from error
