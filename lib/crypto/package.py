# SPDX-License-Identifier: MIT
"""Signs, verifies and makes keys with the cryptography package, if libcrypto can't be bound.

It has the interface of crypto.openssl.  Importing it raises ImportError if the
package is missing.
"""

from ..packages import add_site_packages

add_site_packages()

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm  # noqa: E402
from cryptography.hazmat.backends.openssl import backend                     # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization            # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa, utils  # noqa: E402

from ..errors import CryptoTrouble, KeyTrouble      # noqa: E402


class Key:
    """A key of the package.  algorithm: "rsa" or "ed25519"; bits: its size

    Raises KeyTrouble for another algorithm.
    """

    def __init__(self, key):
        self.key = key
        if isinstance(key, rsa.RSAPrivateKey):
            self.algorithm, self.bits = "rsa", key.key_size
        elif isinstance(key, (ed25519.Ed25519PrivateKey, ed25519.Ed25519PublicKey)):
            self.algorithm, self.bits = "ed25519", 256
        else:
            raise KeyTrouble("the key is neither RSA nor Ed25519")

    def sign(self, data):
        """Returns the signature of data (bytes), as openssl.Key.sign().  Raises CryptoTrouble."""
        try:
            return self.key.sign(*self.scheme(data))
        except UnsupportedAlgorithm as error:       # of a version without NoDigestInfo
            text = str(error).rstrip(".")
            raise CryptoTrouble(f"cryptography refuses to sign: {text}; remedy: a policy that "
                                "allows SHA-1 signatures, or DKPROTOCOLS=dkim") from error
        except ValueError as error:
            raise CryptoTrouble(f"cryptography refuses to sign with this key: {error}") from error

    def verify(self, signature, data):
        """Returns whether a signature of data is valid for the public half of the key."""
        public = self.key
        if hasattr(public, "public_key"):
            public = public.public_key()
        try:
            public.verify(signature, *self.scheme(data))
        except InvalidSignature:
            return False
        return True

    def public_key(self):
        """Returns the public half: RSA as SubjectPublicKeyInfo in DER, Ed25519 raw."""
        public = self.key.public_key()
        if self.algorithm == "rsa":
            return public.public_bytes(serialization.Encoding.DER,
                                       serialization.PublicFormat.SubjectPublicKeyInfo)
        return public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)

    def pem(self):
        """Returns the private key as unencrypted PKCS #8 PEM (bytes)."""
        return self.key.private_bytes(serialization.Encoding.PEM,
                                      serialization.PrivateFormat.PKCS8,
                                      serialization.NoEncryption())

    def scheme(self, data):
        """Returns the arguments with which the package signs or verifies data (tuple)."""
        if self.algorithm == "ed25519":
            return (data,)
        if hasattr(utils, "NoDigestInfo"):
            return data, padding.PKCS1v15(), utils.NoDigestInfo()
        # Versions without NoDigestInfo add the DigestInfo themselves.
        function = hashes.SHA1() if len(data) < 40 else hashes.SHA256()
        digest = data[-function.digest_size:]
        return digest, padding.PKCS1v15(), utils.Prehashed(function)


def configuration_fault():
    """Returns "": the package has an OpenSSL of its own, which no file of the system changes."""
    return ""


def key_from_pem(pem):
    """Returns the Key in PEM bytes.  Raises KeyTrouble."""
    try:
        return Key(serialization.load_pem_private_key(pem, None))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyTrouble("not a private key that the cryptography package can read "
                         "(damaged or encrypted?)") from error


def key_from_seed(seed):
    """Returns the Key of the 32 bytes of an Ed25519 seed.  Raises KeyTrouble."""
    try:
        return Key(ed25519.Ed25519PrivateKey.from_private_bytes(seed))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyTrouble("the cryptography package can't use this Ed25519 seed") from error


def key_from_public(public_key):
    """Returns a Key that only verifies, of an Ed25519 public key (32 bytes).

    Raises CryptoTrouble.
    """
    try:
        return Key(ed25519.Ed25519PublicKey.from_public_bytes(public_key))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CryptoTrouble("the cryptography package can't make an Ed25519 key") from error


def generate(algorithm, bits):
    """Returns a new Key.  algorithm: "rsa", of so many bits, or "ed25519"

    Raises CryptoTrouble.
    """
    try:
        if algorithm == "rsa":
            return Key(rsa.generate_private_key(65537, bits))
        return Key(ed25519.Ed25519PrivateKey.generate())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CryptoTrouble("the cryptography package can't make a key") from error


def version():
    """Returns the version text of the package's OpenSSL."""
    return "cryptography package with " + backend.openssl_version_text()
