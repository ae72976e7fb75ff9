# SPDX-License-Identifier: MIT
"""Private keys by OpenSSL's libcrypto, versions 1.1.1 to 4, through ctypes.

Importing it raises ImportError where libcrypto can't be bound.
"""

import ctypes
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_void_p

from .errors import CryptoTrouble, KeyTrouble

SONAMES = ("libcrypto.so.3", "libcrypto.so.4", "libcrypto.so.1.1", "libcrypto.so",
           "libcrypto.3.dylib", "libcrypto.1.1.dylib")

# Object identifiers' numbers, obj_mac.h.
NID_RSA = 6
NID_ED25519 = 1087

OWNED = c_void_p    # a pointer that we free


def bind():
    """libcrypto with the prototypes of what is used of it.  Raises ImportError."""
    for name in SONAMES:
        try:
            library = ctypes.CDLL(name)
            return declare(library)
        except (OSError, AttributeError):
            continue
    raise ImportError("libcrypto can't be bound")


def declare(library):
    """Sets prototypes.  Raises AttributeError where a function is missing."""
    for result, name, *arguments in (
            (OWNED, "BIO_new_mem_buf", c_char_p, c_int),
            (c_int, "BIO_free", c_void_p),
            (OWNED, "PEM_read_bio_PrivateKey", c_void_p, c_void_p, c_void_p, c_char_p),
            (OWNED, "EVP_PKEY_new_raw_private_key", c_int, c_void_p, c_char_p, c_size_t),
            (OWNED, "EVP_PKEY_CTX_new", c_void_p, c_void_p),
            (None, "EVP_PKEY_CTX_free", c_void_p),
            (None, "EVP_PKEY_free", c_void_p),
            (c_int, "EVP_PKEY_sign_init", c_void_p),
            (c_int, "EVP_PKEY_sign", c_void_p, c_char_p, POINTER(c_size_t), c_char_p, c_size_t),
            (c_int, "EVP_PKEY_verify_init", c_void_p),
            (c_int, "EVP_PKEY_verify", c_void_p, c_char_p, c_size_t, c_char_p, c_size_t),
            (OWNED, "EVP_MD_CTX_new"),
            (None, "EVP_MD_CTX_free", c_void_p),
            (c_int, "EVP_DigestSignInit", c_void_p, c_void_p, c_void_p, c_void_p, c_void_p),
            (c_int, "EVP_DigestSign", c_void_p, c_char_p, POINTER(c_size_t), c_char_p, c_size_t),
            (c_int, "EVP_DigestVerifyInit", c_void_p, c_void_p, c_void_p, c_void_p, c_void_p),
            (c_int, "EVP_DigestVerify", c_void_p, c_char_p, c_size_t, c_char_p, c_size_t)):
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    # OpenSSL 3 renamed these two, the old names are macros there.
    for name, old_name in (("EVP_PKEY_get_id", "EVP_PKEY_id"),
                           ("EVP_PKEY_get_bits", "EVP_PKEY_bits")):
        function = getattr(library, name if hasattr(library, name) else old_name)
        function.restype = c_int
        function.argtypes = [c_void_p]
        setattr(library, name, function)
    return library


libcrypto = bind()


class Key:
    """An EVP_PKEY.  algorithm: "rsa" or "ed25519"; bits: its size."""

    def __init__(self, pointer):
        self.pointer = pointer
        self.bits = libcrypto.EVP_PKEY_get_bits(pointer)
        number = libcrypto.EVP_PKEY_get_id(pointer)
        self.algorithm = {NID_RSA: "rsa", NID_ED25519: "ed25519"}.get(number)
        if self.algorithm is None:
            raise KeyTrouble("the key is neither RSA nor Ed25519")

    def __del__(self):
        libcrypto.EVP_PKEY_free(self.pointer)

    def sign(self, data):
        """RSA: data (a DigestInfo) padded as PKCS #1 type 1; Ed25519: data itself."""
        if self.algorithm == "rsa":
            new, start, sign, free = (self.key_context, libcrypto.EVP_PKEY_sign_init,
                                      libcrypto.EVP_PKEY_sign, libcrypto.EVP_PKEY_CTX_free)
        else:
            new, start, sign, free = (libcrypto.EVP_MD_CTX_new, self.digest_sign_init,
                                      libcrypto.EVP_DigestSign, libcrypto.EVP_MD_CTX_free)
        room = max(self.bits // 8 + 1, 64)
        signature = ctypes.create_string_buffer(room)
        length = c_size_t(room)
        context = new()
        try:
            if (not context or start(context) != 1
                    or sign(context, signature, byref(length), data, len(data)) != 1):
                raise CryptoTrouble("OpenSSL refuses to sign with this key")
        finally:
            free(context)
        return signature.raw[:length.value]

    def verify(self, signature, data):
        """Whether signature is what sign(data) gives, by the public half of the key."""
        if self.algorithm == "rsa":
            new, start, verify, free = (self.key_context, libcrypto.EVP_PKEY_verify_init,
                                        libcrypto.EVP_PKEY_verify, libcrypto.EVP_PKEY_CTX_free)
        else:
            new, start, verify, free = (libcrypto.EVP_MD_CTX_new, self.digest_verify_init,
                                        libcrypto.EVP_DigestVerify, libcrypto.EVP_MD_CTX_free)
        context = new()
        try:
            return bool(context) and start(context) == 1 and verify(
                context, signature, len(signature), data, len(data)) == 1
        finally:
            free(context)

    def key_context(self):
        return libcrypto.EVP_PKEY_CTX_new(self.pointer, None)

    def digest_sign_init(self, context):
        return libcrypto.EVP_DigestSignInit(context, None, None, None, self.pointer)

    def digest_verify_init(self, context):
        return libcrypto.EVP_DigestVerifyInit(context, None, None, None, self.pointer)


def key_from_pem(pem):
    """Key from PEM bytes.  Raises KeyTrouble."""
    bio = libcrypto.BIO_new_mem_buf(pem, len(pem))
    if not bio:
        raise MemoryError
    # The last argument is an empty passphrase: without it OpenSSL would ask on
    # the terminal for that of an encrypted key.
    pointer = libcrypto.PEM_read_bio_PrivateKey(bio, None, None, b"")
    libcrypto.BIO_free(bio)
    if not pointer:
        raise KeyTrouble("not a private key that OpenSSL can read (damaged or encrypted?)")
    return Key(pointer)


def key_from_seed(seed):
    """Key from the 32 bytes of an Ed25519 seed.  Raises KeyTrouble."""
    pointer = libcrypto.EVP_PKEY_new_raw_private_key(NID_ED25519, None, seed, len(seed))
    if not pointer:
        raise KeyTrouble("OpenSSL can't use this Ed25519 seed")
    return Key(pointer)
