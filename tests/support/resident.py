# SPDX-License-Identifier: MIT
"""Runs the resident verifier for tests, and servers that misbehave."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

from lib.mail import message
from lib.verifying import exchange
from lib.verifying.report import Terms
from tests.support import native, patient, queue_driver

LONGEST_WAIT = 120      # seconds; anything slower has failed

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PATIENT = ROOT + "/tests/support/patient.py"
PROGRAM = ROOT + "/lib/qmail_dk_verifyd.py"
TERMS = Terms(1024, False, b"mx.example.net")


class Place:
    """A directory for a socket, with a short name since a socket's path must be short."""

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="qmail-dk-", dir="/tmp")
        os.chmod(self.directory, 0o755)
        self.path = self.directory + "/verify.sock"
        return self

    def __exit__(self, *exception):
        shutil.rmtree(self.directory)


class Resident(Place):
    """A running qmail-dk-verifyd; a context manager.

    dns: value of DNSCACHEIP; None: the control file's; prefix: words in front of the command
    """

    python = sys.executable
    program = (PATIENT, PROGRAM)

    def __init__(self, dns, *arguments, qmail="/nonexistent", user=None, prefix=()):
        user = user or ("nobody" if os.geteuid() == 0 else None)
        self.arguments = [*arguments, *(["--user", user] if user else [])]
        self.environment = {"DNSCACHEIP": dns} if dns else {}
        self.qmail = qmail
        self.prefix = prefix

    def __enter__(self):
        self.start()
        try:
            self.wait_for("are ready")
        except AssertionError:
            self.process.kill()
            super().__exit__()
            raise
        return self

    def start(self, **options):
        super().__enter__()
        self.log_path = self.directory + "/log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [*self.prefix, self.python, "-IS", "-X", f"qmail={self.qmail}",
                 *self.program, *self.arguments],
                env={**self.environment, "DKSERVER": self.path}, stderr=log, **options)

    def __exit__(self, *exception):
        self.process.terminate()
        try:
            assert self.process.wait(LONGEST_WAIT) == 0, self.log()
        finally:
            self.process.kill()
            super().__exit__(*exception)

    def log(self):
        with open(self.log_path, encoding="ascii") as file:
            return file.read()

    def wait_for(self, text, count=1):
        """Waits until the log contains the text count times."""
        until_true(lambda: self.log().count(text) >= count or self.process.poll() is not None)
        assert self.log().count(text) >= count, self.log()

    def workers(self):
        return children(self.process.pid)


def children(process):
    with open(f"/proc/{process}/task/{process}/children", encoding="ascii") as file:
        return {int(number) for number in file.read().split()}


def until_true(condition, explain=lambda: ""):
    """Waits until condition() is true.  explain: returns text for a failure."""
    end = time.monotonic() + LONGEST_WAIT
    while not condition():
        assert time.monotonic() < end, f"it did not come to pass\n{explain()}"
        time.sleep(0.02)


@contextlib.contextmanager
def file_of(text):
    """A context with (descriptor, message.Header) of a message."""
    with tempfile.TemporaryFile() as file:
        file.write(text)
        file.flush()
        yield file.fileno(), message.split([text])[0]


def ask(path, text, terms=TERMS):
    """Asks the server.  Returns its Report.  Raises exchange.NoAnswer."""
    patient.be_patient(server=False)
    with file_of(text) as (fd, header):
        return exchange.ask(path, fd, header, terms)


class BadServer(Place):
    """A server that calls behave(connection, packet, fds) for each request."""

    def __init__(self, behave, kind=socket.SOCK_SEQPACKET, waiting=10):
        self.behave, self.kind, self.waiting = behave, kind, waiting
        self.reached = 0

    def __enter__(self):
        super().__enter__()
        self.listening = socket.socket(socket.AF_UNIX, self.kind)
        self.listening.bind(self.path)
        self.listening.listen(self.waiting)
        if self.behave:
            threading.Thread(target=self.run, daemon=True).start()
        return self

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                connection = self.listening.accept()[0]
                packet, fds, _, _ = socket.recv_fds(connection, 1024, 4)
                self.reached += 1
                with connection:
                    self.behave(connection, packet, fds)
                for fd in fds:
                    os.close(fd)

    def __exit__(self, *exception):
        self.listening.close()
        super().__exit__(*exception)


def run_both(host, path, text, way="smtpd", patience=True):
    """Returns a list of the Outcomes without a server, in Python alone, and with the one at path.

    patience: whether to wait for the server longer than outside of tests
    """
    outcomes = []
    host.program = [PATIENT, queue_driver.PROGRAM] if patience else [queue_driver.PROGRAM]
    launcher = host.native
    if launcher is not None:
        launcher = (native.PATIENT,) if patience else ()
    for server, host.native in (("-", None), (path, launcher)):
        host.environment["DKSERVER"] = server
        outcomes.append(getattr(host, way)(text))
    return outcomes


def assert_same(first, second):
    assert (first.code, first.reason, first.output) == (second.code, second.reason, second.output)
    assert first.queued.get("message") == second.queued.get("message")
    assert first.queued.get("envelope") == second.queued.get("envelope")
    told = [re.sub(rb"qp \d+ |dns [\d.]+ s", b"", outcome.log) for outcome in (first, second)]
    assert told[0] == re.sub(rb"; (resident|no answer of [^;]*)(?=;|\n)", b"", told[1])
