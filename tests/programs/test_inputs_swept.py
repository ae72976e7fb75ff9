# SPDX-License-Identifier: MIT
"""What the programs are given beside the message, in every odd shape.

Keys, control files, descriptors: a delivery ends as K with the right message sent
or as Z with none, the verifier with the whole message queued or with a code that
its caller takes for temporary.
"""

import os
import random
import resource
import socket
import subprocess
import threading

import pytest

from lib import crypto, settings
from lib.errors import CryptoTrouble, KeyTrouble
from tests.support import queue_driver, rspawn, signing, verifying
from tests.support.deliveries import SMALL, host, limited      # noqa: F401
from tests.support.odd_inputs import (      # noqa: F401
    GOOD, KINDS, SHAPES, SIGNERS, WHO_SIGNS, assert_queued_or_temporary,
    assert_sent_or_deferred, shaped, verifier,
)

RSA, ED25519 = signing.key("rsa.pem"), signing.key("ed25519.pem")


# Key files

def outcome(data, digest=b"x" * 32):
    """What a key file gives: a signature, or None for a trouble."""
    try:
        return crypto.load_private_key(data).sign("sha256", digest)
    except (KeyTrouble, CryptoTrouble):
        return None


def damaged(pem, step=1):
    """The file with each of its bytes changed, and cut at each."""
    source = random.Random(1)
    for at in range(0, len(pem), step):
        yield pem[:at] + bytes((pem[at] ^ 1 << source.randrange(8),)) + pem[at + 1:]
        yield pem[:at]
        yield pem[:at] + pem[at + 1:]


@pytest.mark.parametrize("backend, step", [("openssl", 1), ("package", 60)])
def test_a_damaged_rsa_key_never_gives_a_wrong_signature(monkeypatch, backend, step):
    """RFC 8017: there is one right signature.  A wrong one could give the key away."""
    module = __import__(f"lib.crypto.{backend}", fromlist=["lib"])
    monkeypatch.setattr(crypto, "backend", lambda: module)
    right = outcome(RSA)
    found = [outcome(data) for data in damaged(RSA, step)]
    assert right is not None and set(found) <= {None, right}
    assert found.count(None) > len(found) * 0.5


def test_a_damaged_ed25519_key_is_another_one_or_none():
    """Its seed has no redundancy: only `qmail-dk check` can tell, by the DNS."""
    for data in [*damaged(ED25519), *damaged(b"A" * 43 + b"=\n")]:
        signature = outcome(data)
        assert signature is None or len(signature) == 64


VERIFIERS = ("DKVERIFY", "DKQUEUE", "DKAUTHSERVID", "DKTIMEOUT", "DKPOLICY", "DKRSAMIN",
             "DKREASON", "DNSCACHEIP")


@pytest.mark.parametrize("shape", [*SHAPES, *KINDS])
def test_control_files_of_the_signer(host, shape):
    for name in SIGNERS:
        environment = {key: value for key, value in host.environment.items() if key != name}
        if name == "DKREMOTE":      # the default is this path under qmail's home
            environment["PATH"] = "/nowhere"
        (host.directory / "sent").unlink(missing_ok=True)
        path = host.directory / "control" / name.lower()
        shaped(path, shape)
        result = rspawn.deliver([host.launcher], host.message, environment)
        assert_sent_or_deferred(host, result)
        if name not in WHO_SIGNS and result.verdict == "K":
            assert host.sent_signed(), name
        os.rmdir(path) if shape == "directory" else path.unlink()


@pytest.mark.parametrize("shape", [*SHAPES, *KINDS])
def test_control_files_of_the_verifier(verifier, shape):
    for name in VERIFIERS:
        saved = verifier.environment.pop(name, None)
        path = verifier.directory / "control" / name.lower()
        shaped(path, shape)
        message = verifying.MESSAGE if name != "DNSCACHEIP" else GOOD
        reached = verifier.smtpd(message)
        # A message without signature is C; only where nothing says to verify is it queued, or
        # where the host's own name server is asked for a key and does not answer.
        if name == "DKVERIFY" or name == "DNSCACHEIP" and reached.code != 31:
            assert_queued_or_temporary(reached, message)
        else:
            assert reached.code == 31 or assert_queued_or_temporary(reached), (name, reached)
        os.rmdir(path) if shape == "directory" else path.unlink()
        for file in (verifier.directory / "queued").iterdir():
            file.unlink()
        if saved is not None:
            verifier.environment[name] = saved


def test_the_first_line_of_a_fifo_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "dkverify")
    assert settings.Settings({}, str(tmp_path)).letters() == ""


# Descriptors

def kinds_of_message(directory, data):
    """Yields (what it is, descriptor)."""
    read_end, write_end = os.pipe()
    threading.Thread(target=queue_driver.feed, args=(write_end, [data], 0), daemon=True).start()
    yield "pipe", read_end
    ours, theirs = socket.socketpair()
    ours.sendall(data)
    ours.close()
    yield "socket", theirs.detach()
    yield "directory", os.open(directory, os.O_RDONLY)
    yield "/dev/null", os.open("/dev/null", os.O_RDONLY)
    (directory / "write-only").write_bytes(data)
    yield "write only", os.open(directory / "write-only", os.O_WRONLY)
    yield "path only", os.open(directory, os.O_PATH)
    yield "closed", None


def test_descriptor_0_of_the_signer(host):
    verdicts = {}
    for kind, fd in kinds_of_message(host.directory, SMALL):
        (host.directory / "sent").unlink(missing_ok=True)
        process = subprocess.run(
            [host.launcher, "example.net", "joe@example.com", "jane@example.net"],
            stdin=fd, stdout=subprocess.PIPE, env=host.environment,
            preexec_fn=(lambda: os.close(0)) if fd is None else None)
        result = rspawn.verdict(rspawn.wait_status(process.returncode), process.stdout)
        verdicts[kind] = result.verdict
        if kind in ("pipe", "socket"):
            assert host.sent_signed()
        elif kind == "/dev/null":
            assert host.sent == b""
        else:
            assert host.sent is None, kind
        if fd is not None:
            os.close(fd)
    assert verdicts == {"pipe": "K", "socket": "K", "/dev/null": "K", "directory": "Z",
                        "write only": "Z", "path only": "Z", "closed": "Z"}


def test_descriptor_0_of_the_verifier(verifier):
    codes = {}
    for kind, fd in kinds_of_message(verifier.directory, GOOD):
        if fd is None:
            verifier.prefix = ["/bin/sh", "-c", 'exec "$@" 0<&-', "sh"]
            verifier.descriptors = {}
        else:
            verifier.descriptors = {0: fd}
        reached = verifier.smtpd(b"")
        codes[kind] = reached.code
        if kind in ("pipe", "socket"):
            assert reached.queued["message"].endswith(GOOD)
        else:
            assert not reached.queued, kind
        if fd is not None:
            os.close(fd)
        for file in (verifier.directory / "queued").iterdir():
            file.unlink()
    assert (codes["pipe"], codes["socket"]) == (0, 0)
    assert codes.pop("/dev/null") == 31         # an empty message, without signature
    assert not [code for code in codes.values() if 11 <= code <= 40]


@pytest.mark.parametrize("redirection", ["1>&-", "1>/dev/full", "1>&- 2>&-", "0<&- 1>&- 2>&-"])
def test_report_that_nobody_gets(host, redirection):
    host.original.unlink()
    with open(host.message, "rb") as file:
        process = subprocess.run(
            ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", host.launcher, "h",
             "s@example.com", "r"], stdin=file, env=host.environment)
    # Without a report, qmail-rspawn defers, too.
    assert rspawn.verdict(rspawn.wait_status(process.returncode), b"").verdict == "Z"


@pytest.mark.parametrize("room", [1, 10, 40])
def test_report_that_is_cut_short(host, room):
    """With exit code 0 qmail-rspawn would find no report in it, and bounce."""
    host.original.unlink()
    report = host.directory / "report"
    with open(host.message, "rb") as file, open(report, "wb") as written:
        process = subprocess.run(
            [rspawn.PYTHON, "-IS", "-X", f"qmail={host.directory}", rspawn.SCRIPT, "h",
             "s@example.com", "r"], stdin=file, stdout=written, env=host.environment,
            preexec_fn=limited(resource.RLIMIT_FSIZE, room))
    assert len(report.read_bytes()) == room
    status = rspawn.wait_status(process.returncode)
    assert rspawn.verdict(status, report.read_bytes()).verdict == "Z"
