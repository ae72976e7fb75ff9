# SPDX-License-Identifier: MIT
"""What a key file may hold, and what is signed with it."""

import base64
import contextlib
import fcntl
import os
import pty
import subprocess
import sys
import termios

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519

from lib.errors import CryptoTrouble, KeyTrouble, Trouble
from lib.signing import key_files
from tests.support import judges, signing
from tests.support.key_trees import ED25519, MESSAGE, RSA, put


def pem(key, form=serialization.PrivateFormat.PKCS8, encryption=None):
    return key.private_bytes(serialization.Encoding.PEM, form,
                             encryption or serialization.NoEncryption())


RSA_KEY = serialization.load_pem_private_key(RSA, None)
ED25519_KEY = serialization.load_pem_private_key(ED25519, None)
SEED = ED25519_KEY.private_bytes(serialization.Encoding.Raw, serialization.PrivateFormat.Raw,
                                 serialization.NoEncryption())

# (key file, its algorithm)
GOOD = {
    "PKCS #1": (pem(RSA_KEY, serialization.PrivateFormat.TraditionalOpenSSL), "rsa"),
    "PKCS #8": (pem(RSA_KEY), "rsa"),
    "text before PEM": (b"RSA key of example.com\n" + RSA, "rsa"),
    "CR LF": (RSA.replace(b"\n", b"\r\n"), "rsa"),
    "Ed25519 PKCS #8": (ED25519, "ed25519"),
    "Ed25519 seed": (base64.b64encode(SEED), "ed25519"),    # as dkimpy's dknewkey writes it
    "Ed25519 seed, line": (base64.b64encode(SEED) + b"\n", "ed25519"),
}


@pytest.mark.parametrize("kind", GOOD)
def test_key_files_that_sign(tmp_path, kind):
    """By signing: the golden keys' records vouch for what was loaded."""
    data, algorithm = GOOD[kind]
    signer = signing.Signer(tmp_path, signing.EXAMPLE_BOTH, DKSIGN=f"{tmp_path}/%/tested")
    put(f"{tmp_path}/example.com/tested", data)
    selector = "s2026a" if algorithm == "rsa" else "ed2026a"
    record = signer.records[f"{selector}._domainkey.example.com"]
    records = {"tested._domainkey.example.com": record}
    signed = signer.sign(MESSAGE).replace(b"\n", b"\r\n")
    for judge in (judges.dkimpy, judges.opendkim):
        verdict, = judge(signed, records)
        assert verdict.result in ("pass", "unsupported"), (judge, verdict)
        assert verdict.algorithm.startswith(algorithm)


BAD = {
    "empty": b"",
    "garbage": b"\0\xff garbage",
    "base64 of another length": base64.b64encode(b"x" * 31),
    "base64 of a PKCS #8 without PEM": base64.b64encode(SEED * 3),
    "seed and more": base64.b64encode(SEED) + b" x",
    "PEM garbage": b"-----BEGIN RSA PRIVATE KEY-----\ngarbage\n-----END RSA PRIVATE KEY-----\n",
    "PEM cut short": RSA[:len(RSA) // 2],
    "PEM cut short, with its end": RSA[:800] + b"\n-----END RSA PRIVATE KEY-----\n",
    "public key": RSA_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    "certificate": b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    "encrypted PKCS #8": pem(RSA_KEY, encryption=serialization.BestAvailableEncryption(b"x")),
    "encrypted PKCS #1": pem(RSA_KEY, serialization.PrivateFormat.TraditionalOpenSSL,
                             serialization.BestAvailableEncryption(b"x")),
    "EC": pem(ec.generate_private_key(ec.SECP256R1())),
    "DSA": pem(dsa.generate_private_key(2048)),
    "larger than any key": b"x" * 100000,
}


@pytest.mark.parametrize("kind", BAD)
def test_key_files_that_do_not(tmp_path, kind):
    """A trouble that names the file, never a message sent unsigned."""
    signer = signing.Signer(tmp_path)
    put(f"{tmp_path}/example.com/s2026a", BAD[kind])
    with pytest.raises(KeyTrouble, match="example.com/s2026a"):
        signer.sign(MESSAGE)


@pytest.mark.parametrize("kind", ["encrypted PKCS #1", "encrypted PKCS #8"])
def test_encrypted_key_does_not_ask_on_the_terminal(tmp_path, kind):
    """Nor takes the empty passphrase for a wrong one after waiting for input."""
    put(f"{tmp_path}/k", BAD[kind])
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    terminal, its = pty.openpty()
    os.write(terminal, b"an answer\n")      # else what asks would wait

    def with_terminal():
        os.setsid()
        fcntl.ioctl(its, termios.TIOCSCTTY, 0)
    process = subprocess.run(
        [sys.executable, "-c", "import sys; sys.path.insert(0, sys.argv[1])\n"
         "open('/dev/tty', 'w').write('there is one; ')\n"
         "from lib import crypto\n"
         "try: crypto.load_private_key(open(sys.argv[2], 'rb').read())\n"
         "except crypto.KeyTrouble: open('/dev/tty', 'w').write('trouble')", root, f"{tmp_path}/k"],
        stdin=its, stdout=its, stderr=its, timeout=120, preexec_fn=with_terminal)
    os.close(its)
    said = b""
    with open(terminal, "rb", buffering=0) as output, contextlib.suppress(OSError):
        while True:         # up to EIO: nobody has the other side open any more
            said += output.read(1000)
    said = said.partition(b"\r\n")[2]      # behind the echo of the answer
    assert (said, process.returncode) == (b"there is one; trouble", 0)


def rsa_pem(bits):
    done = subprocess.run(["openssl", "genrsa", str(bits)], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL)
    if done.returncode:
        pytest.skip("openssl(1) makes no RSA key so small, as under FIPS")
    return done.stdout


@pytest.mark.parametrize("bits, signs", [(1024, "DKIM-Signature DomainKey-Signature"),
                                         (512, "DomainKey-Signature"),
                                         (1023, "DomainKey-Signature")])
def test_small_rsa_keys(tmp_path, bits, signs):
    """RFC 8301: none below 1024 bits for DKIM, and the log says so."""
    signer = signing.Signer(tmp_path)
    put(f"{tmp_path}/example.com/s2026a", rsa_pem(bits))
    fields = [name for name, _ in signing.fields(signer.sign(MESSAGE))]
    assert " ".join(fields[:-1]) == signs
    assert ("too few for DKIM" in signer.log[0]) == (bits < 1024)


def der(tag, content):
    """One element of DER (X.690 section 8.1), content up to 65535 bytes."""
    return bytes([tag, 0x82]) + len(content).to_bytes(2, "big") + content


def huge_rsa_pem(bits):
    """PKCS #1 of a number that is no key, for making one takes a minute."""
    numbers = [0, (1 << bits) - 1, 65537] + 6 * [3]
    content = b"".join(der(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))
                       for number in numbers)
    return (b"-----BEGIN RSA PRIVATE KEY-----\n" + base64.encodebytes(der(0x30, content))
            + b"-----END RSA PRIVATE KEY-----\n")


def test_large_rsa_keys(tmp_path):
    """Over what verifiers take; one of 16384 bits would cost a second for each delivery, too."""
    signer = signing.Signer(tmp_path)
    put(f"{tmp_path}/example.com/s2026a", huge_rsa_pem(9216))
    with pytest.raises(KeyTrouble, match="9216 bits|not a private key"):
        signer.sign(MESSAGE)


@pytest.mark.parametrize("mode, warned", [(0o640, False), (0o600, False), (0o644, True),
                                          (0o604, True)])
def test_keys_that_others_can_read(tmp_path, mode, warned):
    """Group-readable is normal: that is how qmailr reads them."""
    signer = signing.Signer(tmp_path)
    os.chmod(f"{tmp_path}/example.com/s2026a", mode)
    assert signer.sign(MESSAGE) != MESSAGE
    assert any("readable by others" in line for line in signer.log) == warned


def test_one_bad_key_of_two_is_a_trouble(tmp_path):
    signer = signing.Signer(tmp_path, signing.EXAMPLE_BOTH)
    put(f"{tmp_path}/example.com/ed2026a", b"garbage")
    with pytest.raises(Trouble, match="ed2026a"):
        signer.sign(MESSAGE)


def test_ed25519_alone_has_no_domainkeys(tmp_path):
    signer = signing.Signer(tmp_path, (("example.com", "ed", "ed25519.pem"),))
    assert [name for name, _ in signing.fields(signer.sign(MESSAGE))] == ["DKIM-Signature", "From"]


def test_ed25519_is_beneath_rsa(tmp_path):
    """RSA on top, for verifiers that look at one signature only; whatever DKSIGN's order."""
    signer = signing.Signer(tmp_path, tuple(reversed(signing.EXAMPLE_BOTH)))
    algorithms = [signing.tags(field)["a"] for name, field in signing.fields(signer.sign(MESSAGE))
                  if name == "DKIM-Signature"]
    assert algorithms == ["rsa-sha256", "ed25519-sha256"]


def test_generated_seed_is_used_as_one(tmp_path):
    """Not only the golden one: any 32 bytes are a seed."""
    key = ed25519.Ed25519PrivateKey.generate()
    seed = key.private_bytes(serialization.Encoding.Raw, serialization.PrivateFormat.Raw,
                             serialization.NoEncryption())
    put(f"{tmp_path}/k", base64.b64encode(seed))
    (_, files) = key_files.first_with_key([b"example.com"], f"{tmp_path}/k", {})
    loaded, = key_files.load(b"example.com", files)
    signature = loaded.private_key.sign("sha256", b"d" * 32)
    key.public_key().verify(signature, b"d" * 32)


def test_the_trouble_names_the_key_that_can_not_sign(monkeypatch, tmp_path):
    """Of several keys one may be damaged, or refused under FIPS."""
    put(f"{tmp_path}/k", RSA)
    (_, files) = key_files.first_with_key([b"example.com"], f"{tmp_path}/k", {})
    key, = key_files.load(b"example.com", files)
    monkeypatch.setattr(key.private_key.backend_key, "sign", lambda data: bytes(256))
    with pytest.raises(CryptoTrouble, match=f"^{tmp_path}/k: the signature just made"):
        key.sign("sha256", bytes(32))
