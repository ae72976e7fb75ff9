# SPDX-License-Identifier: MIT
"""Keys with which anybody can sign, and answers of the DNS that are huge."""

import base64
import hashlib

import pytest

from lib import crypto
from tests.support import verifying
from tests.support.verifying import NAME, dkim_signed, examine, golden_rsa, only

RECORD = golden_rsa().record()


def test_ed25519_keys_that_sign_for_everybody():
    """Points of small order: R of order 1 and S = 0 are right for one message of eight at least."""
    prime = 2 ** 255 - 19
    root = pow(2, (prime - 1) // 4, prime)
    candidates = {0, 1, prime - 1, prime, prime + 1} | set(order_8(prime, root))
    assert len(candidates) == 7
    for y in candidates:
        for sign in (0, 1):
            public = (y | sign << 255).to_bytes(32, "little")
            forged = (1).to_bytes(32, "little") + bytes(32)
            record = "v=DKIM1; k=ed25519; p=" + base64.b64encode(public).decode()
            result = only(dkim_signed(key=Forger(forged)), record)
            assert (result.status, result.letter) == ("permerror", "E")
    # It is not the library that refuses them:
    assert all(crypto.ed25519_verifies(hashlib.sha256(bytes([number])).digest(), forged,
                                       (1).to_bytes(32, "little")) for number in range(9))


@pytest.mark.parametrize("function", ["EVP_MD_CTX_new", "EVP_PKEY_new_raw_public_key",
                                      "EVP_DigestVerifyInit"])
def test_openssl_that_cannot_verify_says_nothing_of_the_message(function, monkeypatch):
    """Without memory, or where a policy forbids Ed25519.  An RSA signature counts all the same."""
    crypto_openssl = pytest.importorskip("lib.crypto.openssl")
    text = dkim_signed(key=verifying.Ed25519())
    record = verifying.Ed25519().record()
    monkeypatch.setattr(crypto_openssl.libcrypto, function, lambda *arguments: None)
    result = only(text, record)
    assert (result.status, result.letter) == ("temperror", "H")
    both = dkim_signed(text, s="rsa")
    assert examine(both, {NAME: record, NAME.replace("sel.", "rsa."): RECORD}).letter == "A"


class Forger(verifying.Ed25519):
    """Signs without a key."""

    def __init__(self, signature):
        super().__init__()
        self.signature = signature

    def sign(self, hash_name, digest):
        return self.signature


def order_8(prime, root):
    """y of the points whose double has y = 0, of order 4.

    That is y**2 + x**2 = 0; with RFC 8032's curve -x**2 + y**2 = 1 + d*x**2*y**2
    this gives 2*y**2 = 1 - d*y**4.
    """
    d = -121665 * pow(121666, -1, prime) % prime
    discriminant = square_root((1 + d) % prime, prime, root)
    for chosen in (discriminant, -discriminant):
        y = square_root((-1 + chosen) * pow(d, -1, prime) % prime, prime, root)
        if y is not None:
            yield y
            yield prime - y


def square_root(number, prime, root):
    found = pow(number, (prime + 3) // 8, prime)
    for candidate in (found, found * root % prime):
        if candidate * candidate % prime == number % prime:
            return candidate
    return None


@pytest.mark.parametrize("texts, letter", [
    ([b"v=DKIM1; p=" + b"A" * 64000], "E"),
    ([b"x" * 65000], "E"),
    ([b"n=" + b"y " * 30000 + b"; " + RECORD.partition("; ")[2].encode()], "A"),
    ([b"v=spf1 -all"] * 100, "E"),
    ([b"v=spf1 -all"] * 99 + [RECORD.encode()], "A"),
    ([b"v=DKIM1; p=AAAA"] * 100, "E"),
    ([b""] * 100, "E"),
], ids=lambda value: str(value)[:24])
def test_huge_answers_from_the_dns(texts, letter):
    assert examine(dkim_signed(), {NAME: texts}).letter == letter
