# SPDX-License-Identifier: MIT
"""What goes to syslog: a line for each signing, a warning with a remedy for each trouble."""

import contextlib
import ctypes
import os
import signal
import socket
import syslog
import threading

import pytest

from lib import maillog, process
from tests import rspawn
from tests.test_deliveries import Host

SYSLOG = "/dev/log"
MAIL = 2 << 3           # facility, syslog.h
WARNING, INFO = MAIL | 4, MAIL | 6
END = "that was all"


@contextlib.contextmanager
def daemon():
    """A socket in the place of the system's syslog daemon, where there is none."""
    if os.path.exists(SYSLOG) or not os.access(os.path.dirname(SYSLOG), os.W_OK):
        pytest.skip(f"needs to be root, and no {SYSLOG}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(SYSLOG)
        try:
            yield server
        finally:
            os.unlink(SYSLOG)


class Reader:
    """Takes all datagrams at once, for other tests may log at the same time."""

    def __init__(self, server):
        self.datagrams = []
        self.thread = threading.Thread(target=self.read, args=(server,))
        self.thread.start()

    def read(self, server):
        self.datagrams.extend(iter(lambda: server.recv(4096).decode(), END))

    def end(self):
        if self.thread.is_alive():
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
                last.sendto(END.encode(), SYSLOG)
            self.thread.join()


@pytest.fixture
def log():
    with daemon() as server:
        reader = Reader(server)
        yield reader
        reader.end()


def lines(reader, host):
    """-> list of (priority, text after the program's name and pid), those about the host."""
    reader.end()
    found = []
    for datagram in reader.datagrams:
        priority, _, rest = datagram.lstrip("<").partition(">")
        if str(host.directory) in rest or f"recipient=<{recipient(host)}>" in rest:
            assert "qmail-remote-dk[" in rest
            found.append((int(priority), rest.rstrip("\0").partition("]: ")[2]))
    return found


def recipient(host):
    return f"{host.directory.name}@example.net"


def deliver(host, sender="joe@example.com"):
    return rspawn.deliver([host.launcher], host.message, host.environment,
                          ("example.net", sender, recipient(host)))


def test_signing(log, tmp_path):
    host = Host(tmp_path)
    deliver(host)
    assert lines(log, host) == [(INFO, (
        "signed: dkim d=example.com s=default a=rsa-sha256, "
        "domainkeys d=example.com s=default a=rsa-sha1; "
        f"host=example.net sender=<joe@example.com> recipient=<{recipient(host)}>"))]


def test_no_key_no_line(log, tmp_path):
    host = Host(tmp_path)
    host.environment["DKSIGN"] = "/nonexistent/%/default"
    deliver(host)
    assert lines(log, host) == []


def test_key_readable_by_others(log, tmp_path):
    host = Host(tmp_path)
    path = host.keys / "example.com" / "default"
    path.chmod(0o644)
    deliver(host)
    assert (WARNING, f"warning: {path} is readable by others; remedy: chmod o= {path}") in (
        lines(log, host))


def test_trouble(log, tmp_path):
    host = Host(tmp_path)
    (host.keys / "example.com" / "default").write_text("rubbish")
    deliver(host)
    host.environment["DKONERROR"] = "unsigned"
    deliver(host)
    (deferred, first), (sent, second) = lines(log, host)
    assert deferred == sent == WARNING
    assert first.startswith("warning: deferred: ") and "example.com/default: neither a PEM" in first
    assert second.startswith("warning: sent unsigned (DKONERROR): ") and "neither a PEM" in second
    assert second.endswith(f"sender=<joe@example.com> recipient=<{recipient(host)}>")


def test_header_that_cannot_be_signed(log, tmp_path):
    host = Host(tmp_path)
    host.message.write_bytes(b"From: joe@example.com\nrubbish\n\n\n")
    deliver(host)
    ((priority, line),) = lines(log, host)
    assert priority == WARNING
    assert "sent unsigned: header line 2 is not a header field" in line


def test_control_characters_stay_out(log, tmp_path):
    host = Host(tmp_path)
    deliver(host, sender="a\nb\x1b[2J\u00e9@example.com")
    ((_, line),) = lines(log, host)
    assert "sender=<a?b?[2J?" in line


@contextlib.contextmanager
def stuck():
    """A daemon that takes no more lines."""
    with daemon(), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                sender.sendto(b"a line", SYSLOG)
        yield


@pytest.mark.parametrize("key, verdict", [(None, "K"), ("rubbish", "Z")])
def test_a_stuck_daemon_holds_nothing_up(tmp_path, key, verdict):
    host = Host(tmp_path)
    if key:
        (host.keys / "example.com" / "default").write_text(key)
    with stuck():
        assert deliver(host).verdict == verdict


def test_after_a_line_that_was_not_taken_none_is_tried(monkeypatch):
    monkeypatch.setattr(maillog, "silent_until", 0)
    with stuck():
        maillog.info("first")
    monkeypatch.setattr(syslog, "syslog", None)     # a call would fail
    maillog.info("second")
    monkeypatch.setattr(maillog, "silent_until", 0)
    with pytest.raises(TypeError):
        maillog.info("third")


def test_what_waits_is_interrupted():
    pause = ctypes.CDLL(None).pause
    assert process.takes_longer(0.01, pause)
    assert not process.takes_longer(60, len, "")
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL
