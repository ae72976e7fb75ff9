# SPDX-License-Identifier: MIT
"""Signs, verifies and makes keys with OpenSSL's libcrypto, versions 1.1.1 to 4.

LibreSSL's (4.3.1 was tried) and AWS-LC's (5.1.0) have the same functions.
Importing this module raises ImportError if libcrypto can't be bound.
"""

import posix
import sys

from ..c_library import (
    Library, addressof, byref, c_char_p, c_int, c_size_t, c_uint64, c_void_p,
    create_string_buffer,
)
from ..errors import CryptoTrouble, KeyTrouble
from ..process import fsdecode

SONAMES = ("libcrypto.so.3", "libcrypto.so.4", "libcrypto.so.1.1", "libcrypto.so",
           "libcrypto.3.dylib", "libcrypto.4.dylib", "libcrypto.1.1.dylib")

NID_RSA = 6                     # obj_mac.h, as in all libraries of this interface
ED25519 = b"1.3.101.112"        # its number differs: LibreSSL, AWS-LC and OpenSSL added their own

# SubjectPublicKeyInfo in DER of an RSA key of 2048 bits, which nobody uses.
GOOD_KEY = (bytes.fromhex("30820122300d06092a864886f70d01010105000382010f003082010a0282010100")
            + b"\x80" + bytes(254) + b"\x01" + bytes.fromhex("0203010001"))

ED25519_LENGTH = 32         # bytes of a public key
LONGEST_PEM = 16384         # bytes; enough for an RSA key of 8192 bits
ED25519_IN_PEM = b"BQYDK2Vw"        # its AlgorithmIdentifier (RFC 8410) in PKCS #8, as base64
NO_ED25519 = "OpenSSL has no Ed25519, as under FIPS on some systems"
FIPS_LEAST = 2048           # bits of an RSA key that makes signatures: FIPS 186-5 section 5.1

# crypto.h: no error strings, no table of ciphers by name.  Each delivery would build
# them, and none uses them.  (The table of digests is kept, because without it hashlib's
# objects lose their names, which dkimpy reads.)  Without error strings, Python crashes where
# hashlib is imported later and OpenSSL refuses one of its algorithms, as for FIPS.  So programs
# that may need hashlib import it before they call crypto.backend().
LESS_AT_START = 0x01 | 0x10

SOME_MEMORY = 1 << 20       # bytes, more than OpenSSL takes to read a key

ABSENT = "o such file", "not found"     # loaders' words, those of FreeBSD's last

DIRECTORY = 4           # OPENSSL_DIR of crypto.h; OpenSSL_version() says OPENSSLDIR: "/..."

OWNED = c_void_p        # a pointer that the caller frees
REFERENCE = c_void_p    # a result of byref()


def bind():
    """Returns libcrypto, with the prototypes of the functions that are used.

    Raises ImportError.
    """
    reason = ""
    for name in candidates():
        try:
            library = declare(Library(name))
            library.OPENSSL_init_crypto(LESS_AT_START, None)
            return library
        except (OSError, AttributeError) as error:
            # Of one that is there, the loader says what is wrong: too little memory, for one,
            # or a function that it lacks, which musl's calls "Symbol not found".
            absent = isinstance(error, OSError) and any(words in str(error) for words in ABSENT)
            if not reason and not absent:
                reason = str(error)
    reason = reason or "no " + ", ".join(SONAMES) + ", nor Python's own"
    raise ImportError(f"libcrypto can't be bound: {reason}")


def candidates():
    """Yields what may give libcrypto's functions: sonames, paths of libraries that need it.

    First the one that this process has by hashlib: a second one could not load the same
    provider for FIPS.  Last the one that Python is built with, whatever its name is.
    """
    if "_hashlib" in sys.modules:
        yield from python_library()
    yield from SONAMES
    yield from python_library()


def python_library():
    """Returns a list with the path of Python's own binding of libcrypto, [] if there is none.

    The functions of the libraries that it needs are found in it.
    """
    try:
        import _hashlib
    except ImportError:
        return []
    path = getattr(_hashlib, "__file__", None)
    return [path] if path else []


def declare(library):
    """Sets the prototypes of a Library and returns it.  Raises AttributeError if it lacks one."""
    for result, name, *arguments in (
            (c_int, "OPENSSL_init_crypto", c_uint64, c_void_p),
            (c_char_p, "OpenSSL_version", c_int),
            (c_int, "OBJ_txt2nid", c_char_p),
            (OWNED, "BIO_new_mem_buf", c_char_p, c_int),
            (OWNED, "BIO_new", c_void_p),
            (c_void_p, "BIO_s_mem"),
            (c_int, "BIO_read", c_void_p, c_char_p, c_int),
            (c_int, "BIO_free", c_void_p),
            (OWNED, "PEM_read_bio_PrivateKey", c_void_p, c_void_p, c_void_p, c_char_p),
            (c_int, "PEM_write_bio_PrivateKey", c_void_p, c_void_p, c_void_p, c_void_p, c_int,
             c_void_p, c_void_p),
            (c_int, "i2d_PUBKEY", c_void_p, REFERENCE),
            (OWNED, "d2i_PUBKEY", c_void_p, REFERENCE, c_size_t),
            (c_int, "EVP_PKEY_get_raw_public_key", c_void_p, c_char_p, REFERENCE),
            (OWNED, "EVP_PKEY_new_raw_private_key", c_int, c_void_p, c_char_p, c_size_t),
            (OWNED, "EVP_PKEY_new_raw_public_key", c_int, c_void_p, c_char_p, c_size_t),
            (OWNED, "EVP_PKEY_CTX_new", c_void_p, c_void_p),
            (OWNED, "EVP_PKEY_CTX_new_id", c_int, c_void_p),
            (None, "EVP_PKEY_CTX_free", c_void_p),
            (c_int, "EVP_PKEY_CTX_ctrl_str", c_void_p, c_char_p, c_char_p),
            (c_int, "EVP_PKEY_keygen_init", c_void_p),
            (c_int, "EVP_PKEY_keygen", c_void_p, REFERENCE),
            (None, "EVP_PKEY_free", c_void_p),
            (c_int, "EVP_PKEY_sign_init", c_void_p),
            (c_int, "EVP_PKEY_sign", c_void_p, c_char_p, REFERENCE, c_char_p, c_size_t),
            (c_int, "EVP_PKEY_verify_init", c_void_p),
            (c_int, "EVP_PKEY_verify", c_void_p, c_char_p, c_size_t, c_char_p, c_size_t),
            (OWNED, "EVP_MD_CTX_new"),
            (None, "EVP_MD_CTX_free", c_void_p),
            (c_int, "EVP_DigestSignInit", c_void_p, c_void_p, c_void_p, c_void_p, c_void_p),
            (c_int, "EVP_DigestSign", c_void_p, c_char_p, REFERENCE, c_char_p, c_size_t),
            (c_int, "EVP_DigestVerifyInit", c_void_p, c_void_p, c_void_p, c_void_p, c_void_p),
            (c_int, "EVP_DigestVerify", c_void_p, c_char_p, c_size_t, c_char_p, c_size_t)):
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    # OpenSSL 3 renamed these two functions; its old names are macros.
    for name, old_name in (("EVP_PKEY_get_id", "EVP_PKEY_id"),
                           ("EVP_PKEY_get_bits", "EVP_PKEY_bits")):
        function = getattr(library, name if hasattr(library, name) else old_name)
        function.restype = c_int
        function.argtypes = [c_void_p]
        setattr(library, name, function)
    return library


libcrypto = bind()


class Key:
    """A key, an EVP_PKEY that it owns.  algorithm: "rsa" or "ed25519"; bits: its size

    pointer: int.  Raises KeyTrouble for another algorithm.
    """

    def __init__(self, pointer):
        self.pointer = pointer
        self.bits = libcrypto.EVP_PKEY_get_bits(pointer)
        number = libcrypto.EVP_PKEY_get_id(pointer)
        if number != NID_RSA and number != nid_ed25519():
            raise KeyTrouble("the key is neither RSA nor Ed25519")
        self.algorithm = "rsa" if number == NID_RSA else "ed25519"

    def __del__(self, free=libcrypto.EVP_PKEY_free):    # bound: at exit the module may be gone
        free(self.pointer)

    def sign(self, data):
        """Returns the signature of data (bytes).  Raises CryptoTrouble.

        RSA pads data, a DigestInfo, by PKCS #1 v1.5 (RFC 8017 section 9.2); Ed25519
        signs data itself.
        """
        if self.algorithm == "rsa":
            new, start, sign, free = (self.key_context, libcrypto.EVP_PKEY_sign_init,
                                      libcrypto.EVP_PKEY_sign, libcrypto.EVP_PKEY_CTX_free)
        else:
            new, start, sign, free = (libcrypto.EVP_MD_CTX_new, self.digest_sign_init,
                                      libcrypto.EVP_DigestSign, libcrypto.EVP_MD_CTX_free)
        room = max(self.bits // 8 + 1, 64)
        signature = create_string_buffer(room)
        length = c_size_t(room)
        context = new()
        try:
            if (not context or start(context) != 1
                    or sign(context, signature, byref(length), data, len(data)) != 1):
                raise refusal("OpenSSL refuses to sign with " + kind(self.algorithm, self.bits))
        finally:
            free(context)
        return signature.raw[:length.value]

    def verify(self, signature, data):
        """Returns whether a signature of data is valid for the public half of the key.

        Both are bytes, as in sign().  Raises CryptoTrouble.
        """
        if self.algorithm == "rsa":
            new, start, verify, free = (self.key_context, libcrypto.EVP_PKEY_verify_init,
                                        libcrypto.EVP_PKEY_verify, libcrypto.EVP_PKEY_CTX_free)
        else:
            new, start, verify, free = (libcrypto.EVP_MD_CTX_new, self.digest_verify_init,
                                        libcrypto.EVP_DigestVerify, libcrypto.EVP_MD_CTX_free)
        context = new()
        try:
            if not context or start(context) != 1:
                raise refusal("OpenSSL can't verify with this key")
            return verify(context, signature, len(signature), data, len(data)) == 1
        finally:
            free(context)

    def public_key(self):
        """Returns the public half: RSA as SubjectPublicKeyInfo in DER, Ed25519 raw.

        Raises CryptoTrouble.
        """
        if self.algorithm == "rsa":
            length = libcrypto.i2d_PUBKEY(self.pointer, None)
            public = create_string_buffer(max(length, 1))
            written = libcrypto.i2d_PUBKEY(self.pointer, byref(c_void_p(addressof(public))))
        else:
            room = c_size_t(ED25519_LENGTH)
            public = create_string_buffer(ED25519_LENGTH)
            written = libcrypto.EVP_PKEY_get_raw_public_key(self.pointer, public, byref(room))
        if written <= 0:
            raise refusal("OpenSSL can't give the public half of this key")
        return public.raw

    def pem(self):
        """Returns the private key as unencrypted PKCS #8 PEM (bytes).  Raises CryptoTrouble."""
        bio = libcrypto.BIO_new(libcrypto.BIO_s_mem())
        text = create_string_buffer(LONGEST_PEM)
        try:
            if not bio or libcrypto.PEM_write_bio_PrivateKey(
                    bio, self.pointer, None, None, 0, None, None) != 1:
                raise refusal("OpenSSL can't write this key")
            length = libcrypto.BIO_read(bio, text, LONGEST_PEM)
            return text.raw[:length]
        finally:
            libcrypto.BIO_free(bio)

    def key_context(self):
        return libcrypto.EVP_PKEY_CTX_new(self.pointer, None)

    def digest_sign_init(self, context):
        return libcrypto.EVP_DigestSignInit(context, None, None, None, self.pointer)

    def digest_verify_init(self, context):
        return libcrypto.EVP_DigestVerifyInit(context, None, None, None, self.pointer)


def nid_ed25519():
    """Returns the library's number of Ed25519, 0 if it does not know it."""
    return libcrypto.OBJ_txt2nid(ED25519)


def key_from_pem(pem):
    """Returns the Key in PEM bytes.  Raises KeyTrouble, CryptoTrouble."""
    bio = libcrypto.BIO_new_mem_buf(pem, len(pem))
    if not bio:
        raise MemoryError
    # The last argument is an empty passphrase: without one, OpenSSL would ask on the
    # terminal for the passphrase of an encrypted key.
    pointer = libcrypto.PEM_read_bio_PrivateKey(bio, None, None, b"")
    libcrypto.BIO_free(bio)
    if not pointer:
        check_configuration()
        if ED25519_IN_PEM in pem and not has_ed25519():
            raise KeyTrouble(f"{NO_ED25519}; remedy: sign with an RSA key alone")
        raise KeyTrouble("not a private key that OpenSSL can read (damaged or encrypted?)")
    return Key(pointer)


def configuration_fault():
    """Returns what is wrong (str) if OpenSSL can't read even GOOD_KEY, else "".

    Its configuration decides from which providers it has its algorithms.  Raises
    MemoryError if that is what it lacks.
    """
    pointer = libcrypto.d2i_PUBKEY(None, byref(c_char_p(GOOD_KEY)), len(GOOD_KEY))
    if pointer:
        libcrypto.EVP_PKEY_free(pointer)
        return ""
    bytearray(SOME_MEMORY)      # raises MemoryError
    named = posix.environ.get(b"OPENSSL_CONF")
    place = (fsdecode(named) if named
             else "openssl.cnf in " + libcrypto.OpenSSL_version(DIRECTORY).decode("ascii"))
    return ("OpenSSL can't read a key that is known to be good: its configuration is wrong, or a "
            f"provider's file missing: {place}; remedy: correct it until openssl genpkey "
            "-algorithm RSA makes a key")


def check_configuration():
    """Raises CryptoTrouble if OpenSSL can't read even GOOD_KEY."""
    fault = configuration_fault()
    if fault:
        raise CryptoTrouble(fault)


def refusal(text):
    """Returns the CryptoTrouble for a call that failed.  text: if OpenSSL itself works"""
    return CryptoTrouble(configuration_fault() or text)


def has_ed25519():
    """Returns whether OpenSSL has Ed25519, by the public key of RFC 8032 section 7.1, test 1."""
    public_key = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    try:
        return bool(key_from_public(public_key))
    except CryptoTrouble:
        return False


def kind(algorithm, bits):
    """Returns words (str) for a key that OpenSSL refuses, with the remedy if FIPS is the cause."""
    if algorithm != "rsa":
        return "an Ed25519 key" if has_ed25519() else (
            f"an Ed25519 key: {NO_ED25519}; remedy: make an RSA key")
    if bits < FIPS_LEAST:
        return (f"an RSA key of {bits} bits (under FIPS none below {FIPS_LEAST} may sign); "
                f"remedy: make one of {FIPS_LEAST} bits")
    return f"an RSA key of {bits} bits"


def key_from_seed(seed):
    """Returns the Key of the 32 bytes of an Ed25519 seed.  Raises KeyTrouble, CryptoTrouble."""
    pointer = libcrypto.EVP_PKEY_new_raw_private_key(nid_ed25519(), None, seed, len(seed))
    if not pointer:
        check_configuration()
        raise KeyTrouble(f"{NO_ED25519}; remedy: sign with an RSA key alone")
    return Key(pointer)


def key_from_public(public_key):
    """Returns a Key that only verifies, of an Ed25519 public key (32 bytes).

    Raises CryptoTrouble.
    """
    pointer = libcrypto.EVP_PKEY_new_raw_public_key(nid_ed25519(), None, public_key,
                                                    len(public_key))
    if not pointer:
        raise refusal(NO_ED25519)
    return Key(pointer)


def generate(algorithm, bits):
    """Returns a new Key.  algorithm: "rsa", of so many bits, or "ed25519"

    Raises CryptoTrouble.
    """
    context = libcrypto.EVP_PKEY_CTX_new_id(NID_RSA if algorithm == "rsa" else nid_ed25519(), None)
    pointer = c_void_p()
    try:
        if (not context or libcrypto.EVP_PKEY_keygen_init(context) != 1
                or algorithm == "rsa" and libcrypto.EVP_PKEY_CTX_ctrl_str(
                    context, b"rsa_keygen_bits", b"%d" % bits) != 1
                or libcrypto.EVP_PKEY_keygen(context, byref(pointer)) != 1):
            raise refusal("OpenSSL can't make " + kind(algorithm, bits))
    finally:
        libcrypto.EVP_PKEY_CTX_free(context)
    return Key(pointer.value)


def version():
    """Returns the version text of the library."""
    return libcrypto.OpenSSL_version(0).decode("ascii", "replace")
