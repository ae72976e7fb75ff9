# SPDX-License-Identifier: MIT
"""The only door to a crypto library: hashes, keys that sign, Ed25519 that verifies.

OpenSSL's libcrypto is bound directly where it can be, for the cryptography
package costs five times the rest of a delivery to import; that package serves
where libcrypto can't be found.
"""

import binascii
import sys

from . import process
from .errors import CryptoTrouble, KeyTrouble

# Bits of an RSA key: RFC 8301 section 3.2 below, what verifiers refuse above.
RSA_LEAST = 1024
RSA_MOST = 8192

# DigestInfo of PKCS #1 v1.5, RFC 8017 section 9.2 note 1, up to the digest.
# Signing it raw works where a system's policy forbids SHA-1 signatures, which
# DomainKeys can't do without.
DIGEST_INFO = {
    "sha1": bytes.fromhex("3021300906052b0e03021a05000414"),
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
}


def hash_functions(large):
    """-> (sha1, sha256), constructors as hashlib's.

    Python's own are there at once; OpenSSL's cost 2 ms, and hash a large
    message at thrice the speed.  Some distributions build no own ones.
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
        return hashlib.sha1(usedforsecurity=False)  # else refused under FIPS
    return sha1_for_domainkeys, hashlib.sha256


class PrivateKey:
    """A private key, loaded.

    algorithm: "rsa" or "ed25519"; bits: size of an RSA modulus
    """

    def __init__(self, backend_key):
        self.backend_key = backend_key
        self.algorithm = backend_key.algorithm
        self.bits = backend_key.bits

    def sign(self, hash_name, digest):
        """Signs a digest ("sha1" or "sha256") -> bytes.

        RSA: PKCS #1 v1.5 (RFC 8017 section 8.2); Ed25519: PureEdDSA over the
        digest (RFC 8463 section 3).  Raises CryptoTrouble, also when what came
        out does not verify: a faulty RSA signature can give the key away.
        """
        signed = DIGEST_INFO[hash_name] + digest if self.algorithm == "rsa" else digest
        signature = self.backend_key.sign(signed)
        if not self.backend_key.verify(signature, signed):
            raise CryptoTrouble("the signature just made does not verify: "
                                "the key is damaged, or this machine's memory is")
        return signature

    def public_key(self):
        """The public half as p= has it, bytes.

        RSA: SubjectPublicKeyInfo in DER (RFC 6376 erratum 3017); Ed25519: its
        32 bytes (RFC 8463 section 4).  Raises CryptoTrouble.
        """
        return self.backend_key.public_key()


def generate_private_key(algorithm, bits=0):
    """A new private key as the bytes of a key file: PKCS #8 PEM.

    algorithm: "rsa" or "ed25519"; bits: of an RSA modulus.  Raises CryptoTrouble.
    """
    process.keep_memory_private()
    return backend().generate(algorithm, bits).pem()


def load_private_key(data):
    """PrivateKey from the bytes of a key file.

    RSA as PKCS #1 or PKCS #8 PEM, Ed25519 as PKCS #8 PEM, or the base64 of an
    Ed25519 seed alone.  Raises KeyTrouble for all else, CryptoTrouble without a
    crypto library.
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
    """The 32 bytes of a seed in base64.  Raises KeyTrouble."""
    try:
        seed = binascii.a2b_base64(data.strip())
    except binascii.Error:
        seed = b""
    if len(seed) != 32 or len(data.strip()) != 44:
        raise KeyTrouble("neither a PEM private key nor the base64 of an Ed25519 seed")
    return seed


def ed25519_verifies(digest, signature, public_key):
    """Whether a signature over a digest is right (RFC 8463 section 3); all bytes.

    public_key: 32 bytes.  Raises CryptoTrouble where that can't be found out:
    without a crypto library or memory, or where the library has no Ed25519.
    """
    return backend().key_from_public(public_key).verify(signature, digest)


def backend():
    """The module that does the work.  Raises CryptoTrouble if there is none."""
    try:
        from . import crypto_openssl
        return crypto_openssl
    except ImportError as error:
        reason = error
    try:
        from . import crypto_package
        return crypto_package
    except ImportError as error:
        raise CryptoTrouble(f"no crypto library: {reason}; {error}") from error
