# SPDX-License-Identifier: MIT
"""How the verifier can be run, and what it hands over to."""

import os
import shutil
import socket
import subprocess
import sys

import pytest

from lib import process
from tests.support import queue_driver
from tests.support.queue_driver import ENVELOPE
from tests.support.verifier import (      # noqa: F401
    FALSE, GOOD, MESSAGES, PLAIN, assert_one_line, below, dns, host, verifier,
)


def test_the_script_by_its_own_name(verifier):
    """As its first lines say: QMAILQUEUE=.../qmail_qfilter_verify.py"""
    verifier.python = []
    verifier.environment.update(PATH=f"{os.path.dirname(sys.executable)}:/usr/bin:/bin",
                                DKAUTHSERVID="mx.example.net")
    outcome = verifier.smtpd(GOOD)
    assert outcome.code == 0, outcome
    assert b"dkim=pass" in below(outcome.queued["message"], GOOD)


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
IMPORTED = {"lib", "lib.errors", "lib.process", "lib.qmail", "lib.qmail.queue", "lib.settings"}


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
    if host.native is not None:
        return      # no Python at all
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
    """Where DKQUEUE is, its default, and what leads back to us."""

    @pytest.mark.parametrize("verify", ["-", ""])
    def test_below_qmail(self, verifier, verify):
        """Wherever we run: qmail.c goes there before it starts QMAILQUEUE, a wrapper need not."""
        verifier.environment.update(DKVERIFY=verify, DKQUEUE="bin/recorder")
        outcome = verifier.smtpd(GOOD)
        assert outcome.code == 0 and outcome.queued, outcome

    @pytest.mark.parametrize("verify", ["-", ""])
    def test_loop(self, verifier, verify):
        verifier.environment["DKVERIFY"] = verify
        again = verifier.directory / "bin" / "again"
        again.write_text("#!/bin/sh\necho again >>\"$0.passes\"\nexec "
                         + " ".join(verifier.command()) + "\n")
        again.chmod(0o755)
        verifier.environment["DKQUEUE"] = str(again)
        outcome = verifier.smtpd(GOOD)
        assert outcome.code == 55 and not outcome.queued
        assert b"leads back" in outcome.log.splitlines()[-1]
        assert again.with_name("again.passes").read_text() == "again\n" * process.MOST_PASSES

    @pytest.mark.parametrize("mark", [None, "1", "yes", "-1", "9" * 5000, "\xb2"])
    @pytest.mark.parametrize("verify", ["-", ""])
    def test_a_scanner_that_sends_a_notice(self, verifier, verify, mark):
        """Through QMAILQUEUE, as all mail of the host; it is no loop."""
        verifier.environment["DKVERIFY"] = verify
        if mark is not None:    # what an older release, or somebody else, has left there
            verifier.environment["QMAIL_QFILTER_VERIFY"] = mark
        notice = b"From: scanner@mx.example.net\n\nThere was a virus for you.\n"
        (verifier.directory / "notice").write_bytes(notice)
        (verifier.directory / "envelope").write_bytes(b"F\0Tbob@example.net\0\0")
        scanner = verifier.directory / "bin" / "scanner"
        scanner.write_text(f"""#!/bin/sh
cd {verifier.directory}
cat >scanned
grep -q EICAR scanned || exec bin/recorder <scanned
$QMAILQUEUE <notice 1<envelope
""")
        scanner.chmod(0o755)
        verifier.environment.update(DKQUEUE=str(scanner), QMAILQUEUE=" ".join(verifier.command()))
        outcome = verifier.smtpd(PLAIN + b"EICAR\n")
        assert outcome.code == 0, outcome
        assert outcome.queued["message"].endswith(notice)
        assert outcome.queued["envelope"] == b"F\0Tbob@example.net\0\0"

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
        if how == "link" and verifier.native is None:
            ours.symlink_to(queue_driver.PROGRAM)
            verifier.program = [str(ours)]
        else:
            if how == "link":
                ours.symlink_to(verifier.command()[0])
            else:
                ours.write_text(f"#!/bin/sh\n# It starts {queue_driver.PROGRAM}.\nexec "
                                + " ".join(verifier.command()) + "\n")
                ours.chmod(0o755)
            verifier.python, verifier.program, verifier.native = [], [str(ours)], None
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
