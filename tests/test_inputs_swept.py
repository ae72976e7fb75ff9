# SPDX-License-Identifier: MIT
"""All that the programs are given beside the message, in every odd shape.

Keys, control files, descriptors, limits, the clock, the environment, signals: a
delivery ends as K with the right message sent or as Z with none, the verifier
with the whole message queued or with a code that its caller takes for temporary.
"""

import os
import posix
import random
import resource
import signal
import socket
import subprocess
import threading
import time
from unittest import mock

import pytest

from lib import crypto, keys, message, settings, spool
from lib.errors import CryptoTrouble, KeyTrouble
from tests import judges, queue_driver, rspawn, signing, verifying
from tests.test_deliveries import SMALL, Host, limited

RSA, ED25519 = signing.key("rsa.pem"), signing.key("ed25519.pem")
GOOD = verifying.dkim_signed()


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


@pytest.fixture
def verifier(tmp_path):
    found = queue_driver.Host(tmp_path)
    # Nobody listens there: the result is a temporary one, which is accepted.
    found.environment.update(DKVERIFY="BCDEGIJK", DNSCACHEIP="127.0.0.1#1")
    return found


def assert_sent_or_deferred(host, result):
    assert result.verdict in "KZ", result
    if result.verdict == "K":
        assert host.sent_signed() or host.sent == host.message.read_bytes()
    else:
        assert host.sent is None


def assert_queued_or_temporary(outcome, text=GOOD):
    """As qmail_close() in qmail.c reads the code; -> the code."""
    assert not 11 <= outcome.code <= 40 and outcome.code != 99, outcome
    if outcome.code == 0:
        assert outcome.queued["message"].endswith(text)
        assert outcome.queued["envelope"] == queue_driver.ENVELOPE
    else:
        assert not outcome.queued, outcome
    return outcome.code


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


@pytest.mark.parametrize("backend, step", [("crypto_openssl", 1), ("crypto_package", 60)])
def test_a_damaged_rsa_key_never_gives_a_wrong_signature(monkeypatch, backend, step):
    """RFC 8017: there is one right signature.  A wrong one could give the key away."""
    module = __import__(f"lib.{backend}", fromlist=["lib"])
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


# Control files

SIGNERS = ("DKSIGN", "DKPROTOCOLS", "DKIMCANON", "DKIMHEADERS", "DKIMIDENTITY", "DKIMEXPIRE",
           "DKONERROR", "DKREMOTE")
VERIFIERS = ("DKVERIFY", "DKQUEUE", "DKAUTHSERVID", "DKTIMEOUT", "DKPOLICY", "DKRSAMIN",
             "DKREASON", "DNSCACHEIP")

SHAPES = {
    "empty": b"", "a blank line": b" \n", "NUL": b"\0\n", "8-bit": b"\xff\xfe\n",
    "digits": b"9" * 5000, "a long line": b"x" * 1_000_000, "CR LF": b"no\r\n",
    "format": b"%s%n{0}\n", "path": b"../../etc/passwd\n", "quotes": b"\"'`$(touch /tmp/x)\n",
}


def fifo(path):
    os.mkfifo(path)


def loop(path):
    path.symlink_to(path.name)


def nowhere(path):
    path.symlink_to("nowhere")


def device(path):
    path.symlink_to("/dev/null")


def listening(path):
    here = os.getcwd()
    os.chdir(path.parent)       # for the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
    os.chdir(here)


KINDS = {function.__name__: function for function in (fifo, loop, nowhere, device, listening)}
KINDS["directory"] = os.mkdir


def shaped(path, shape):
    if shape in KINDS:
        KINDS[shape](path)
    else:
        path.write_bytes(SHAPES[shape])


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
        if name not in ("DKSIGN", "DKPROTOCOLS") and result.verdict == "K":
            assert host.sent_signed(), name
        os.rmdir(path) if shape == "directory" else path.unlink()


@pytest.mark.parametrize("shape", [*SHAPES, *KINDS])
def test_control_files_of_the_verifier(verifier, shape):
    for name in VERIFIERS:
        saved = verifier.environment.pop(name, None)
        path = verifier.directory / "control" / name.lower()
        shaped(path, shape)
        reached = verifier.smtpd(verifying.MESSAGE if name != "DNSCACHEIP" else GOOD)
        # A message without signature is C; only where nothing says to verify is it queued.
        if name == "DKVERIFY":
            assert_queued_or_temporary(reached, verifying.MESSAGE)
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


# Limits

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
        (_, _, data, _), = keys.key_files(b"example.com", signer.environment["DKSIGN"])
    assert data == RSA
