# SPDX-License-Identifier: MIT
"""Few processes allowed (RLIMIT_NPROC): mail is put off, or passes, but is not lost or bounced.

The limit counts all processes of a user, and none of root's, so these tests run
the programs as a user that nobody else is.
"""

import itertools
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

from tests.support import deliveries
from tests.support import fault_subjects, install_driver, resident, rspawn, rspawn_driver
from tests.support.resident_signer import Host, assert_kept_its_word, recipients

USERS = itertools.count(100_000 + os.getpid() % 10_000 * 100)   # not in use, and never again

# They become somebody else.
pytestmark = [pytest.mark.root,
              pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv")]

# A qmail-remote that starts no processes, unlike an sh script.
KEEPS = """#!{python} -IS
import os, sys
with open(os.environ["SCRATCH"] + {name}, "wb") as file:
    file.write(sys.stdin.buffer.read())
os.write(1, {report!r})
"""


def as_user(user, processes=100):
    """The start of a command that is to be a user's, who has so many processes at most."""
    return [shutil.which("prlimit"), f"--nproc={processes}", shutil.which("setpriv"),
            "--reuid", user, "--regid", user, "--clear-groups"]


def limited(directory, processes):
    """as_user() with a new user, to whom all of a directory belongs now."""
    user = str(next(USERS))
    subprocess.run(["chown", "-R", f"{user}:{user}", directory], check=True)
    return as_user(user, processes)


@pytest.fixture(scope="module")
def python():
    """An interpreter that everybody may run."""
    for path in (rspawn.PYTHON, "/usr/bin/python3"):
        if install_driver.verifies(path, as_user(str(next(USERS))), rspawn.open_checkout()):
            return path
    pytest.skip("no interpreter, with dkimpy and dnspython, that others than root may run")


@pytest.fixture
def directory():
    """pytest's own is closed to others."""
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o755)
        yield pathlib.Path(path)


def test_signer(directory, python):
    """The launcher is one, the signer another, which the original then becomes."""
    host = deliveries.Host(directory)
    host.program("original", KEEPS.format(python=python, name='"/sent"',
                                          report=b"r\0Kaccepted\n\0"))
    launcher = rspawn.install_launcher(directory, python=python,
                                       script=rspawn.open_checkout() / "qmail_remote_dk.py")
    for processes in range(1, 5):
        (directory / "sent").unlink(missing_ok=True)
        command = [*limited(directory, processes), launcher]
        result = rspawn.deliver(command, host.message, host.environment)
        if processes == 1:
            assert result.verdict == "Z" and host.sent is None, result
        else:
            assert result == ("K", b"accepted\n") and host.sent_signed()


def test_resident_signer(directory, python):
    """It is one, with two threads; those that sign are two for two messages, and each
    qmail-remote is one more."""
    host = Host(directory)
    host.program("remote", KEEPS.format(python=python, report=b"r\0Kok\n\0",
                                        name='f"/sent/{sys.argv[3]} {os.getpid()}"'))
    commands = recipients(host, 6)
    _, *options, program, concurrency = host.ours_command()
    program = rspawn.open_checkout() / program.relative_to(rspawn.CHECKOUT)
    delivered = {}
    for processes in (1, 2, 3, 4, 5, 6, 30):
        for file in (directory / "sent").iterdir():
            file.unlink()
        command = [*limited(directory, processes), python, *options, program, concurrency]
        with rspawn_driver.Running(command, host.environment) as running:
            running.send(commands)
            delivered[processes] = assert_kept_its_word(host, running.answers(6), 6)
            assert running.finish() == ([], 0)
    assert delivered[1] == 0 < delivered[6] and delivered[30] == 6


def run_by_others(host, python):
    """Makes a queue_driver.Host one whose programs anybody may run."""
    host.python[0] = python
    host.program = [str(rspawn.open_checkout() / "qmail_qfilter_verify.py")]
    recorder = host.recorder
    recorder.write_text(recorder.read_text().replace(sys.executable, python))


def test_verifier(directory, python):
    """It becomes the queue program, so one is enough."""
    with fault_subjects.Client(directory) as client:
        run_by_others(client.host, python)
        client.host.prefix = limited(directory, 1)
        for way in ("smtpd", "qfilter"):
            outcome = client.run(way)
            assert client.verdict(outcome) == "accepted", outcome


def test_resident_verifier(directory, python):
    """It is one, each of its workers another; one worker is enough, and without it mail passes."""
    with fault_subjects.Client(directory) as client:
        run_by_others(client.host, python)
        for processes in (1, 2, 3):
            user = str(next(USERS))
            running = resident.Resident(client.dns.address, prefix=[
                "/bin/sh", "-c", 'chown "$0" "${DKSERVER%/*}" && exec "$@"', user,
                *as_user(user, processes)])
            running.python = python
            running.program = [str(rspawn.open_checkout() / path) for path in (
                "tests/support/patient.py", "lib/qmail_dk_verifyd.py")]
            running.arguments = ["--workers", "2"]
            running.start()
            client.host.environment["DKSERVER"] = running.path
            if processes > 1:
                running.wait_for("are ready")
            else:
                assert running.process.wait(resident.LONGEST_WAIT) == 111
            assert ("unable to start a worker: " in running.log()) == (processes < 3)
            # He believes root's server, and his own.
            subprocess.run(["chown", "-R", f"{user}:{user}", directory], check=True)
            client.host.prefix = as_user(user)
            outcome = client.run("smtpd")
            assert client.verdict(outcome) == "accepted", outcome
            assert outcome.log.endswith(b"; resident\n") == (processes > 1)
            running.process.terminate()
            running.process.wait(resident.LONGEST_WAIT)
            shutil.rmtree(running.directory)
