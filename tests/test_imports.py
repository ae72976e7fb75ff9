# SPDX-License-Identifier: MIT
"""What runs once per message imports nothing slow: the signer, and the verifier's short ways."""

import os
import subprocess
import sys

import pytest
import signing

from tests import dns_server, queue_driver, resident, verifying

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCRIPT = os.path.join(ROOT, "qmail_remote_dk.py")

# Each costs 10 ms or more, os 2.5 ms, or is the verifier's.
SLOW = {"os", "dns", "dkim", "email", "logging", "argparse", "subprocess", "re", "dataclasses",
        "typing", "enum", "socket", "base64", "hashlib", "json", "tempfile", "cryptography", "nacl"}

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
    return named(report), process.stdout


def named(report):
    """The modules in what -X importtime says."""
    return {line.rpartition("|")[2].strip() for line in report.splitlines()
            if line.startswith("import time:")}


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
    """Were re or os imported, this would show it."""
    report = subprocess.run([sys.executable, "-IS", "-X", "importtime", "-c", "import re, os"],
                            stderr=subprocess.PIPE).stderr.decode()
    assert {"re", "os"} <= slow(named(report))


@pytest.fixture
def verifier(tmp_path):
    """A host whose verifier says what it imports."""
    host = queue_driver.Host(tmp_path)
    host.python[1:1] = ["-X", "importtime"]
    return host


def test_not_verified(verifier):
    outcome = verifier.smtpd(MESSAGE)
    assert outcome.queued["message"] == MESSAGE
    modules = named(outcome.log.decode())
    assert "lib.queueing" in modules
    assert not slow(modules) and not modules & {"lib.incoming", "lib.inbound", "_socket"}


def test_verified_by_the_resident_verifier(verifier):
    zone = {verifying.NAME: [verifying.golden_rsa().record()]}
    with dns_server.DnsServer(zone) as dns, resident.Resident(dns.address) as server:
        verifier.environment.update(DKVERIFY="-", DKSERVER=server.path)
        outcome = verifier.smtpd(verifying.dkim_signed())
    assert b"; resident\n" in outcome.log and b"dkim=pass" in outcome.queued["message"]
    modules = named(outcome.log.decode())
    assert "lib.resident_exchange" in modules
    assert not slow(modules) and not modules & {
        "lib.inbound", "lib.lookups", "lib.crypto", "lib.authentication_results"}
