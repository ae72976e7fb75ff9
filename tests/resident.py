# SPDX-License-Identifier: MIT
"""Runs the resident verifier for tests, and servers that are worse than it."""

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

from lib import message, resident_exchange

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TERMS = resident_exchange.Terms(1024, False, b"mx.example.net")


class Place:
    """A directory with room for a socket: paths of sockets are short."""

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="qmail-dk-", dir="/tmp")
        os.chmod(self.directory, 0o755)
        self.path = self.directory + "/verify.sock"
        return self

    def __exit__(self, *exception):
        shutil.rmtree(self.directory)


class Resident(Place):
    """qmail-dk-verifyd, from its start to its end.

    dns: of DNSCACHEIP; None: as the control file says; prefix: what runs it
    """

    python = sys.executable

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
                 ROOT + "/lib/qmail_dk_verifyd.py", *self.arguments],
                env={**self.environment, "DKSERVER": self.path}, stderr=log, **options)

    def __exit__(self, *exception):
        self.process.terminate()
        try:
            assert self.process.wait(20) == 0, self.log()
        finally:
            self.process.kill()
            super().__exit__(*exception)

    def log(self):
        with open(self.log_path, encoding="ascii") as file:
            return file.read()

    def wait_for(self, text, count=1):
        """Waits until the log has the text so often."""
        until_true(lambda: self.log().count(text) >= count or self.process.poll() is not None)
        assert self.log().count(text) >= count, self.log()

    def workers(self):
        return children(self.process.pid)


def children(process):
    with open(f"/proc/{process}/task/{process}/children", encoding="ascii") as file:
        return {int(number) for number in file.read().split()}


def until_true(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


@contextlib.contextmanager
def file_of(text):
    """-> (descriptor, message.Header) of a message."""
    with tempfile.TemporaryFile() as file:
        file.write(text)
        file.flush()
        yield file.fileno(), message.split([text])[0]


def ask(path, text, terms=TERMS):
    """The Report of the server.  Raises resident_exchange.NoAnswer."""
    with file_of(text) as (fd, header):
        return resident_exchange.ask(path, fd, header, terms)


class BadServer(Place):
    """A server that answers each request as behave(connection, packet, fds) does."""

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


def run_both(host, path, text, way="smtpd"):
    """-> outcomes without a server, and with the one at path."""
    outcomes = []
    for server in ("-", path):
        host.environment["DKSERVER"] = server
        outcomes.append(getattr(host, way)(text))
    return outcomes


def assert_same(first, second):
    assert (first.code, first.reason, first.output) == (second.code, second.reason, second.output)
    assert first.queued.get("message") == second.queued.get("message")
    assert first.queued.get("envelope") == second.queued.get("envelope")
    told = [re.sub(rb"qp \d+ |dns [\d.]+ s", b"", outcome.log) for outcome in (first, second)]
    assert told[0][:-1] == told[1][:len(told[0]) - 1]
