# SPDX-License-Identifier: MIT
"""The verifier as qmail-smtpd and qmail-qfilter see it: descriptors, exit codes, bytes."""

import os
import shutil
import signal
import socket
import subprocess
import sys

import pytest

from lib import queueing
from tests import dns_server, queue_driver, verifying
from tests.queue_driver import ENVELOPE

NAME = verifying.NAME
RECORD = [verifying.golden_rsa().record()]
PLAIN = verifying.MESSAGE
GOOD = verifying.dkim_signed()
OURS = (b"Authentication-Results: mx.example.net;", b"DomainKey-Status: ")
MEGABYTES = b"A line of a large message.\n" * 200_000      # 5.4 MB


@pytest.fixture
def host(tmp_path):
    return queue_driver.Host(tmp_path)


@pytest.fixture(scope="module")
def dns():
    zone = {
        NAME: RECORD,
        "bad._domainkey.example.com": ["v=DKIM1; p=AAAA"],
        "revoked._domainkey.example.com": ["v=DKIM1; p="],
        "fails._domainkey.example.com": {"rcode": "SERVFAIL"},
    }
    with dns_server.DnsServer(zone) as server:
        yield server


@pytest.fixture
def verifier(host, dns):
    host.environment.update(DKVERIFY="-", DNSCACHEIP=dns.address)
    dns.asked.clear()
    return host


def below(text, message):
    """What is above the message in text: our two fields and nothing else."""
    assert text.endswith(message)
    added = text[:len(text) - len(message)]
    lines = added.split(b"\n")
    names = [line for line in lines[:-1] if not line.startswith((b" ", b"\t"))]
    assert len(names) == 2 and all(map(bytes.startswith, names, OURS)), added
    assert lines[-1] == b""
    return added


def assert_one_line(log, *words):
    assert log.endswith(b"\n") and log.count(b"\n") == 1, log
    assert log.startswith(b"qmail-qfilter-verify: ")
    for word in words:
        assert word in log, (word, log)


def test_the_script_by_its_own_name(verifier):
    """As its first lines say: QMAILQUEUE=.../qmail_qfilter_verify.py"""
    verifier.python = []
    verifier.environment.update(PATH=f"{os.path.dirname(sys.executable)}:/usr/bin:/bin",
                                DKAUTHSERVID="mx.example.net")
    outcome = verifier.smtpd(GOOD)
    assert outcome.code == 0, outcome
    assert b"dkim=pass" in below(outcome.queued["message"], GOOD)


def test_a_verifier_that_loops_is_ended(verifier, tmp_path):
    """As Python itself may, where memory is short.  qmail.c takes a crash for temporary."""
    with open(queue_driver.PROGRAM, encoding="ascii") as file:
        text = file.read()
    assert "\nLONGEST = 120\n" in text
    program = tmp_path / "verifier.py"
    program.write_text(text.replace("\nLONGEST = 120\n", "\nLONGEST = 0.1\n"))
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "__init__.py").write_text("while True:\n    pass\n")
    verifier.program = [str(program)]
    outcome = verifier.smtpd(GOOD)
    assert (outcome.code, outcome.queued) == (-signal.SIGPROF, {})


def test_the_queue_program_inherits_no_timer(verifier, tmp_path):
    timer = tmp_path / "timer"
    queue_program = tmp_path / "queue-program"
    queue_program.write_text(f"""#!{sys.executable} -IS
import signal
print(signal.getitimer(signal.ITIMER_PROF), file=open({str(timer)!r}, "w"))
""")
    queue_program.chmod(0o755)
    verifier.environment["DKQUEUE"] = str(queue_program)
    assert verifier.smtpd(GOOD).code == 0 and timer.read_text() == "(0.0, 0.0)\n"


def test_good_message_by_smtpd(verifier, dns):
    outcome = verifier.smtpd(GOOD)
    assert outcome.code == 0
    added = below(outcome.queued["message"], GOOD)
    assert b"dkim=pass" in added and b"DomainKey-Status: good\n" in added
    assert outcome.queued["envelope"] == ENVELOPE
    assert (outcome.queued["regular"], outcome.queued["at"]) == (True, 0)
    assert outcome.queued["process"] == outcome.process
    assert outcome.queued["arguments"] == [verifier.environment["DKQUEUE"]]
    assert_one_line(outcome.log, b" qp %d accepted: good (A); " % outcome.process,
                    b"dkim=pass d=example.com s=sel; dns 0.")
    assert outcome.reason == b""
    assert [name for _, name, _ in dns.asked] == [NAME]


def test_good_message_by_qfilter(verifier):
    outcome = verifier.qfilter(GOOD)
    assert outcome.code == 0 and not outcome.queued
    assert b"dkim=pass" in below(outcome.output, GOOD)
    assert_one_line(outcome.log, b" qp %d accepted" % os.getpid())


def broken(**changed):
    return verifying.dkim_signed(b=None, **changed)


# letter -> a message that gets it; H and I are not given to any
MESSAGES = {
    "A": GOOD,
    "B": GOOD + b"x\n",
    "C": PLAIN,
    "D": verifying.dkim_signed(s="none"),
    "E": verifying.dkim_signed(s="bad"),
    "F": verifying.dkim_signed(s="fails"),
    "G": verifying.dkim_signed(v="2"),
    "J": verifying.dkim_signed(s="revoked"),
    "K": b"DKIM-Signature: v=1\n" * 11 + PLAIN,
}


@pytest.mark.parametrize("letter", MESSAGES)
def test_letters(verifier, letter):
    """Upper case, lower case, all others: as a queue program and as a filter."""
    others = "".join(other for other in "ABCDEFGHIJK" if other != letter)
    for letters, code in ((letter, 31), (letter.lower(), 71), (others + others.lower(), 0)):
        verifier.environment["DKVERIFY"] = letters
        outcome = verifier.smtpd(MESSAGES[letter])
        assert (letters, outcome.code) == (letters, code), outcome
        assert bool(outcome.queued) == (code == 0)
        verdict = {31: b"rejected", 71: b"deferred", 0: b"accepted"}[code]
        assert_one_line(outcome.log, verdict, b"(%s)" % letter.encode())
        if code == 0:
            below(outcome.queued["message"], MESSAGES[letter])
        filtered = verifier.qfilter(MESSAGES[letter])
        assert filtered.code == code
        assert filtered.output == (outcome.queued["message"] if code == 0 else b"")


def test_verdict_table():
    for letter in "ABCDEFGHIJK":
        for letters, code in ((letter, 31), (letter.lower(), 71), ("", 0), ("-", 0),
                              (letter + letter.lower(), 31), (letter.lower() + letter, 31)):
            assert queueing.verdict(letters, letter) == code


# DKVERIFY's letter, message -> the text on descriptor 6
REASONS = {
    "B": b"Dmessage refused by DKIM or DomainKeys policy: "
         b"its signature does not match it (example.com) (#5.7.20)",
    "f": b"Zmessage refused by DKIM or DomainKeys policy: "
         b"the public key of its signature could not be looked up in the DNS "
         b"(example.com) (#4.7.20)",
    "C": b"Dmessage refused by DKIM or DomainKeys policy: it has no signature (#5.7.20)",
}


@pytest.mark.parametrize("letter", REASONS)
def test_reason(verifier, letter):
    verifier.environment.update(DKVERIFY=letter, DKREASON="yes")
    outcome = verifier.smtpd(MESSAGES[letter.upper()])
    assert (outcome.code, outcome.reason) == (82, REASONS[letter])


def test_reason_is_short_and_one_line(verifier):
    domains = [(b"a%d." % number) * 12 + b"example.com" for number in range(9)]
    fields = b"".join(b"DKIM-Signature: v=1; d=%s; s=x; h=from; a=rsa-sha256; bh=AA==; b=AA==\n"
                      % domain for domain in domains)
    verifier.environment.update(DKVERIFY="D", DKREASON="yes")
    outcome = verifier.smtpd(fields + PLAIN)
    assert outcome.code == 82
    assert len(outcome.reason) == 255 and outcome.reason.endswith(b"(#5.7.20)")
    assert b"\n" not in outcome.reason


def test_no_reason_where_nobody_reads_it(verifier):
    """Descriptor 6 may be closed, or something else than notqmail's pipe."""
    verifier.environment.update(DKVERIFY="C", DKREASON="yes")
    assert verifier.smtpd(PLAIN, reason=False).code == 31
    assert verifier.qfilter(PLAIN).code == 31
    verifier.environment["DKREASON"] = "no"
    outcome = verifier.smtpd(PLAIN)
    assert (outcome.code, outcome.reason) == (31, b"")
    verifier.environment["DKREASON"] = "yes"
    with open(verifier.directory / "other", "wb+") as other:
        verifier.descriptors = {6: other.fileno()}
        assert verifier.smtpd(PLAIN).code == 31
        assert other.read() == b""


ODD_MESSAGES = {
    "empty": b"",
    "only an empty line": b"\n",
    "only a header": b"From: a@example.com\n",
    "no final line end": b"From: a@example.com\n\nhello",
    "within a header line": b"From: a@exam",
    "not a header": b"hello world\nFrom: a@example.com\n\nbody\n",
    "mbox": b"From a@example.com Thu Jan  1\nFrom: a@example.com\n\nbody\n",
    "NUL and 8 bit": b"From: a@example.com\n\n" + bytes(range(256)),
    "CR": b"From: a@example.com\r\nSubject: x\r\n\r\nbody\r\nlone \r CR\n",
    "5 MB": b"From: a@example.com\n\n" + MEGABYTES,
    "5 MB, signed": verifying.dkim_signed(b"From: alice@example.com\n\n" + MEGABYTES, h="From"),
    "long header": b"X: y\n" * 300_000 + b"\nbody\n",
    "long field": b"X: y\n" * 100 + b"X: " + b"y" * 3_000_000 + b"\nY: z\n\nbody\n",
    "long folds": b"X: y\n" + b" y\n" * 700_000 + b"Y: z\n\nbody\n",
    "long header without end": b"X: y\n" * 300_000,
    "long header, one line": b"y" * 2_000_000,
}


@pytest.mark.parametrize("name", ODD_MESSAGES)
def test_any_message_passes_byte_for_byte(verifier, name):
    message = ODD_MESSAGES[name]
    outcome = verifier.smtpd(message)
    assert outcome.code == 0, outcome
    added = below(outcome.queued["message"], message)
    assert outcome.queued["envelope"] == ENVELOPE
    assert (b"dkim=pass" in added) == ("signed" in name)
    filtered = verifier.qfilter(message)
    assert (filtered.code, filtered.output) == (0, outcome.queued["message"])


FALSE = (b"Authentication-Results: MX.example.net; dkim=pass\n",
         b"DomainKey-Status: good\n",
         b"AUTHENTICATION-RESULTS:\n\t(c)mx.example.net\n ; dkim=pass\n",
         b"domainkey-status : good\n \n")
OTHERS = b"Authentication-Results: mx.example.org; dkim=pass\n"


@pytest.mark.parametrize("filler", [0, 250_000, 500_000])
def test_false_fields_are_removed(verifier, filler):
    """Wherever in the header they are, however long that is."""
    half = b"X: y\n" * filler
    true = b"From: a@example.com\n" + half + OTHERS + half + b"To: b@example.net\n"
    body = b"\n" + b"".join(FALSE) + b"text\n"
    message = true.join((FALSE[0], FALSE[1])) + FALSE[2] + FALSE[3] + body
    outcome = verifier.smtpd(message)
    assert outcome.code == 0
    below(outcome.queued["message"], true + body)


def test_slow_writer(verifier):
    outcome = verifier.smtpd([GOOD[start:start + 40] for start in range(0, len(GOOD), 40)],
                             pause=0.01)
    assert outcome.code == 0
    assert b"dkim=pass" in below(outcome.queued["message"], GOOD)


def test_large_envelope(verifier):
    envelope = b"Falice@example.com\0" + b"Trecipient@example.net\0" * 230_000 + b"\0"
    assert len(envelope) > 5_000_000
    outcome = verifier.smtpd(GOOD, envelope)
    assert (outcome.code, outcome.queued["envelope"]) == (0, envelope)


def test_caller_dies(verifier):
    """The queue program decides: an envelope without its end is not queued."""
    outcome = verifier.smtpd(GOOD[:100], envelope=None)
    assert outcome.queued["envelope"] == b""
    verifier.queue_program(verifier.recorder, code=54)
    assert verifier.smtpd(GOOD[:100], envelope=None).code == 54


@pytest.mark.parametrize("code", [0, 11, 31, 53, 71, 91, 120])
def test_exit_code_of_the_queue_program(verifier, code):
    verifier.queue_program(verifier.recorder, code)
    assert verifier.smtpd(GOOD).code == code


PASSING = {
    "DKVERIFY unset": {},
    "DKVERIFY empty": {"DKVERIFY": ""},
    "RELAYCLIENT": {"DKVERIFY": "BCD", "RELAYCLIENT": ""},
    "RELAYCLIENT with a domain": {"DKVERIFY": "BCD", "RELAYCLIENT": "@example.com"},
}
IMPORTED = {"lib", "lib.errors", "lib.process", "lib.queueing", "lib.settings"}


def imported(log):
    """The modules that -X importtime names."""
    return {line.rpartition("|")[2].strip() for line in log.decode().splitlines()
            if line.startswith("import time:")}


def start_up(python):
    """The modules that Python itself imports at its start."""
    command = [*python, "-X", "importtime", "-c", "pass"]
    return imported(subprocess.run(command, capture_output=True, check=True).stderr)


@pytest.mark.parametrize("case", PASSING)
def test_straight_through(host, case):
    """Not ours to verify: the same descriptors, and next to nothing imported."""
    host.environment.update(PASSING[case], DNSCACHEIP="192.0.2.1")
    message = FALSE[0] + GOOD + b"\0\r"
    outcome = host.smtpd(message)
    assert (outcome.code, outcome.log) == (0, b"")
    assert (outcome.queued["message"], outcome.queued["envelope"]) == (message, ENVELOPE)
    assert outcome.queued["regular"] is False       # the pipe itself
    filtered = host.qfilter(message)
    assert (filtered.code, filtered.log, filtered.output) == (0, b"", b"")
    host.python += ["-X", "importtime"]
    extra = imported(host.smtpd(message).log) - start_up(host.python)
    assert {name for name in extra if "." in name or name == "lib"} == IMPORTED
    assert not extra & {"socket", "re", "typing", "dataclasses", "enum", "dns", "dkim"}


def test_unsigned_message_costs_little(verifier, dns):
    verifier.python += ["-X", "importtime"]
    outcome = verifier.smtpd(PLAIN)
    assert outcome.code == 0 and dns.asked == []
    extra = imported(outcome.log) - start_up(verifier.python)
    assert not extra & {"socket", "re", "typing", "dataclasses", "enum", "dns", "dkim"}, extra
    assert not [name for name in extra if name.startswith(("dns.", "dkim."))]


def test_policy_asks_the_dns(verifier, dns):
    verifier.environment["DKPOLICY"] = "yes"
    assert verifier.smtpd(PLAIN).code == 0
    assert [name for _, name, _ in dns.asked] == ["_domainkey.example.com"]


def test_signals_are_restored(verifier):
    """Python ignores SIGPIPE and SIGXFSZ: what comes next must not inherit that."""
    script = verifier.directory / "bin" / "signals"
    script.write_text("#!/bin/sh\nexec grep SigIgn /proc/self/status >&2\n")
    script.chmod(0o755)
    verifier.environment["DKQUEUE"] = str(script)
    verifier.prefix = ["/bin/sh", "-c", 'trap - PIPE; exec "$@"', "sh"]
    for verify in ("-", ""):
        verifier.environment["DKVERIFY"] = verify
        mask = int(verifier.smtpd(PLAIN).log.split()[-1], 16)
        assert not mask & (1 << 12 | 1 << 24), hex(mask)     # SIGPIPE 13, SIGXFSZ 25


def as_it_is(host):
    """A copy of the program without lib/."""
    alone = host.directory / "alone.py"
    shutil.copy(queue_driver.PROGRAM, alone)
    host.program = [str(alone)]


def limit_file_size(host):
    """No file may grow over 64 KB, as on a full disk."""
    host.prefix = ["/bin/sh", "-c", 'ulimit -f 128; exec "$@"', "sh"]


def damage(name, value):
    return lambda host: host.environment.__setitem__(name, value)


def unreadable_control(host):
    (host.directory / "control" / "dkverify").mkdir()
    del host.environment["DKVERIFY"]


def no_host_name(host):
    (host.directory / "control" / "me").unlink()


# damage, message -> exit code, words of the log line
TROUBLES = {
    "disk full": (limit_file_size, GOOD + b"x\n" * 50_000, 53, b"unable to write a copy"),
    "no directory": (damage("TMPDIR", "/nonexistent"), MEGABYTES, 53, b"/nonexistent"),
    "no lib": (as_it_is, GOOD, 71, b"lib"),
    "no DKQUEUE": (damage("DKQUEUE", "/nonexistent"), GOOD, 55, b"DKQUEUE"),
    "DKQUEUE not to run": (damage("DKQUEUE", "/etc/passwd"), GOOD, 55, b"DKQUEUE"),
    "letters": (damage("DKVERIFY", "DEL"), MEGABYTES, 55, b"DKVERIFY"),
    "timeout": (damage("DKTIMEOUT", "soon"), GOOD, 55, b"DKTIMEOUT"),
    "bits": (damage("DKRSAMIN", "-1"), GOOD, 55, b"DKRSAMIN"),
    "policy": (damage("DKPOLICY", "maybe"), GOOD, 55, b"DKPOLICY"),
    "resolver": (damage("DNSCACHEIP", "localhost"), GOOD, 55, b"DNSCACHEIP"),
    "authserv-id": (damage("DKAUTHSERVID", "a b"), GOOD, 55, b"DKAUTHSERVID"),
    "no host name": (no_host_name, GOOD, 55, b"control/me"),
    "control file": (unreadable_control, GOOD, 55, b"dkverify"),
}


@pytest.mark.parametrize("case", TROUBLES)
def test_trouble_is_temporary(verifier, case):
    cause, message, code, words = TROUBLES[case]
    cause(verifier)
    outcome = verifier.smtpd(message)
    assert outcome.code == code, outcome
    assert not outcome.queued
    assert words in outcome.log.splitlines()[-1] and b"Traceback" not in outcome.log
    assert outcome.log.splitlines()[-1].startswith(b"qmail-qfilter-verify: deferred: ")


def test_disk_full_as_filter(verifier):
    limit_file_size(verifier)
    outcome = verifier.qfilter(PLAIN + b"x" * 70_000 + b"\n")
    assert outcome.code == 53
    assert_one_line(outcome.log, b"unable to write")


def test_read_error(verifier):
    with open(os.devnull, "wb") as for_writing:
        verifier.descriptors = {0: for_writing.fileno()}
        outcome = verifier.smtpd(GOOD)
    assert outcome.code == 54
    assert_one_line(outcome.log, b"unable to read the message")


def test_little_memory(verifier):
    """A softlimit that Python starts with, but that is not enough for the rest."""
    codes = set()
    for kilobytes in range(20_000, 60_000, 5_000):
        verifier.prefix = ["/bin/sh", "-c", f'ulimit -v {kilobytes}; exec "$@"', "sh"]
        outcome = verifier.smtpd(GOOD)
        assert outcome.code in (0, 1, 51, 71, 81, 127) or outcome.code < 0, outcome
        assert bool(outcome.queued) == (outcome.code == 0)
        codes.add(outcome.code)
        shutil.rmtree(verifier.directory / "queued")
        (verifier.directory / "queued").mkdir()
    assert len(codes) > 1, codes


# Headers of a megabyte that take the most memory.
LARGE_HEADERS = {
    "fields": b"a:\n" * 345_000,
    "CRs": b"a: " + b"\r" * 1_000_000 + b"\n",
    "lines after CRs": b"a: " + b"\ra" * 500_000 + b"\rAuthentication-Results: x\n",
    "folds": b"a:" + b"\n x" * 330_000 + b"\n",
}


@pytest.mark.parametrize("what", LARGE_HEADERS)
def test_the_softlimit_of_our_documents_is_enough(verifier, what):
    """softlimit -m 100000000, for whatever header there is."""
    verifier.prefix = ["/bin/sh", "-c", 'ulimit -v 97656; exec "$@"', "sh"]
    signed = verifying.domainkeys_signed().replace(b"To:", LARGE_HEADERS[what] + b"To:")
    outcome = verifier.smtpd(signed)
    assert outcome.code == 0, outcome
    below(outcome.queued["message"], signed)


def test_closed_standard_error(verifier):
    """The copy of the message must not get descriptor 2, where the log lines go."""
    verifier.prefix = ["/bin/sh", "-c", 'exec "$@" 2>&-', "sh"]
    outcome = verifier.smtpd(GOOD)
    assert outcome.code == 0
    below(outcome.queued["message"], GOOD)


def test_socket_as_standard_error(verifier):
    """Under inetd it is the SMTP connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        verifier.descriptors = {2: theirs.fileno()}
        assert verifier.smtpd(GOOD).code == 0
        verifier.environment["DKQUEUE"] = "/nonexistent"
        assert verifier.smtpd(GOOD).code == 55
        theirs.close()
        assert ours.recv(100) == b""


class TestWayToRun:
    """Descriptor 1 tells; arguments force."""

    def test_queue_program_of_qfilter(self, verifier):
        """QQF_QMAILQUEUE: the envelope is in a file that is open for both ways."""
        outcome = verifier.qfilter(GOOD, descriptor_1=ENVELOPE)
        assert outcome.code == 0
        below(outcome.queued["message"], GOOD)
        assert (outcome.queued["envelope"], outcome.output) == (ENVELOPE, ENVELOPE)

    def test_envelope_in_a_file(self, verifier, tmp_path):
        (tmp_path / "envelope").write_bytes(ENVELOPE)
        verifier.prefix = ["/bin/sh", "-c", f'exec "$@" 1<{tmp_path}/envelope', "sh"]
        outcome = verifier.smtpd(GOOD)
        assert (outcome.code, outcome.queued["envelope"]) == (0, ENVELOPE)

    def test_envelope_from_a_socket(self, verifier):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.sendall(ENVELOPE)
            ours.shutdown(socket.SHUT_WR)
            verifier.descriptors = {1: theirs.fileno()}
            outcome = verifier.smtpd(GOOD)
        assert (outcome.code, outcome.queued["envelope"]) == (0, ENVELOPE)

    @pytest.mark.parametrize("redirection", [">{0}", ">>{0}", "| cat >{0}", ">&-", "1<>/dev/null"])
    def test_unclear(self, verifier, tmp_path, redirection):
        verifier.prefix = ["/bin/sh", "-c", '"$@" ' + redirection.format(tmp_path / "out")
                           + ("" if "|" in redirection else "; exit $?"), "sh"]
        outcome = verifier.smtpd(GOOD)
        assert outcome.code == (0 if "|" in redirection else 55)
        assert_one_line(outcome.log, b"descriptor 1")
        assert not outcome.queued

    @pytest.mark.parametrize("argument", ["--filter", "--queue"])
    def test_forced_without_descriptor_1(self, verifier, argument):
        """Nothing is accepted that goes nowhere."""
        verifier.prefix = ["/bin/sh", "-c", '"$@" >&-', "sh"]
        outcome = verifier.smtpd(GOOD, arguments=[argument])
        assert (outcome.code, outcome.queued) == (55, {})
        assert_one_line(outcome.log, b"descriptor 1")

    def test_forced_filter(self, verifier, tmp_path):
        verifier.prefix = ["/bin/sh", "-c", f'"$@" | cat >{tmp_path}/out', "sh"]
        outcome = verifier.smtpd(GOOD, arguments=["--filter"])
        assert (outcome.code, outcome.queued) == (0, {})
        below((tmp_path / "out").read_bytes(), GOOD)

    def test_forced_queue(self, verifier):
        outcome = verifier.qfilter(GOOD, arguments=["--queue"])
        assert outcome.code == 0 and outcome.queued["envelope"] == b""

    @pytest.mark.parametrize("arguments", [["--help"], ["x"], ["--queue", "--filter"], [""]])
    def test_bad_arguments(self, verifier, arguments):
        outcome = verifier.smtpd(GOOD, arguments=arguments)
        assert outcome.code == 55
        assert_one_line(outcome.log, b"--queue or --filter")


class TestQueueProgram:
    """DKQUEUE's default, and what leads back to us."""

    @pytest.mark.parametrize("verify", ["-", ""])
    def test_loop(self, verifier, verify):
        verifier.environment["DKVERIFY"] = verify
        again = verifier.directory / "bin" / "again"
        again.write_text("#!/bin/sh\nexec " + " ".join(verifier.command()) + "\n")
        again.chmod(0o755)
        verifier.environment["DKQUEUE"] = str(again)
        outcome = verifier.smtpd(GOOD)
        assert outcome.code == 55 and not outcome.queued
        assert b"leads back" in outcome.log.splitlines()[-1]

    def test_default(self, verifier):
        del verifier.environment["DKQUEUE"]
        shutil.copy(verifier.recorder, verifier.directory / "bin" / "qmail-queue")
        verifier.queue_program(verifier.directory / "bin" / "qmail-queue.orig", code=99)
        assert verifier.smtpd(GOOD).code == 0

    @pytest.mark.parametrize("how", ["link", "launcher"])
    @pytest.mark.parametrize("verify", ["-", ""])
    def test_replaced(self, verifier, how, verify):
        """bin/qmail-queue is ours, as on qmail 1.03: the original is beside it."""
        del verifier.environment["DKQUEUE"]
        verifier.environment["DKVERIFY"] = verify
        ours = verifier.directory / "bin" / "qmail-queue"
        shutil.copy(verifier.recorder, verifier.directory / "bin" / "qmail-queue.orig")
        if how == "link":
            ours.symlink_to(queue_driver.PROGRAM)
            verifier.program = [str(ours)]
        else:
            ours.write_text("#!/bin/sh\nexec " + " ".join(verifier.command()) + "\n")
            ours.chmod(0o755)
            verifier.python, verifier.program = [], [str(ours)]
        outcome = verifier.smtpd(GOOD)
        assert outcome.code == 0, outcome
        assert outcome.queued["message"].endswith(GOOD)

    def test_no_queue_program(self, verifier):
        del verifier.environment["DKQUEUE"]
        outcome = verifier.smtpd(GOOD)
        assert outcome.code == 55 and b"bin/qmail-queue: No such file" in outcome.log


def test_settings_from_control_files(verifier, dns):
    for name in ("DKVERIFY", "DKQUEUE", "DNSCACHEIP"):
        (verifier.directory / "control" / name.lower()).write_text(
            verifier.environment.pop(name) + "\n")
    (verifier.directory / "control" / "dkauthservid").write_text("other.example.net\n")
    outcome = verifier.smtpd(GOOD)
    assert outcome.code == 0
    assert outcome.queued["message"].startswith(b"Authentication-Results: other.example.net;")


def test_log_cannot_be_forged(verifier):
    text = b"\n\x1b[2Jqmail-qfilter-verify: qp 1 accepted: good (A)"
    message = b"DKIM-Signature: v=1; d=a.com" + text.replace(b"\n", b"\r") + b"; s=x\n" + PLAIN
    outcome = verifier.smtpd(message)
    assert outcome.code == 0
    assert_one_line(outcome.log)
    assert outcome.log[:-1].decode("ascii").isprintable() and b"qp 1 accepted" not in outcome.log


@pytest.mark.skipif(not shutil.which("qmail-qfilter"), reason="no qmail-qfilter is installed")
def test_real_qfilter(verifier):
    """qmail-qfilter itself as the queue program that qmail-smtpd runs."""
    verifier.environment["QQF_QMAILQUEUE"] = str(verifier.recorder)
    verifier.prefix = [shutil.which("qmail-qfilter")]
    outcome = verifier.smtpd(GOOD)
    assert outcome.code == 0, outcome
    assert b"dkim=pass" in below(outcome.queued["message"], GOOD)
    assert outcome.queued["envelope"] == ENVELOPE
    assert_one_line(outcome.log, b" qp %d " % outcome.process)
    verifier.environment["DKVERIFY"] = "Bf"
    assert verifier.smtpd(MESSAGES["B"]).code == 31
    assert verifier.smtpd(MESSAGES["F"]).code == 71
