# SPDX-License-Identifier: MIT
"""The verifier's launcher in sh: what it passes on without Python, under each shell."""

import shutil
import sys

import pytest

from tests.support import queue_driver, rspawn, shells

MESSAGE = b"From: a@example.com\n\ntext\n"
PYTHON = """#!/bin/sh
echo "Python $*" >&2
exit 111
"""


@pytest.fixture(params=["dash", "bash", "busybox", "mksh", "ksh93", "posh", "yash"])
def host(request, tmp_path):
    """A Host with the launcher in sh, and a script in the place of Python."""
    host = queue_driver.Host(tmp_path)
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    text = (rspawn.CHECKOUT / "launcher" / "qmail-dk-verify").read_text()
    for name, value in (("@PYTHON@", python), ("@QMAIL@", tmp_path),
                        ("@PROGRAM@", queue_driver.PROGRAM)):
        text = text.replace(name, str(value))
    host.launcher = tmp_path / "launcher"
    host.launcher.write_text(text)
    host.launcher.chmod(0o755)
    host.python, host.program = [str(shells.named_sh(tmp_path, request.param))], [
        str(host.launcher)]
    host.default = host.queue_program(tmp_path / "bin" / "qmail-queue")
    return host


def outcome(host, **environment):
    """Returns the variable that counts the passes, None if Python runs."""
    host.environment.update(environment)
    for file in (host.directory / "queued").iterdir():
        file.unlink()
    found = host.smtpd(MESSAGE)
    if found.code == 111:
        assert found.log.startswith(b"Python ") and not found.queued
        return None
    assert (found.code, found.log, found.queued["message"]) == (0, b"", MESSAGE)
    assert found.queued["envelope"] == queue_driver.ENVELOPE
    assert found.queued["process"] == found.process     # it has become the queue program
    return found.queued["environment"]["QMAIL_QFILTER_VERIFY"]


def test_passed_on(host):
    assert outcome(host) == "1"
    assert outcome(host, DKVERIFY="") == "1"
    assert outcome(host, RELAYCLIENT="", DKVERIFY="BCD") == "1"
    assert outcome(host, DKQUEUE="") == "1"
    assert outcome(host, QMAIL_QFILTER_VERIFY="6") == "7"
    del host.environment["DKQUEUE"]
    assert outcome(host) == "7"


@pytest.mark.parametrize("environment", [
    {"DKVERIFY": "-"}, {"DKVERIFY": " "}, {"DKQUEUE": "bin/recorder"}, {"DKQUEUE": "/nonexistent"},
    {"DKQUEUE": "/etc/passwd"}, {"DKQUEUE": " "}, {"QMAIL_QFILTER_VERIFY": "8"},
    {"QMAIL_QFILTER_VERIFY": ""}, {"QMAIL_QFILTER_VERIFY": "10"}], ids=str)
def test_left_to_python(host, environment):
    assert outcome(host, **environment) is None


@pytest.mark.parametrize("kind", ["file", "link"])
@pytest.mark.parametrize("name", ["dkverify", "dkqueue"])
def test_control_files(host, name, kind):
    """One that is there is Python's to read."""
    del host.environment["DKQUEUE"]
    path = host.directory / "control" / name
    if kind == "file":
        path.write_text("")
    else:
        path.symlink_to("nowhere")
    assert outcome(host) is None


def test_in_the_place_of_qmail_queue(host):
    """The launcher's own name says so; elsewhere Python finds out which of the two is qmail's."""
    del host.environment["DKQUEUE"]
    host.default.rename(host.directory / "bin" / "qmail-queue.orig")
    host.queue_program(host.default, code=99)
    assert outcome(host) is None
    launcher = host.directory / "bin" / "qmail-queue.launcher"
    host.launcher.rename(launcher)
    host.program = [str(launcher), str(host.default)]
    assert outcome(host) == "1"


@pytest.mark.parametrize("redirection", [">/dev/null", "1<>/dev/null", "2>&-", ">&-"])
def test_odd_descriptors(host, redirection):
    host.prefix = ["/bin/sh", "-c", f'"$@" {redirection}', "sh"]
    host.smtpd(MESSAGE)
    assert not host.queued()


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_one_process(host):
    """No command but sh, and then the queue program."""
    trace = host.directory / "trace"
    host.prefix = [shutil.which("strace"), "-f", "-qq", "-o", str(trace), "-e",
                   "trace=execve,clone,clone3,fork,vfork"]
    host.queue_program(host.recorder).write_text("#!/bin/sh\n")
    host.smtpd(MESSAGE)
    assert len(trace.read_text().splitlines()) <= 2 + ("busybox" in host.python[0]), sys.version
