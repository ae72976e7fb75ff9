# SPDX-License-Identifier: MIT
"""What the signing path imports: it runs once per delivery, so nothing slow."""

import os
import subprocess
import sys

import pytest
import signing

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCRIPT = os.path.join(ROOT, "qmail_remote_dk.py")

# Each costs 10 ms or more, or is the verifier's.
SLOW = {"dns", "dkim", "email", "logging", "argparse", "subprocess", "re", "dataclasses", "typing",
        "enum", "socket", "base64", "hashlib", "json", "tempfile", "cryptography", "nacl"}

MESSAGE = b"From: alice@example.com\nSubject: x\n\nhello\n"


def imported(tmp_path, message, **environment):
    """-> (modules that the script imported up to its hand-over, what was handed on)."""
    original = tmp_path / "qmail-remote.orig"
    original.write_text("#!/bin/sh\necho handed over >&2\nexec cat\n")
    original.chmod(0o755)
    path = tmp_path / "message"
    path.write_bytes(message)
    with open(path, "rb") as file:
        process = subprocess.run(
            [sys.executable, "-IS", "-X", "importtime", SCRIPT, "mx.example.net",
             "alice@example.com", "bob@example.net"],
            stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
            env={"PATH": os.environ["PATH"], "DKREMOTE": str(original), **environment})
    report, _, after = process.stderr.decode().partition("handed over")
    assert after, "the script did not get as far as its hand-over"
    modules = {line.rpartition("|")[2].strip() for line in report.splitlines()
               if line.startswith("import time:")}
    return modules, process.stdout


def slow(modules):
    return {module for module in modules if module.partition(".")[0] in SLOW}


@pytest.mark.parametrize("keys", [signing.EXAMPLE, signing.EXAMPLE_BOTH], ids=["RSA", "both"])
def test_signed(tmp_path, keys):
    signer = signing.Signer(tmp_path, keys)
    modules, handed_on = imported(tmp_path, MESSAGE, **signer.environment)
    assert handed_on.startswith(b"DKIM-Signature:") and handed_on.endswith(MESSAGE)
    if not modules & {"lib.crypto_openssl"}:
        pytest.skip("needs libcrypto where ctypes finds it")
    assert {"lib.outbound", "lib.dkim_sign", "lib.domainkeys_sign"} <= modules
    assert not slow(modules)


def test_unsigned(tmp_path):
    """A domain without a key pays for no crypto library either."""
    modules, handed_on = imported(tmp_path, MESSAGE, DKSIGN=f"{tmp_path}/%/default")
    assert handed_on == MESSAGE
    assert "lib.outbound" in modules
    assert not slow(modules)
    assert not modules & {"ctypes", "lib.crypto", "lib.crypto_openssl", "lib.dkim_sign",
                          "_hashlib", "syslog"}


def test_the_list_is_seen(tmp_path):
    """Were re imported, this would show it."""
    report = subprocess.run([sys.executable, "-IS", "-X", "importtime", "-c", "import re"],
                            stderr=subprocess.PIPE).stderr.decode()
    assert "re" in slow(line.rpartition("|")[2].strip() for line in report.splitlines())
