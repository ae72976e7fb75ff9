# SPDX-License-Identifier: MIT
"""An RSA signature has one form: as long as the modulus, and a number below it.

RFC 8017 section 8.2.2, steps 1 and 2.  In any other form one signature would be
many, and a verifier that takes them would call good what others call bad.
"""

import base64
import functools
import hashlib
import random

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from lib import crypto
from lib.verifying import dkimpy
from tests.support.verifying import MESSAGE, dkim_signed, domainkeys_signed, only, rsa_of

KEY = rsa_of(1024)
SIGNED = {"dkim": dkim_signed, "domainkeys": domainkeys_signed}
HASHES = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256()}


class Changing:
    """KEY, whose signatures are changed before they are written."""

    def __init__(self, change):
        self.change = change
        self.made = None

    def sign(self, hash_name, digest):
        self.made = KEY.sign(hash_name, digest)
        return self.change(self.made)


def plus_modulus(signature):
    return (int.from_bytes(signature, "big") + KEY.modulus).to_bytes(KEY.size, "big")


def below_modulus(signature):
    return (KEY.modulus - int.from_bytes(signature, "big")).to_bytes(KEY.size, "big")


# What is done to a signature that begins with a zero byte -> whether it is one still.
CHANGES = {
    "as it is": (lambda signature: signature, True),
    "one more zero byte in front": (lambda signature: b"\0" + signature, False),
    "many more": (lambda signature: bytes(100) + signature, False),
    "without its own zero byte": (lambda signature: signature[1:], False),
    "zero byte behind": (lambda signature: signature + b"\0", False),
    "without its last byte": (lambda signature: signature[:-1], False),
    "over the modulus": (plus_modulus, False),
    "below the modulus by it": (below_modulus, False),
    "empty": (lambda signature: b"", False),
}


def text_whose_signature_begins_with_zero(signed):
    """One in 200 does."""
    for number in range(10_000):
        key = Changing(lambda signature: signature)
        text = MESSAGE.replace(b"subject", b"subject %d" % number)
        signed(text, key=key)
        if key.made[0] == 0:
            return text
    raise AssertionError("none of 10,000 signatures begins with a zero byte")


@pytest.fixture(scope="module", params=SIGNED)
def protocol(request):
    return SIGNED[request.param], text_whose_signature_begins_with_zero(SIGNED[request.param])


@pytest.mark.parametrize("change", CHANGES)
def test_of_a_message(protocol, change):
    signed, text = protocol
    function, good = CHANGES[change]
    result = only(signed(text, key=Changing(function)), KEY.record())
    assert (result.status == "pass") == good, result.reason


def test_a_key_too_short_for_the_hash():
    """Section 9.2, step 3: 62 bytes for SHA-256, 46 for SHA-1."""
    for key, results in ((rsa_of(62 * 8), ("policy", "policy")),
                         (rsa_of(61 * 8), ("fail", "policy")), (rsa_of(256), ("fail", "fail"))):
        assert (only(dkim_signed(key=key), key.record()).status,
                only(domainkeys_signed(key=key), key.record()).status) == results


@pytest.mark.parametrize("size, reason", [(2048, "not an RSA key"), (2049, "over 8192 bits")])
def test_a_key_too_long_to_be_looked_at(size, reason):
    with pytest.raises(dkimpy.Malformed, match=reason):
        dkimpy.rsa_public_key(b"\x30" + bytes(size - 1))


@functools.lru_cache(maxsize=None)
def number_whose_signature_begins_with_zero(name):
    number = b"0"
    while KEY.sign(name, hashlib.new(name, number).digest())[0]:
        number = b"%d" % (int(number) + 1)
    return number


@pytest.mark.parametrize("by", ["Python", "libcrypto"])
@pytest.mark.parametrize("name", HASHES)
@pytest.mark.parametrize("change", CHANGES)
def test_as_openssl_says(monkeypatch, name, change, by):
    """The cryptography package, and so OpenSSL, is of the same opinion."""
    monkeypatch.setattr(crypto, "fast_power", None)
    if by == "libcrypto":
        crypto.use_fast_powers()
        assert crypto.fast_power
    public = rsa.RSAPublicNumbers(KEY.public, KEY.modulus).public_key()
    key = dkimpy.rsa_public_key(base64.b64decode(KEY.record("").partition("p=")[2]))
    function, good = CHANGES[change]
    text = number_whose_signature_begins_with_zero(name)
    signature = function(KEY.sign(name, hashlib.new(name, text).digest()))
    if good:
        public.verify(signature, text, padding.PKCS1v15(), HASHES[name])
    else:
        with pytest.raises(InvalidSignature):
            public.verify(signature, text, padding.PKCS1v15(), HASHES[name])
    assert dkimpy.rsa_verifies(hashlib.new(name, text), signature, key) == good


def test_powers_by_libcrypto():
    """As Python's, of numbers of all sizes; None for those that are too large."""
    from lib.crypto import powers
    source = random.Random(3)
    for bits in (2, 8, 9, 64, 511, 1024, 2047, 2048, 8192, 16384):
        for exponent in (1, 3, 17, 65537, 2 ** 32 + 1):
            for _ in range(5):
                modulus = source.getrandbits(bits) | 1 << bits - 1 | 1
                for base in (0, 1, modulus - 1, source.randrange(modulus)):
                    assert powers.power(base, exponent, modulus) == pow(base, exponent, modulus)
    assert powers.power(1, 3, 1 << 16385 | 1) is None


def test_powers_by_python_where_libcrypto_has_none(monkeypatch):
    monkeypatch.setattr(crypto, "fast_power", lambda *numbers: None)
    assert crypto.power(3, 5, 7) == 5
