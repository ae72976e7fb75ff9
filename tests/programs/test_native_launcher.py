# SPDX-License-Identifier: MIT
"""The verifier's launcher in C: what it makes of answers, and what it leaves to Python.

The tests of the verifier in Python run with it as well (support/native.py, LAUNCHERS).
"""

import itertools
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

import pytest

from lib.mail import message
from lib.verifyd import packets
from lib.verifying import annotation, examination, exchange, inbound
from tests.support import corpus, lies, native, queue_driver, resident, verifier as one_shot
from tests.support.resident_verifier import GOOD, dns, server      # noqa: F401

pytestmark = pytest.mark.skipif(not native.COMPILERS, reason="needs a C compiler")

SANITIZED = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
LEFT = """#!/bin/sh
echo "left: $*" >&2
exit 111
"""
KEEP = """#!/bin/sh
exec cat >'{path}'
"""
FALSE = one_shot.FALSE


@pytest.fixture
def host(tmp_path):
    """A Host with the launcher that checks itself, where the compiler can make one."""
    host = queue_driver.Host(tmp_path)
    host.native = SANITIZED if can_sanitize() else ()
    host.environment["DKVERIFY"] = "-"
    return host


def can_sanitize():
    with tempfile.TemporaryDirectory() as directory:
        return not subprocess.run(
            [native.COMPILERS[0], "-fsanitize=address,undefined", "-x", "c", "-",
             "-o", directory + "/program"], input=b"int main(void) { return 0; }",
            capture_output=True).returncode


@pytest.fixture
def quick(host):
    """The Host, with shell scripts as the queue program and in the place of Python."""
    for name, text in (("left", LEFT), ("keep", KEEP.format(path=host.directory / "kept"))):
        path = host.directory / name
        path.write_text(text)
        path.chmod(0o755)
    host.python, host.program = [], [str(host.directory / "left")]
    host.environment["DKQUEUE"] = str(host.directory / "keep")
    return host


def kept(host, text, bad, answer):
    """Returns what the queue program gets where a server gives an answer, None if Python runs."""
    bad.behave = lambda connection, packet, fds: connection.send(answer)
    outcome = host.smtpd(text)
    assert b"anitizer" not in outcome.log and b"runtime error" not in outcome.log, outcome
    if outcome.code == 111:
        assert outcome.log.startswith(b"left: --queue"), outcome
        return None
    assert outcome.code == 0, outcome
    return (host.directory / "kept").read_bytes()


@pytest.mark.parametrize("compiler", ["gcc", "clang", "musl-gcc"])
@pytest.mark.parametrize("options", [(), ("-O2", "-static"), ("-O3", "-D_FORTIFY_SOURCE=2")],
                         ids=" ".join)
def test_no_compiler_warns(tmp_path, compiler, options):
    if not shutil.which(compiler):
        pytest.skip(f"needs {compiler}")
    native.compiled(tmp_path / "launcher", "/var/qmail", *options, compiler=compiler)


def test_it_is_short():
    lines = native.SOURCE.read_text().expandtabs(8).splitlines()
    assert len(lines) <= 300 and max(map(len, lines)) <= 100


def test_the_true_answer_is_believed(quick):
    with resident.BadServer(print) as bad:
        quick.environment["DKSERVER"] = bad.path
        text = kept(quick, lies.MESSAGE, bad, lies.ANSWER)
    assert text == lies.ANSWER.split(b"\n", 4)[4] + lies.MESSAGE


def test_lies(quick):
    with resident.BadServer(print) as bad:
        quick.environment["DKSERVER"] = bad.path
        for lie, answer in lies.LIES.items():
            assert kept(quick, lies.MESSAGE, bad, answer) is None, lie


# Of the message in test_places: the fields of which a server may name the places.
OTHER = b"X-Other: domainkey\n status\n"
PLACES = {
    "the first": (0, 1), "one in between": (2, 3), "two": (0, 1, 2, 3), "with folds": (4, 5),
    "all of ours": (0, 1, 2, 3, 4, 5),
}
NO_PLACES = {
    "another field": (1, 2), "two fields at once": (0, 2), "of one, the start": (0, 0.5),
    "of one, the end": (0.5, 1), "a fold": (4.5, 5), "the wrong order": (2, 3, 0, 1),
    "twice": (0, 1, 0, 1), "turned round": (1, 0), "of the body": (8, 9),
    "the header's end": (7, 8),
    "with the header's end": (6, 8), "beyond the end": (9, 30), "nothing": (1, 1),
}


@pytest.mark.parametrize("case", [*PLACES, *NO_PLACES])
def test_places(quick, case):
    """Numbers stand for the start of a field, halves for the start of its first fold."""
    fields = [FALSE[0], OTHER, FALSE[1], b"From: a@example.com\n", FALSE[2], b"To: b\n",
              FALSE[3], b"\n", FALSE[1], b"text\n"]
    text = b"".join(fields)
    starts = [len(b"".join(fields[:number])) for number in range(len(fields) + 1)]

    def place(number):
        whole = int(number)
        if whole >= len(starts):
            return len(text) + whole
        return starts[whole] + (fields[whole].index(b"\n") + 1 if whole != 0 else 5) * (
            number != whole)
    numbers = {**PLACES, **NO_PLACES}[case]
    pairs = list(zip(numbers[::2], numbers[1::2]))
    removed = b" ".join(b"%d-%d" % (place(start), place(end)) for start, end in pairs)
    answer = lies.ANSWER.replace(b"\n\n", b"\n" + removed + b"\n", 1)
    with resident.BadServer(print) as bad:
        quick.environment["DKSERVER"] = bad.path
        found = kept(quick, text, bad, answer)
    if case in NO_PLACES:
        assert found is None
        return
    left = b"".join(field for number, field in enumerate(fields)
                    if not any(start <= number < end for start, end in pairs))
    assert found == answer.split(b"\n", 4)[4] + left


def damaged(source, packet):
    packet = bytearray(packet)
    for _ in range(source.randint(1, 3)):
        start = source.randrange(len(packet) + 1)
        piece = bytes(packet[source.randrange(len(packet) + 1):][:source.randrange(30)])
        packet[start:start + source.choice((0, 0, 1, 5, 40))] = source.choice(
            (piece, b"", b"\n", b" ", b"0", b"-", bytes((source.randrange(256),))))
    return bytes(packet)


ROUNDS = int(os.environ.get("ROUNDS", "400"))       # SECURITY: more of them


@pytest.mark.slow
def test_damaged_answers(quick):
    """Whatever comes: Python runs, or the message has our two fields, and lacks only false ones."""
    source = random.Random(os.environ.get("SEED", 11))
    fields = [FALSE[0], b"From: a@example.com\n", FALSE[1], FALSE[2]]
    rest = b"To: b\n\n" + FALSE[0] + b"text\n"
    text = b"".join(fields) + rest
    allowed = set()
    for chosen in itertools.product((False, True), repeat=3):
        false = iter(chosen)
        allowed.add(b"".join(field for field in fields
                             if field.startswith(b"From") or not next(false)) + rest)
    starts = list(itertools.accumulate(map(len, fields), initial=0))
    places = b"%d-%d %d-%d" % (starts[0], starts[1], starts[2], starts[3])
    answer = lies.ANSWER.replace(b"\n\n", b"\n" + places + b"\n", 1)
    believed = 0
    with resident.BadServer(print) as bad:
        quick.environment["DKSERVER"] = bad.path
        for _ in range(ROUNDS):
            packet = damaged(source, answer)
            found = kept(quick, text, bad, packet)
            if found is None:
                continue
            believed += 1
            ours = lies.OURS.match(found)
            assert ours and found[ours.end():] in allowed, packet
    assert ROUNDS / 50 < believed < ROUNDS / 2


@pytest.mark.slow
def test_fuzzed_answers(tmp_path):
    """By libFuzzer, guided by coverage; FUZZ_SECONDS for more than a few."""
    source = native.SOURCE.parents[1] / "tests" / "fuzz" / "native_launcher.c"
    program, seeds = tmp_path / "fuzzer", tmp_path / "seeds"
    done = subprocess.run(
        ["clang", "-g", "-O1", "-fsanitize=fuzzer,address,undefined",
         "-fno-sanitize-recover=all", '-DQMAIL="/nonexistent"', '-DLAUNCHER="/nonexistent"',
         '-DPROGRAM="/nonexistent"', source, "-o", program],
        capture_output=True) if shutil.which("clang") else None
    if done is None or done.returncode:
        pytest.skip("needs clang with libFuzzer")
    seeds.mkdir()
    for number, removed in enumerate((b"", b"0-50", b"70-93", b"0-50 70-93 93-150")):
        (seeds / str(number)).write_bytes(lies.ANSWER.replace(b"\n\n", b"\n" + removed + b"\n", 1))
    for number, lie in enumerate(lies.LIES.values()):
        (seeds / f"lie-{number}").write_bytes(lie)
    seconds = os.environ.get("FUZZ_SECONDS", "10")
    done = subprocess.run(
        [program, f"-max_total_time={seconds}", "-max_len=3000", "-seed=1", "-detect_leaks=0",
         f"-artifact_prefix={tmp_path}/", seeds], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_corpus(host):
    """The same bytes as by Python, of each message, for an answer of our server's code."""
    entries = corpus.entries()
    if not entries:
        pytest.skip("no corpus here")
    expected = {}

    def answer(connection, packet, fds):
        terms, _ = packets.terms_in(packet)
        header, body = message.split(message.chunks(fds[0]))
        examined = examination.examine(header, body, terms, corpus.lookup_in(entry["dns"]),
                                       corpus.NOW)
        report = inbound.reported(examined, header, terms.authserv_id, 0)
        with tempfile.TemporaryFile() as file:
            annotation.write(file.fileno(), report, header, fds[0], terms.authserv_id)
            file.seek(0)
            expected[entry["id"]] = file.read(), report.words
        connection.send(packets.answer(report, header))

    with resident.BadServer(answer) as bad:
        host.environment["DKSERVER"] = bad.path
        for entry in entries:
            outcome = host.smtpd(corpus.as_stored(entry))
            text, words = expected[entry["id"]]
            assert outcome.code == 0 and outcome.queued["message"] == text, entry["id"]
            assert outcome.log == (f"qmail-qfilter-verify: qp {outcome.process} accepted: "
                                   f"{words}"[:922 - 10] + "; resident\n").encode(), outcome


# What is left to Python comes to it whole.

SIZES = [0, 1, 65535, 65536, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5_400_000]


@pytest.mark.parametrize("size", SIZES)
def test_all_of_a_message_is_left(host, size):
    """In a file at its start, as Python itself would have it; so is the envelope."""
    host.python, host.program = [], [str(host.recorder)]
    host.environment["DKDMARC"] = "mark"
    text = (b"A line of a message.\n" * (size // 21 + 1))[:size]
    envelope = b"Falice@example.com\0" + b"Trecipient@example.net\0" * (size // 22) + b"\0"
    with resident.BadServer(lambda connection, packet, fds: None) as bad:
        host.environment["DKSERVER"] = bad.path
        outcome = host.smtpd(text, envelope)
    assert (outcome.code, outcome.queued["message"]) == (0, text)
    assert (outcome.queued["regular"], outcome.queued["at"]) == (True, 0)
    assert outcome.queued["envelope"] == envelope and outcome.log == b""
    assert outcome.queued["arguments"][1:] in (
        ["--queue", "--no-answer", "none was given"], ["--queue"])


@pytest.mark.parametrize("given, told", [(None, "1"), ("", "1"), ("0", "1"), ("3", "4"),
                                         ("7", "8"), ("x", "1"), ("12", None)])
@pytest.mark.parametrize("way", ["passed on", "resident", "left"])
def test_a_pass_is_counted_once(host, server, dns, way, given, told):
    host.environment.update(
        DKVERIFY="" if way == "passed on" else "-", DNSCACHEIP=dns.address,
        DKSERVER="-" if way == "left" else server.path)
    host.native = (native.PATIENT,)
    if given is not None:
        host.environment["QMAIL_QFILTER_VERIFY"] = given
    outcome = host.smtpd(GOOD)
    if told is None:
        assert outcome.code == 55 and b"leads back" in outcome.log
    else:
        assert outcome.queued["environment"]["QMAIL_QFILTER_VERIFY"] == told


# The settings: what it can't read, or does not know, Python decides.

SETTINGS = {
    "DKVERIFY": ("-", " -", "- B", "", " ", "B", "b\u0085", "c", "C", "L", "A" * 300, "-\n"),
    "DKRSAMIN": ("1024", "01024", " 1024 ", "0", "x", "", "1234567890", "4096"),
    "DKPOLICY": ("yes", "YES", "1", "0", " no", "maybe", "yes yes", ""),
    "DKDMARC": ("mark", "refuse", "Mark", "off off", "x", ""),
    "DKTIMEOUT": ("20", "0", "x", "0x14", "1" * 10, " 5"),
    "DKAUTHSERVID": ("other.example", "a b", "a;b", "", "a" * 260, "\u00e9"),
    "DKQUEUE": ("bin/recorder", "/nonexistent", "", " bin/recorder", "/etc/passwd"),
    "TMPDIR": ("/tmp", "tmp", "", "/nonexistent", "/tmp "),
    "DKSERVER": ("no", "", "relative", "/nonexistent/x", "/" + "x" * 200),
}
FORMS = ("environment", "file", "file without end", "file with CR LF", "file with more")


def has_setting(host, name, value, form):
    host.environment.pop(name, None)
    path = host.directory / "control" / name.lower()
    path.unlink(missing_ok=True)
    data = value.encode("utf-8", "surrogateescape")
    if form == "environment":
        host.environment[name] = value
    elif value != value.strip("\n"):
        path.write_bytes(data)
    else:
        path.write_bytes(data + {"file": b"\n", "file without end": b"", "file with CR LF": b"\r\n",
                                 "file with more": b"\n" + b"more\0\n" * 100}[form])


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_settings(host, server, dns, name):
    """The same outcome as by Python, wherever the setting is."""
    host.environment.update(DNSCACHEIP=dns.address, DKSERVER=server.path)
    host.program = [resident.PATIENT, queue_driver.PROGRAM]
    forms = ("environment",) if name == "TMPDIR" else FORMS
    for value, form in itertools.product(SETTINGS[name], forms):
        has_setting(host, name, value, form)
        outcomes = []
        for host.native in (None, (native.PATIENT,)):
            for file in (host.directory / "queued").iterdir():
                file.unlink()
            outcomes.append(host.smtpd(GOOD))
        python, launched = outcomes
        assert python.code == launched.code, (value, form, outcomes)
        for part in ("message", "envelope"):
            assert python.queued.get(part) == launched.queued.get(part), (value, form)
        assert without_numbers(python.log) == without_numbers(launched.log), (value, form)


def without_numbers(log):
    return re.sub(rb"qp \d+ |dns [\d.]+ s", b"", log)


@pytest.mark.skipif(not shutil.which("valgrind"), reason="needs valgrind")
def test_under_valgrind(host, server, dns):
    log = host.directory / "valgrind"
    host.native = ("-g", native.PATIENT)
    host.environment.update(DNSCACHEIP=dns.address, DKSERVER=server.path, DKDMARC="mark")
    host.prefix = [shutil.which("valgrind"), "-q", f"--log-file={log}"]
    for text in (GOOD, b"", b"\n", b"x", one_shot.OTHERS.join(FALSE) + GOOD,
                 one_shot.ODD_MESSAGES["5 MB"]):
        outcome = host.smtpd(text)
        assert outcome.code == 0 and outcome.log.endswith(b"; resident\n"), outcome
        assert log.read_text() == ""


def test_descriptors_of_the_queue_program(host, server, dns):
    """It has nothing but what the caller gave it, and the message."""
    script, seen = host.directory / "bin" / "look", host.directory / "seen"
    script.write_text(f"""#!{sys.executable} -IS
import os
print(*os.listdir("/proc/self/fd"), file=open({str(seen)!r}, "w"))
""")
    script.chmod(0o755)
    host.native = (native.PATIENT,)
    host.environment.update(DNSCACHEIP=dns.address, DKSERVER=server.path, DKQUEUE=str(script))
    assert host.smtpd(GOOD, reason=False).code == 0
    # Two are of the program that looks; others the test has from who runs it.
    inherited = subprocess.run(["ls", "/proc/self/fd"], close_fds=False, stdout=subprocess.PIPE)
    assert set(seen.read_text().split()) <= {"4", *inherited.stdout.decode().split()}


def test_a_large_sender(quick):
    """The request has 900 bytes of it, as by Python."""
    seen = []

    def look(connection, packet, fds):
        seen.append(packet)
    quick.environment.update(DKDMARC="mark", TCPREMOTEIP="192.0.2.7")
    senders = {b"": b"", b"a@example.com": b"a@example.com", b"a" * 990: b"a" * 900,
               b"a" * 5000: b"a" * 900}
    with resident.BadServer(look) as bad:
        quick.environment["DKSERVER"] = bad.path
        for sender in senders:
            quick.smtpd(GOOD, b"F" + sender + b"\0Tb\0\0")
        for envelope in (b"", b"F", b"Fa", b"Ta\0\0"):
            quick.smtpd(GOOD, envelope)
    line = exchange.request(resident.Terms(1024, False, b"mx.example.net", True))
    assert seen == [line + b"192.0.2.7\n" + sender for sender in senders.values()] + [line] * 4


def test_the_longest_request(quick):
    """The compiler's checks see to it that it has room."""
    seen = []
    long = "1" * 254
    quick.environment.update(DKDMARC=long, DKRSAMIN=long, DKPOLICY=long, DKAUTHSERVID=long,
                             TCPREMOTEIP="1" * 5000)
    with resident.BadServer(lambda connection, packet, fds: seen.append(packet)) as bad:
        quick.environment["DKSERVER"] = bad.path
        outcome = quick.smtpd(GOOD, b"F" + b"a" * 5000 + b"\0Tb\0\0")
    assert outcome.code == 111 and outcome.log.startswith(b"left: --queue"), outcome
    assert seen and seen[0].startswith(f"3 {long} {long} {long} {long}\n1".encode())
