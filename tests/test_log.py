# SPDX-License-Identifier: MIT
"""What goes to syslog: a line for each signing, a warning with a remedy for each trouble."""

import os
import socket

import pytest

from tests.test_deliveries import Host

SYSLOG = "/dev/log"
MAIL = 2 << 3           # facility, syslog.h
WARNING, INFO = MAIL | 4, MAIL | 6


@pytest.fixture
def log():
    """A socket in the place of the system's syslog daemon, where there is none."""
    if os.path.exists(SYSLOG) or not os.access(os.path.dirname(SYSLOG), os.W_OK):
        pytest.skip(f"needs to be root, and no {SYSLOG}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(SYSLOG)
        server.setblocking(False)
        try:
            yield server
        finally:
            os.unlink(SYSLOG)


def lines(server):
    """-> list of (priority, text after the program's name and pid)."""
    found = []
    while True:
        try:
            datagram = server.recv(4096).decode()
        except BlockingIOError:
            return found
        priority, _, rest = datagram.lstrip("<").partition(">")
        assert "qmail-remote-dk[" in rest
        found.append((int(priority), rest.rstrip("\0").partition("]: ")[2]))


def test_signing(log, tmp_path):
    host = Host(tmp_path)
    host.deliver()
    assert lines(log) == [(INFO, (
        "signed: dkim d=example.com s=default a=rsa-sha256, "
        "domainkeys d=example.com s=default a=rsa-sha1; "
        "host=example.net sender=<joe@example.com> recipient=<jane@example.net>"))]


def test_no_key_no_line(log, tmp_path):
    host = Host(tmp_path)
    host.environment["DKSIGN"] = "/nonexistent/%/default"
    host.deliver()
    assert lines(log) == []


def test_key_readable_by_others(log, tmp_path):
    host = Host(tmp_path)
    path = host.keys / "example.com" / "default"
    path.chmod(0o644)
    host.deliver()
    assert (WARNING, f"warning: {path} is readable by others; remedy: chmod o= {path}") in lines(log)


def test_trouble(log, tmp_path):
    host = Host(tmp_path)
    (host.keys / "example.com" / "default").write_text("rubbish")
    host.deliver()
    host.environment["DKONERROR"] = "unsigned"
    host.deliver()
    (deferred, first), (sent, second) = lines(log)
    assert deferred == sent == WARNING
    assert first.startswith("warning: deferred: ") and "example.com/default: neither a PEM" in first
    assert second.startswith("warning: sent unsigned (DKONERROR): ") and "neither a PEM" in second


def test_header_that_cannot_be_signed(log, tmp_path):
    host = Host(tmp_path)
    host.message.write_bytes(b"From: joe@example.com\nrubbish\n\n\n")
    host.deliver()
    ((priority, line),) = lines(log)
    assert priority == WARNING
    assert "sent unsigned: header line 2 is not a header field" in line


def test_control_characters_stay_out(log, tmp_path):
    from tests import rspawn
    host = Host(tmp_path)
    rspawn.deliver([host.launcher], host.message, host.environment,
                   ("example.net", "a\nb\x1b[2J@example.com", "r\u00e9@example.net"))
    ((_, line),) = lines(log)
    assert "sender=<a?b?[2J@example.com> recipient=<r?" in line
