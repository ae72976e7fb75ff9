# SPDX-License-Identifier: MIT
"""Limits, the clock, the environment, signals and short reads, for both programs.

A delivery ends as K with the right message sent or as Z with none, the verifier
with the whole message queued or with a code that its caller takes for temporary.
"""

import os
import posix
import random
import resource
import signal
import threading
import time
from unittest import mock

import pytest

from lib.mail import message
from lib.qmail import spool
from lib.signing import key_files
from tests.support import judges, queue_driver, rspawn, signing, verifying
from tests.support.deliveries import SMALL, host, limited      # noqa: F401
from tests.support.odd_inputs import GOOD, assert_queued_or_temporary, verifier      # noqa: F401

RSA = signing.key("rsa.pem")

LIMITS = {
    "RLIMIT_NOFILE": range(3, 20, 2), "RLIMIT_DATA": (1 << 20, 4 << 20, 16 << 20, 64 << 20),
    "RLIMIT_STACK": (1 << 14, 1 << 16, 1 << 20), "RLIMIT_CPU": (0, 1), "RLIMIT_CORE": (0,),
    "RLIMIT_FSIZE": (0, 1, 4096), "RLIMIT_MEMLOCK": (0,), "RLIMIT_NPROC": (0, 1),
    "RLIMIT_AS": (10 << 20, 30 << 20, 50 << 20, 100 << 20),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limits_of_the_signer(host, name):
    """Not below what sh itself needs to start: see README."""
    for value in LIMITS[name]:
        if name == "RLIMIT_NOFILE" and value < 12 or name == "RLIMIT_STACK" and value < 1 << 20:
            continue
        (host.directory / "sent").unlink(missing_ok=True)
        result = host.deliver(preexec_fn=limited(getattr(resource, name), value))
        # What is too little for our programs may be too little for the original, an sh script.
        if result.verdict == "K" or host.sent is not None and name != "RLIMIT_FSIZE":
            assert host.sent_signed(), (name, value, result)
        assert result.verdict in "KZ", (name, value, result)


# The options of sh's ulimit, and how many bytes its unit has.
ULIMIT = {"RLIMIT_NOFILE": ("n", 1), "RLIMIT_DATA": ("d", 1024), "RLIMIT_STACK": ("s", 1024),
          "RLIMIT_CPU": ("t", 1), "RLIMIT_CORE": ("c", 512), "RLIMIT_FSIZE": ("f", 512),
          "RLIMIT_MEMLOCK": ("l", 1024), "RLIMIT_AS": ("v", 1024)}


@pytest.mark.parametrize("name", ULIMIT)
def test_limits_of_the_verifier(verifier, name):
    option, unit = ULIMIT[name]
    for value in LIMITS[name]:
        verifier.prefix = ["/bin/sh", "-c", f'ulimit -{option} {value // unit}; exec "$@"', "sh"]
        reached = verifier.qfilter(GOOD)
        assert not 11 <= reached.code <= 40 and reached.code != 99, (name, value, reached)
        if reached.code == 0:
            assert reached.output.endswith(GOOD) and b"dkim=temperror" in reached.output


# The clock

@pytest.mark.parametrize("now", [0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 4_300_000_000,
                                 253_402_300_800])
def test_clock(tmp_path, now):
    """1970, 2038, 2106 and the year 10000, on both sides."""
    signer = signing.Signer(tmp_path, DKIMEXPIRE="86400")
    signed = signer.sign(SMALL, now=now)
    assert signing.tags(signing.fields(signed)[0][1])["t"] == str(now)
    statuses = {}
    for verified in (now, now + 86400, now + 86401, now - 40000):
        results = verifying.examine(signed, signer.records, now=verified).results
        statuses[verified - now] = results[0].status
        assert results[1].status == "pass"      # DomainKeys knows no time
    assert statuses == {0: "pass", 86400: "pass", 86401: "fail", -40000: "policy"}


# The environment

ENVIRONMENTS = [
    {"LC_ALL": "C"}, {"LC_ALL": "POSIX", "LANG": "x"}, {"LC_ALL": "tr_TR.UTF-8"},
    {"LC_ALL": "ja_JP.SJIS"}, {"LANG": "\udcff"}, {"TZ": "../../etc/passwd"}, {"TZ": "\udcff"},
    {"HOME": ""}, {"HOME": "/nonexistent"}, {"HOME": "\udcff"}, {"PATH": ""}, {"IFS": "/"},
    {"X": "x" * 100_000}, {"\udcff": "\udcff"}, {"TMPDIR": ""}, {"TMPDIR": "/nonexistent"},
    {"OPENSSL_CONF": "/nonexistent"}, {"OPENSSL_CONF": "/etc/passwd"}, {"MALLOC_PERTURB_": "165"},
    {"PS4": "$(touch ran)", "SHELLOPTS": "xtrace"}, {"CDPATH": "/"}, {"_": ""},
]


@pytest.mark.parametrize("odd", ENVIRONMENTS, ids=lambda odd: ascii(odd)[:30])
def test_environment_of_the_signer(host, odd):
    result = rspawn.deliver([host.launcher], host.message, {**host.environment, **odd})
    if odd.get("PATH") == "":
        assert result.verdict in "KZ"       # the original is a script, which needs some
    else:
        assert result.verdict == "K" and host.sent_signed()


@pytest.mark.parametrize("odd", ENVIRONMENTS, ids=lambda odd: ascii(odd)[:30])
def test_environment_of_the_verifier(verifier, odd):
    verifier.environment.update(odd)
    assert assert_queued_or_temporary(verifier.smtpd(GOOD)) == 0


# Signals

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM, signal.SIGINT, signal.SIGKILL)


def later(process, number, delay):
    """Sends a signal to a process after so many seconds, if it is still there."""
    def send():
        time.sleep(delay)
        try:
            os.kill(process, number)
        except ProcessLookupError:
            pass
    threading.Thread(target=send, daemon=True).start()


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_signals_to_the_signer(host, number):
    """The interpreter gets it, at a random moment before or while the original runs."""
    python = host.program("python", f"""#!/bin/sh
(sleep "$DELAY"; kill -{number.name[3:]} $$) >/dev/null 2>&1 3>&- &
exec '{rspawn.PYTHON}' "$@"
""")
    rspawn.install_launcher(host.directory, python=python)
    for _ in range(8):
        for name in ("sent", "arguments"):
            (host.directory / name).unlink(missing_ok=True)
        host.environment["DELAY"] = f"{random.uniform(0, 0.06):.3f}"
        result = host.deliver()
        assert result.verdict in "KZ"
        if result.verdict == "K":
            assert host.sent_signed()
        elif not (host.directory / "arguments").exists():
            assert host.sent is None        # the original, once it runs, is on its own


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_signals_to_the_verifier(verifier, number):
    verifier.environment["DKVERIFY"] = "-"
    started = queue_driver.start
    for _ in range(8):
        def start(*arguments):
            process = started(*arguments)
            later(process, number, random.uniform(0, 0.25))
            return process
        with mock.patch.object(queue_driver, "start", start):
            reached = verifier.qfilter(GOOD)
        assert not 11 <= reached.code <= 40 and reached.code != 99, reached
        if reached.code == 0:
            assert reached.output.endswith(GOOD) and b"dkim=temperror" in reached.output


# Reads and writes that do less than was asked

def test_short_reads_and_writes(tmp_path, monkeypatch):
    source = random.Random(2)
    read, pread, write = os.read, os.pread, os.write
    signer = signing.Signer(tmp_path / "keys")
    text = SMALL + b"A line.\n" * 2000
    expected = signer.sign(text)
    monkeypatch.setattr(posix, "pread", lambda fd, size, at: pread(fd, source.randint(1, size), at))
    monkeypatch.setattr(posix, "write", lambda fd, data: write(fd, data[:source.randint(1, 700)]))
    assert signer.sign(text) == expected
    with open(tmp_path / "message", "wb") as file:
        file.write(expected)
    with open(tmp_path / "message", "rb") as file:
        file.seek(1)        # so that it is copied
        monkeypatch.setattr(posix, "read", lambda fd, size: read(fd, source.randint(1, 300)))
        copy = spool.from_start(file.fileno())
    monkeypatch.undo()
    with open(copy, "rb") as file:
        assert file.read() == expected[1:]
    verdicts = judges.dkimpy(expected.replace(b"\n", b"\r\n"), signer.records)
    assert [verdict.result for verdict in verdicts] == ["pass"]


def test_a_message_that_shrinks_is_not_sent(tmp_path):
    path = tmp_path / "message"
    path.write_bytes(SMALL * 5000)
    with open(path, "rb+") as file:
        chunks = message.chunks(file.fileno())
        next(chunks)
        file.truncate(1000)
        with pytest.raises(OSError, match="ends before"):
            list(chunks)


def test_a_key_that_is_replaced_is_read_whole(tmp_path):
    """Rotation is by relink: a file once opened stays what it was."""
    signer = signing.Signer(tmp_path)
    path = tmp_path / "example.com" / "s2026a"
    opened = posix.open

    def replaced(name, flags, *mode):
        fd = opened(name, flags, *mode)
        if os.fsdecode(name) == str(path):
            path.unlink()
            path.write_bytes(b"half a ")
        return fd
    with mock.patch("posix.open", replaced):
        (_, _, data, _), = key_files.key_files(b"example.com", signer.environment["DKSIGN"])
    assert data == RSA
