# SPDX-License-Identifier: MIT
"""Keys and hashes: both backends, checked by openssl(1) and the cryptography package."""

import base64
import hashlib
import os
import re
import subprocess
import sys

import pytest
from tests.support import signing
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, utils

from lib import crypto
from lib.crypto import package
from lib.errors import CryptoTrouble, KeyTrouble

try:
    from lib.crypto import openssl
except ImportError:
    openssl = None

BACKENDS = {"openssl": openssl, "package": package}
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

RSA = signing.key("rsa.pem")
ED25519 = signing.key("ed25519.pem")
SEED = serialization.load_pem_private_key(ED25519, None).private_bytes(
    serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())
DIGEST = {"sha1": hashlib.sha1(b"text").digest(), "sha256": hashlib.sha256(b"text").digest()}


@pytest.fixture(params=BACKENDS)
def backend(request, monkeypatch):
    """Makes lib.crypto use one of the backends."""
    if BACKENDS[request.param] is None:
        pytest.skip("needs libcrypto where ctypes finds it")
    monkeypatch.setattr(crypto, "backend", lambda: BACKENDS[request.param])
    return BACKENDS[request.param]


@pytest.mark.parametrize("name, function", [("sha1", hashes.SHA1()), ("sha256", hashes.SHA256())])
def test_rsa_signature(backend, name, function):
    """As the cryptography package verifies it, over the text itself."""
    signature = crypto.load_private_key(RSA).sign(name, DIGEST[name])
    public = serialization.load_pem_private_key(RSA, None).public_key()
    public.verify(signature, b"text", padding.PKCS1v15(), function)
    with pytest.raises(InvalidSignature):
        public.verify(signature, b"other text", padding.PKCS1v15(), function)


@pytest.mark.parametrize("name", ["sha1", "sha256"])
def test_rsa_signature_by_openssl(backend, tmp_path, name):
    (tmp_path / "key").write_bytes(RSA)
    (tmp_path / "text").write_bytes(b"text")
    if subprocess.run(["openssl", "dgst", "-" + name, "-sign", "key", "text"], cwd=tmp_path,
                      capture_output=True).returncode:
        pytest.skip("a policy of the system forbids openssl(1) such signatures")
    (tmp_path / "signature").write_bytes(crypto.load_private_key(RSA).sign(name, DIGEST[name]))
    process = subprocess.run(["openssl", "dgst", "-" + name, "-prverify", "key", "-signature",
                              "signature", "text"], cwd=tmp_path, stdout=subprocess.PIPE)
    assert process.stdout == b"Verified OK\n"


@pytest.mark.skipif(openssl is None, reason="needs libcrypto where ctypes finds it")
@pytest.mark.parametrize("name", ["sha1", "sha256"])
@pytest.mark.parametrize("key", ["RSA", "Ed25519"])
def test_backends_agree_byte_for_byte(monkeypatch, name, key):
    made = set()
    for module in BACKENDS.values():
        monkeypatch.setattr(crypto, "backend", lambda module=module: module)
        made.add(crypto.load_private_key({"RSA": RSA, "Ed25519": ED25519}[key])
                 .sign(name, DIGEST[name]))
    assert len(made) == 1


def test_older_cryptography_package(monkeypatch):
    """Without NoDigestInfo it adds the DigestInfo by itself."""
    monkeypatch.setattr(crypto, "backend", lambda: package)
    key = crypto.load_private_key(RSA)
    expected = {name: key.sign(name, digest) for name, digest in DIGEST.items()}
    monkeypatch.delattr(utils, "NoDigestInfo", raising=False)
    assert {name: key.sign(name, digest) for name, digest in DIGEST.items()} == expected


def test_older_cryptography_package_where_policy_forbids_sha1_signatures(monkeypatch):
    """As 38.0.4 does with Red Hat's OpenSSL: SHA-256 goes on."""
    monkeypatch.delattr(utils, "NoDigestInfo", raising=False)
    loaded = package.key_from_pem(RSA)
    sign = loaded.key.sign

    class Refusing:
        def sign(self, digest, scheme, function):
            if len(digest) == 20:
                raise UnsupportedAlgorithm("sha1 is not supported by this backend")
            return sign(digest, scheme, function)
    loaded.key = Refusing()
    assert loaded.sign(crypto.DIGEST_INFO["sha256"] + DIGEST["sha256"])
    with pytest.raises(CryptoTrouble, match="remedy: .*SHA-1"):
        loaded.sign(crypto.DIGEST_INFO["sha1"] + DIGEST["sha1"])


def test_ed25519_signature(backend):
    """RFC 8463 section 3: over the digest; PEM and seed are the same key."""
    public = serialization.load_pem_private_key(ED25519, None).public_key()
    for data in (ED25519, base64.b64encode(SEED), base64.b64encode(SEED) + b"\n"):
        key = crypto.load_private_key(data)
        assert key.algorithm == "ed25519"
        public.verify(key.sign("sha256", DIGEST["sha256"]), DIGEST["sha256"])


# RFC 8032 section 7.1, test 3: (seed, message, signature)
RFC_8032 = (
    "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "af82",
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
    "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a")


def test_ed25519_vector(backend):
    seed, text, signature = map(bytes.fromhex, RFC_8032)
    key = backend.key_from_seed(seed)
    assert key.sign(text) == signature
    assert key.verify(signature, text)
    assert not key.verify(signature, text + b"x")


def test_bits_and_algorithm(backend):
    key = crypto.load_private_key(RSA)
    assert (key.algorithm, key.bits) == ("rsa", 2048)


@pytest.mark.parametrize("key", [RSA, ED25519], ids=["RSA", "Ed25519"])
def test_a_wrong_signature_is_never_given_out(backend, monkeypatch, key):
    """A bit that flips in a CRT signature gives the private key away."""
    loaded = crypto.load_private_key(key)
    sign = loaded.backend_key.sign

    def faulty(data):
        signature = bytearray(sign(data))
        signature[20] ^= 4
        return bytes(signature)
    monkeypatch.setattr(loaded.backend_key, "sign", faulty)
    with pytest.raises(CryptoTrouble, match="does not verify"):
        loaded.sign("sha256", DIGEST["sha256"])


@pytest.mark.skipif(openssl is None, reason="needs libcrypto where ctypes finds it")
def test_the_number_of_ed25519_is_the_librarys(monkeypatch):
    """AWS-LC and BoringSSL call it 949, OpenSSL 1087."""
    own = openssl.libcrypto.OBJ_txt2nid(b"1.3.101.112")
    get_id = openssl.libcrypto.EVP_PKEY_get_id
    monkeypatch.setattr(openssl.libcrypto, "OBJ_txt2nid", lambda _: 949)
    monkeypatch.setattr(openssl.libcrypto, "EVP_PKEY_get_id",
                        lambda key: 949 if get_id(key) == own else get_id(key))
    for pem, algorithm in (ED25519, "ed25519"), (RSA, "rsa"):
        assert openssl.key_from_pem(pem).algorithm == algorithm


@pytest.mark.skipif(openssl is None, reason="needs libcrypto where ctypes finds it")
def test_sha1_where_policy_forbids_sha1_signatures(monkeypatch):
    """Red Hat's OpenSSL refuses in the DigestSign calls: RSA must do without them."""
    for name in ("EVP_DigestSignInit", "EVP_DigestSign", "EVP_DigestVerifyInit",
                 "EVP_DigestVerify"):
        monkeypatch.setattr(openssl.libcrypto, name, lambda *_: 0)
    monkeypatch.setattr(crypto, "backend", lambda: openssl)
    signature = crypto.load_private_key(RSA).sign("sha1", DIGEST["sha1"])
    serialization.load_pem_private_key(RSA, None).public_key().verify(
        signature, b"text", padding.PKCS1v15(), hashes.SHA1())
    with pytest.raises(CryptoTrouble):      # so the calls are the ones that were put out
        crypto.load_private_key(ED25519).sign("sha256", DIGEST["sha256"])


@pytest.mark.skipif(openssl is None, reason="needs libcrypto where ctypes finds it")
@pytest.mark.parametrize("name, remedy", [("rsa1024.pem", "make one of 2048 bits"),
                                          ("rsa.pem", ""), ("ed25519.pem", "")])
def test_the_remedy_for_a_key_too_small_for_fips(monkeypatch, name, remedy):
    """Under FIPS, OpenSSL loads an RSA key of 1024 bits but refuses to sign with it."""
    for function in "EVP_PKEY_sign", "EVP_DigestSign", "EVP_PKEY_keygen":
        monkeypatch.setattr(openssl.libcrypto, function, lambda *_: 0)
    key = openssl.key_from_pem(signing.key(name))
    for refused in (lambda: key.sign(bytes(51)),
                    lambda: openssl.generate(key.algorithm, key.bits)):
        with pytest.raises(CryptoTrouble) as caught:
            refused()
        assert str(caught.value).partition("remedy: ")[2] == remedy


# What is asked of a library without Ed25519 -> the exception, whether it names the lack.
WITHOUT_ED25519 = {
    "PEM": (lambda: openssl.key_from_pem(ED25519), KeyTrouble, True),
    "seed": (lambda: openssl.key_from_seed(SEED), KeyTrouble, True),
    "new": (lambda: openssl.generate("ed25519", 0), CryptoTrouble, True),
    "public": (lambda: openssl.key_from_public(bytes(32)), CryptoTrouble, True),
    "no PEM": (lambda: openssl.key_from_pem(RSA[:200]), KeyTrouble, False),
}


@pytest.mark.skipif(openssl is None, reason="needs libcrypto where ctypes finds it")
@pytest.mark.parametrize("what", WITHOUT_ED25519)
def test_the_lack_of_ed25519_is_no_fault_of_the_key(monkeypatch, what):
    """Red Hat's provider for FIPS in 3.0 has none."""
    use, trouble, lack = WITHOUT_ED25519[what]
    for function in ("PEM_read_bio_PrivateKey", "EVP_PKEY_new_raw_private_key",
                     "EVP_PKEY_new_raw_public_key", "EVP_PKEY_keygen_init"):
        monkeypatch.setattr(openssl.libcrypto, function, lambda *_: 0)
    with pytest.raises(trouble) as caught:
        use()
    assert (openssl.NO_ED25519 in str(caught.value)) == lack


def test_rsa_key_that_does_not_fit_its_public_half(backend):
    """A damaged key file that still parses: a trouble, not a bad signature."""
    lines = RSA.split(b"\n")
    lines[12] = lines[12][::-1]
    with pytest.raises((KeyTrouble, CryptoTrouble)):
        crypto.load_private_key(b"\n".join(lines)).sign("sha256", DIGEST["sha256"])


def test_no_crypto_library_at_all(monkeypatch):
    import lib.crypto
    for name in ("openssl", "package"):
        monkeypatch.setitem(sys.modules, "lib.crypto." + name, None)
        monkeypatch.delattr(lib.crypto, name, raising=False)
    with pytest.raises(CryptoTrouble, match="no crypto library"):
        crypto.load_private_key(RSA)


# {what is tried as libcrypto: what is said of it, in glibc's words or in musl's, as a pattern}
NO_LIBCRYPTO = {"/damaged": "/damaged: (file too short|Exec format error)",
                "libc.so.6": "(undefined symbol|Symbol not found): OPENSSL_",
                "/missing": "no libcrypto.so.3, "}


@pytest.mark.skipif(openssl is None or not sys.platform.startswith("linux"),
                    reason="needs libcrypto where ctypes finds it, and Linux")
@pytest.mark.parametrize("name", NO_LIBCRYPTO)
def test_what_is_wrong_with_libcrypto_is_said(monkeypatch, tmp_path, name):
    """Too little memory, for one, which another remedy helps than to install it."""
    (tmp_path / "damaged").write_bytes(b"")
    path = f"{tmp_path}{name}" if name.startswith("/") else name
    monkeypatch.setattr(openssl, "candidates", lambda: [f"{tmp_path}/missing", path])
    with pytest.raises(ImportError) as caught:
        openssl.bind()
    assert re.search(NO_LIBCRYPTO[name], str(caught.value))


@pytest.mark.skipif(openssl is None, reason="needs libcrypto where ctypes finds it")
def test_little_memory_is_not_taken_for_a_wrong_configuration(monkeypatch):
    class Failing:
        d2i_PUBKEY = staticmethod(lambda *arguments: None)

    monkeypatch.setattr(openssl, "libcrypto", Failing)
    monkeypatch.setattr(openssl, "SOME_MEMORY", sys.maxsize)
    with pytest.raises(MemoryError):
        openssl.check_configuration()


def test_package_serves_where_libcrypto_is_missing(tmp_path):
    """Under -IS, as the script runs: the package's directory is found by ourselves."""
    (tmp_path / "key").write_bytes(RSA)
    process = subprocess.run(
        [sys.executable, "-IS", "-c",
         "import sys; sys.path.insert(0, sys.argv[1])\n"
         "sys.modules['lib.crypto.openssl'] = None\n"
         "from lib import crypto\n"
         "key = crypto.load_private_key(open(sys.argv[2], 'rb').read())\n"
         "print(type(key.backend_key).__module__, key.sign('sha256', b'd' * 32).hex())",
         ROOT, str(tmp_path / "key")], stdout=subprocess.PIPE, check=True)
    module, signature = process.stdout.decode().split()
    assert module == "lib.crypto.package"
    serialization.load_pem_private_key(RSA, None).public_key().verify(
        bytes.fromhex(signature), b"d" * 32, padding.PKCS1v15(), utils.Prehashed(hashes.SHA256()))


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("missing", [(), ("_sha1",), ("_sha2", "_sha256")])
def test_hash_functions(monkeypatch, large, missing):
    """Python's own or OpenSSL's, as some distributions build no own ones."""
    for module in missing:
        monkeypatch.setitem(sys.modules, module, None)
    for function, name in zip(crypto.hash_functions(large), ("sha1", "sha256")):
        hasher = function()
        hasher.update(b"te")
        hasher.update(b"xt")
        assert hasher.digest() == DIGEST[name]
