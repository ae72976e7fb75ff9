# SPDX-License-Identifier: MIT
"""The verifier where something is broken, lacking or full: what its caller takes for temporary."""

import os
import shutil
import socket
import sys

import pytest

from tests.support import memory, queue_driver, rspawn, verifying
from tests.support.verifier import (      # noqa: F401
    GOOD, MEGABYTES, PLAIN, assert_one_line, below, broken, dns, host, verifier,
)


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
    "a relative directory": (damage("TMPDIR", "tmp"), MEGABYTES, 55, b"TMPDIR"),
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


def test_a_bad_directory_for_large_messages_concerns_no_small_one(verifier):
    verifier.environment["TMPDIR"] = "tmp"
    outcome = verifier.smtpd(GOOD)
    assert outcome.code == 0 and outcome.queued, outcome


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


def by_launcher(verifier):
    """Has the verifier started by its launcher, as qmail-smtpd does."""
    text = (rspawn.CHECKOUT / "launcher" / "qmail-dk-verify").read_text()
    for name, value in (("@PYTHON@", sys.executable), ("@QMAIL@", verifier.directory),
                        ("@PROGRAM@", verifier.program[0])):
        text = text.replace(name, str(value))
    launcher = verifier.directory / "qmail-dk-verify"
    launcher.write_text(text)
    launcher.chmod(0o755)
    verifier.python, verifier.program = [], [str(launcher)]


SOFTLIMIT = b"remedy: softlimit -m 100000000 in the run script of qmail-smtpd"


def test_little_memory(verifier):
    """Whatever Python or the loader makes of it, the log has the remedy.  (Under some 16 MB
    Python 3.11 may take minutes to fail.)"""
    by_launcher(verifier)
    codes = set()
    for kilobytes in (4_000, 6_000, 8_000, 10_000, 12_000, *range(20_000, 60_000, 5_000)):
        verifier.prefix = ["/bin/sh", "-c", f'ulimit -v {kilobytes}; exec "$@"', "sh"]
        outcome = verifier.smtpd(GOOD)
        assert outcome.code in (0, 51), outcome
        assert bool(outcome.queued) == (outcome.code == 0)
        assert outcome.log.count(SOFTLIMIT) == (outcome.code == 51), outcome
        codes.add(outcome.code)
        shutil.rmtree(verifier.directory / "queued")
        (verifier.directory / "queued").mkdir()
    assert codes == {0, 51}


def test_the_program_has_gone(verifier, tmp_path):
    """The launcher in the place of qmail-queue outlives a prefix that is lost."""
    missing = str(tmp_path / "release-1" / "qmail_qfilter_verify.py")
    verifier.program = [missing]
    by_launcher(verifier)
    outcome = verifier.smtpd(GOOD)
    assert outcome.code == 71
    assert_one_line(outcome.log, f"deferred: {missing} is missing or can't be read; remedy: run "
                    "install.sh again; client=".encode())


def test_little_memory_and_a_socket_as_standard_error(verifier):
    by_launcher(verifier)
    verifier.prefix = ["/bin/sh", "-c", 'ulimit -v 6000; exec "$@"', "sh"]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        verifier.descriptors = {2: theirs.fileno()}
        assert verifier.smtpd(GOOD).code == 51
        theirs.close()
        assert SOFTLIMIT not in ours.recv(1000)


LACKS = {
    "no memory": ("raise MemoryError", 51),
    "an exception that was lost": ("raise SystemError('error return without exception set')", 51),
    "a library": ("raise ImportError('x.so: failed to map segment from shared object')", 51),
    "a library, musl":
        ("raise ImportError('Error loading shared library x.so: Out of memory')", 51),
    "errno": ("raise OSError(12, 'Cannot allocate memory')", 51),
    "not even for the line":
        ("class E(OSError):\n    def __str__(self): raise MemoryError\nraise E", 51),
}


def with_a_library_of(verifier, text):
    """Returns the Outcome of the verifier with a lib/__init__.py of this text alone."""
    broken = verifier.directory / "broken"
    (broken / "lib").mkdir(parents=True)
    shutil.copy(queue_driver.PROGRAM, broken)
    (broken / "lib" / "__init__.py").write_text(text + "\n")
    verifier.program = [str(broken / "qmail_qfilter_verify.py")]
    return verifier.smtpd(GOOD)


@pytest.mark.parametrize("lack", LACKS)
def test_lack_of_memory_is_known(verifier, lack):
    """By what Python and the loader of libraries call it."""
    code, expected = LACKS[lack]
    outcome = with_a_library_of(verifier, code)
    assert outcome.code == expected
    assert_one_line(outcome.log, SOFTLIMIT)


@pytest.mark.parametrize("text", [
    "", "def find_spec(name", "raise EOFError('cut short')", "\0" * 20,
    "import marshal; marshal.loads(bytes(20))"])
def test_a_file_that_is_damaged(verifier, text):
    """Or missing, as after half a restoration: the caller tries again, the log has the remedy."""
    outcome = with_a_library_of(verifier, text)
    assert outcome.code in (71, 81)
    assert_one_line(outcome.log, b"; remedy: run install.sh again")


# Headers of a megabyte that take the most memory.
LARGE_HEADERS = {
    "fields": b"a:\n" * 345_000,
    "CRs": b"a: " + b"\r" * 1_000_000 + b"\n",
    "lines after CRs": b"a: " + b"\ra" * 500_000 + b"\rAuthentication-Results: x\n",
    "folds": b"a:" + b"\n x" * 330_000 + b"\n",
}


@pytest.mark.parametrize("what", LARGE_HEADERS)
def test_the_softlimit_of_our_documents_is_enough(verifier, what):
    """softlimit -m 100000000, or 150000000, for whatever header there is."""
    verifier.prefix = ["/bin/sh", "-c", f'ulimit -v {memory.ADVISED // 1024}; exec "$@"', "sh"]
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
