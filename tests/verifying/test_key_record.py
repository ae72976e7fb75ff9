# SPDX-License-Identifier: MIT
"""Key records as such; what they do to a signature is in the tests of the protocols."""

import pytest

from lib.verifying import dkimpy, key_record
from tests.support.verifying import RsaNumbers, golden_rsa, rsa_of

P = golden_rsa().record("").encode()


def test_all_tags():
    record = key_record.parse(
        b"v=DKIM1; k = rsa; h=sha1:\n sha256; s=email : x; t=y:s; g=a*b; " + P)
    assert (record.version, record.key_type, record.granularity) == (b"DKIM1", b"rsa", b"a*b")
    assert record.hashes == [b"sha1", b"sha256"]
    assert record.services == [b"email", b"x"]
    assert record.flags == [b"y", b"s"]
    assert record.test_mode and not record.revoked


def test_defaults():
    record = key_record.parse(P)
    assert (record.version, record.key_type, record.granularity) == (None, b"rsa", None)
    assert (record.hashes, record.services) == (None, [b"*"])
    assert not record.test_mode


@pytest.mark.parametrize("text", [
    b"", b";", b"p", b"p=A", b"p=AAB", b"p=AA=", b"p=AAB=", b"p=AAAA=", b"p=\xff",
    b"p=AAAA; p=AAAA", b"=x; p=AAAA", b"1=x; p=AAAA", b"a b=c; p=AAAA", b"p=AAAA;; k=rsa",
    b"v=DKIM1; k=rsa"])
def test_no_key_record(text):
    with pytest.raises(dkimpy.Malformed):
        key_record.parse(text)


def test_the_first_record_says_why_none_is_a_key():
    with pytest.raises(dkimpy.Malformed, match="p= is not base64"):
        key_record.parse_all([b"v=DKIM1; p=?", b"v=spf1 -all", b""])


@pytest.mark.parametrize("text", [b"p=AAAAAA==", b"p=AAAAAA", b"p=AAAA\n AA"])
def test_padding_may_be_missing(text):
    assert key_record.parse(text).public_key == bytes(4)


def test_no_more_than_three_records_are_tried():
    assert len(key_record.parse_all([b"junk", P, P, b"", P, P])) == 3


@pytest.mark.parametrize("key", [golden_rsa(), rsa_of(512), rsa_of(1025)])
def test_both_forms_of_an_rsa_key(key):
    info = key_record.parse(key.record("").encode()).public_key
    found = dkimpy.rsa_public_key(info)
    assert (found["modulus"], found["publicExponent"]) == (key.modulus, key.public)
    # RSAPublicKey alone: what the BIT STRING holds
    start = info.index(b"\x00\x30", 17) + 1
    assert dkimpy.rsa_public_key(info[start:]) == found


def test_every_changed_byte_of_an_rsa_key_gives_another_key_or_none():
    data = key_record.parse(rsa_of(1024).record("").encode()).public_key
    right = dkimpy.rsa_public_key(data)
    for at in range(len(data)):
        for change in (1, 0x80):
            changed = data[:at] + bytes([data[at] ^ change]) + data[at + 1:]
            try:
                assert dkimpy.rsa_public_key(changed) != right
            except dkimpy.Malformed:
                pass


@pytest.mark.parametrize("key", [
    RsaNumbers(0, 3, 1), RsaNumbers(1, 1, 1), RsaNumbers(15, 0, 1),
    RsaNumbers(1 << 2047, 3, 1), RsaNumbers((1 << 16384) - 1, 3, 1)])
def test_numbers_that_are_no_key(key):
    with pytest.raises(dkimpy.Malformed):
        dkimpy.rsa_public_key(key_record.parse(key.record("").encode()).public_key)
