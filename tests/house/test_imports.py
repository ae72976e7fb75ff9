# SPDX-License-Identifier: MIT
"""What runs once per message imports nothing slow: the signer, and the verifier's short ways."""

import os
import re
import subprocess
import sys

import pytest
from tests.support import signing

from tests.support import verifier as one_shot
from tests.support import dns_server, queue_driver, resident, verifying
from tests.support.resident_verifier import ZONE

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
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
    if not modules & {"lib.crypto.openssl"}:
        pytest.skip("needs libcrypto where ctypes finds it")
    assert {"lib.signing.outbound", "lib.signing.dkim", "lib.signing.domainkeys"} <= modules
    assert not slow(modules)


def test_unsigned(tmp_path):
    """A domain without a key pays for no crypto library either."""
    modules, handed_on = imported(tmp_path, MESSAGE, DKSIGN=f"{tmp_path}/%/default")
    assert handed_on == MESSAGE
    assert "lib.signing.outbound" in modules
    assert not slow(modules)
    bare = subprocess.run([sys.executable, "-IS", "-X", "importtime", "-c", "pass"],
                          stderr=subprocess.PIPE).stderr.decode()
    assert not (modules - named(bare)) & {"io", "abc", "codecs"}    # some Pythons start with them
    assert not modules & {"ctypes", "lib.crypto", "lib.crypto.openssl", "lib.signing.dkim",
                          "_hashlib", "syslog", "lib.mail.author", "lib.signing.clients",
                          "lib.signing.forwarded", "_socket"}


@pytest.mark.parametrize("verb", ["log", "reports", "reports add"])
def test_light_verbs(verb):
    """They import nothing that only others need; reports add runs for each message."""
    done = subprocess.run([sys.executable, "-IS", "-X", "importtime",
                           os.path.join(ROOT, "lib", "qmail_dk.py"), *verb.split(), "--help"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "usage: qmail-dk " + verb in done.stdout
    modules = named(done.stderr)
    assert "lib.admin.report_verbs" in modules
    assert not modules & {"lib.admin.verbs", "lib.admin.key_verbs", "lib.admin.reflect",
                          "lib.signing.outbound", "email", "subprocess", "dns", "dkim"}


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
    assert "lib.qmail.queue" in modules
    assert not slow(modules) and not modules & {
        "lib.verifying.inbound", "lib.verifying.examination", "_socket"}


def test_verified_by_the_resident_verifier(verifier):
    zone = {verifying.NAME: [verifying.golden_rsa().record()]}
    with dns_server.DnsServer(zone) as dns, resident.Resident(dns.address) as server:
        verifier.environment.update(DKVERIFY="-", DKSERVER=server.path)
        for _ in range(60):     # on a busy machine, an answer may come too late
            outcome = verifier.smtpd(verifying.dkim_signed())
            if b"; resident\n" in outcome.log:
                break
    assert b"; resident\n" in outcome.log and b"dkim=pass" in outcome.queued["message"]
    modules = named(outcome.log.decode())
    assert "lib.verifying.exchange" in modules
    assert not slow(modules) and not modules & {
        "lib.verifying.examination", "lib.lookup.budget", "lib.crypto",
        "lib.mail.authentication_results"}


# Serves messages as a worker does -> what it imported for them.  argv: the checkout,
# DNSCACHEIP, files of messages
WORKER = """
import socket, sys
sys.path.insert(0, sys.argv[1])
from lib import maillog
from lib.verifyd import prefork, server
from lib.verifying import client, exchange, report
server.DNS_SECONDS = 6      # as tests/support/patient.py has it, which imports more
sender = client.Client(bytes((192, 0, 2, 7)), b"mail.example.com", b"a@example.com")
serve = server.ResidentVerifier(sys.argv[2]).serve
maillog.tell("are ready")
at_start = set(sys.modules)
for path in sys.argv[3:]:
    for dkpolicy, known in ((False, None), (True, None), (False, sender)):
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, its, open(path, "rb") as file:
            terms = report.Terms(1024, dkpolicy, b"mx.example.net", bool(known), known)
            socket.send_fds(ours, [exchange.request(terms)], [file.fileno()])
            serve(its)
print(*sorted(set(sys.modules) - at_start))
"""


def test_a_worker_of_the_resident_verifier_imports_nothing_any_more(tmp_path):
    """It may be a user that can't read the packages, and each of them would pay for it."""
    name = verifying.NAME.replace("sel.", "{}.").format
    zone = {**ZONE, name("alias"): {"cname": verifying.NAME},
            name("huge"): [one_shot.RECORD[0] + "; n=" + "x" * 3000],
            "sel._domainkey.xn--bcher-kva.example": one_shot.RECORD}
    messages = [
        *one_shot.MESSAGES.values(), *one_shot.ODD_MESSAGES.values(),
        b"".join(one_shot.FALSE) + MESSAGE, verifying.dkim_signed(key=verifying.Ed25519(), s="ed"),
        *[verifying.dkim_signed(s=selector) for selector in ("alias", "huge", "dead")],
        verifying.dkim_signed(d="b\u00fccher.example".encode().decode("latin-1")),
        verifying.domainkeys_signed(), verifying.domainkeys_signed(c="simple"),
        b"From: a@strict.example\n\ntext\n"]
    paths = [tmp_path / f"message{number}" for number in range(len(messages))]
    for path, text in zip(paths, messages):
        path.write_bytes(text)
    with dns_server.DnsServer(zone) as dns:
        done = subprocess.run(
            [sys.executable, "-IS", "-c", WORKER, resident.ROOT, dns.address, *paths],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True, text=True)
    assert set(re.findall(r": ([A-K]), \d+ bytes", done.stderr)) == set("ABCDEGJK"), done.stderr
    assert done.stdout.split() == []
