# SPDX-License-Identifier: MIT
"""What every signer signs passes; with one byte changed, of message or key, it never does."""

import ctypes
import glob
import os
import random
import subprocess
import time

import pytest

from lib.mail import message
from lib.verifying import examination
from tests.support import judges, signing
from tests.support.verifying import (
    MESSAGE, NAME, Ed25519, dkim_signed, domainkeys_signed, examine, golden_rsa,
)

GOOD = {NAME: golden_rsa().record()}


def signed_by_us(directory):
    signer = signing.Signer(directory, signing.EXAMPLE_BOTH)
    return signer.sign(MESSAGE), signer.records


def signed_by_dkimpy(directory):
    dkim = pytest.importorskip("dkim")
    field = dkim.sign(MESSAGE.replace(b"\n", b"\r\n"), b"sel", b"example.com", openssl_pkcs1())
    return field.replace(b"\r\n", b"\n") + MESSAGE, GOOD


def openssl_pkcs1():
    """The golden key in PKCS #1, which every dkimpy reads."""
    from cryptography.hazmat.primitives import serialization as ser
    loaded = ser.load_pem_private_key(signing.key("rsa.pem"), None)
    return loaded.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.TraditionalOpenSSL,
                                ser.NoEncryption())


PERL_SIGNER = r"""
use Mail::DKIM::Signer; use Mail::DKIM::DkSignature; use Mail::DKIM::Signature;
use Mail::DKIM::PrivateKey;
my ($keyfile, $kind) = @ARGV;
my $signer = Mail::DKIM::Signer->new(KeyFile => $keyfile, Policy => sub {
    my $signer = shift;
    $signer->add_signature(Mail::DKIM::DkSignature->new(Algorithm => 'rsa-sha1',
        Method => 'nofws', Headers => $signer->headers, Domain => 'example.com',
        Selector => 'sel')) if $kind ne 'dkim';
    $signer->add_signature(Mail::DKIM::Signature->new(Algorithm => 'rsa-sha256',
        Method => 'relaxed', Headers => $signer->headers, Domain => 'example.com',
        Selector => 'sel')) if $kind ne 'domainkeys';
    return; });
binmode STDIN; { local $/; $signer->PRINT(scalar <STDIN>); } $signer->CLOSE;
print $_->as_string, "\r\n" for reverse $signer->signatures;
"""


def signed_by_mail_dkim(directory):
    judges.mail_dkim(b"From: a@example.com\r\n\r\n", {})        # skips if it is missing
    path = directory / "rsa.pem"
    path.write_bytes(openssl_pkcs1())
    fields = subprocess.run(["perl", "-e", PERL_SIGNER, str(path), "both"], check=True,
                            input=MESSAGE.replace(b"\n", b"\r\n"), stdout=subprocess.PIPE).stdout
    return fields.replace(b"\r\n", b"\n") + MESSAGE, GOOD


def signed_by_opendkim(directory):
    """By libopendkim: opendkim-testmsg can't do rsa-sha256."""
    library = judges.libopendkim()
    library.dkim_sign.restype = ctypes.c_void_p
    handle = ctypes.c_void_p(library.dkim_init(None, None))
    status = ctypes.c_int(-1)
    relaxed = rsa_sha256 = 1        # dkim.h
    session = ctypes.c_void_p(library.dkim_sign(
        handle, b"message", None, openssl_pkcs1(), b"sel", b"example.com", relaxed, relaxed,
        rsa_sha256, ctypes.c_ssize_t(-1), ctypes.byref(status)))
    text = MESSAGE.replace(b"To:", b"Date: Thu, 05 May 2005 11:59:09 -0700\nTo:")
    for data in (text.replace(b"\n", b"\r\n"), None):
        assert library.dkim_chunk(session, data, ctypes.c_size_t(len(data or b""))) == 0
    assert library.dkim_eom(session, None) == 0
    value, length = ctypes.c_char_p(), ctypes.c_size_t()
    library.dkim_getsighdr_d(session, ctypes.c_size_t(16), ctypes.byref(value),
                             ctypes.byref(length))
    field = b"DKIM-Signature: " + value.value[:length.value].replace(b"\r\n", b"\n") + b"\n"
    library.dkim_free(session)
    library.dkim_close(handle)
    return field + text, GOOD


SIGNERS = [signed_by_us, signed_by_dkimpy, signed_by_mail_dkim, signed_by_opendkim,
           lambda directory: (dkim_signed(domainkeys_signed()), GOOD)]


@pytest.mark.parametrize("signer", SIGNERS)
def test_what_others_sign_passes_and_a_changed_byte_never_does(signer, tmp_path):
    text, records = signer(tmp_path)
    now = int(time.time())      # some signers' t= is the clock's
    found = examine(text, records, now=now)
    assert found.results and {result.status for result in found.results} == {"pass"}
    source = random.Random(1)
    values = b64_spans(text)
    for at in source.sample(sorted(covered(text)), 150):
        changed = text[:at] + other_letter(source, text[at:at + 1]) + text[at + 1:]
        number = [span for span, (start, end) in enumerate(values) if start <= at < end]
        statuses = [result.status for result in examine(changed, records, now=now).results]
        if number:      # in a signature's own value: the others do not cover it all
            assert statuses[number[0]] != "pass", (at, changed)
        else:
            assert "pass" not in statuses, (at, changed)


def covered(text):
    """Indexes of letters and digits of what every signer covers, and of the values of b=."""
    spans = b64_spans(text)
    for start in (b"\nFrom: ", b"\nTo: ", b"\nSubject: "):
        begin = text.index(start) + len(start)
        spans.append((begin, text.index(b"\n", begin)))
    spans.append((text.index(b"\n\n"), len(text)))
    return {at for begin, end in spans for at in range(begin, end) if text[at:at + 1].isalnum()}


def b64_spans(text):
    """(start, end) of the value of b= of each signature, from top to bottom."""
    header, _ = message.split([text])
    spans, at = [], 0
    for name, field in header.fields:
        if name in examination.PROTOCOLS:
            tags = field.split(b";")
            offset = at
            for tag in tags:
                if tag.partition(b":")[2].strip().startswith(b"b=") or tag.strip()[:2] == b"b=":
                    start = offset + tag.index(b"b=") + 2
                    spans.append((start, offset + len(tag)))
                offset += len(tag) + 1
        at += len(field)
    return spans


def other_letter(source, byte):
    """Another letter or digit; not only its other case, which a name may take."""
    while True:
        other = source.choice(b"abcdefghijklmnopqrstuvwxyz0123456789").to_bytes(1, "big")
        if other != byte.lower():
            return other


@pytest.mark.parametrize("key, text", [
    (golden_rsa(), dkim_signed()), (golden_rsa(), domainkeys_signed()),
    (Ed25519(), dkim_signed(key=Ed25519()))])
def test_a_changed_byte_of_the_key_never_passes(key, text):
    record = key.record()
    assert examine(text, {NAME: record}).letter == "A"
    source = random.Random(2)
    start = record.index("p=") + 2
    for at in range(start, len(record)):
        changed = record[:at] + source.choice("ABCxyz019+/=? ".replace(record[at], ""))
        changed += record[at + 1:]
        assert examine(text, {NAME: changed}).letter in "BEG", (at, changed)


def test_golden_messages_pass():
    paths = glob.glob(os.path.join(os.path.dirname(signing.KEYS), "*.signed"))
    assert paths
    for path in paths:
        with open(path, "rb") as file:
            text = file.read()
        names = {}
        for name, field in signing.fields(text):
            if name.lower() in ("dkim-signature", "domainkey-signature"):
                tags = signing.tags(field)
                pem = "ed25519.pem" if tags["a"].startswith("ed") else "rsa.pem"
                names[f"{tags['s']}._domainkey.{tags['d']}"] = signing.record(signing.key(pem))
        found = examine(text, names, now=signing.NOW)
        assert {result.status for result in found.results} <= {"pass"}, (path, found.results)
