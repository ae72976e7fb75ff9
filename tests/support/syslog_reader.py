# SPDX-License-Identifier: MIT
"""A stand-in for the syslog daemon that reads the signer's lines about a delivery."""

import contextlib
import os
import socket
import threading

import pytest

from tests.support import rspawn

SYSLOG = "/dev/log"
MAIL = 2 << 3           # facility, syslog.h
WARNING, INFO = MAIL | 4, MAIL | 6
END = "that was all"


@contextlib.contextmanager
def daemon():
    """A socket in the place of the system's syslog daemon, if there is none."""
    if os.path.lexists(SYSLOG) or not os.access(os.path.dirname(SYSLOG), os.W_OK):
        pytest.skip(f"needs to be root, and no {SYSLOG}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(SYSLOG)
        os.chmod(SYSLOG, 0o666)
        try:
            yield server
        finally:
            os.unlink(SYSLOG)


class Reader:
    """Reads all datagrams at once, since other tests may log at the same time."""

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
    """Returns the lines about a host, list of (priority, text after the program and its pid)."""
    reader.end()
    found = []
    for datagram in reader.datagrams:
        priority, _, rest = datagram.lstrip("<").partition(">")
        if str(host.directory) in rest or f"recipient=<{recipient(host)}>" in rest:
            assert "qmail-remote-dk[" in rest
            found.append((int(priority), rest.rstrip("\0\n").partition("]: ")[2]))
    return found


def recipient(host):
    return f"{host.directory.name}@example.net"


def whole(host):
    """Gives the host a message to which relays add no field."""
    host.message.write_bytes(b"Date: Tue, 14 Nov 2023 22:13:20 +0000\nTo: jane@example.net\n"
                             b"From: joe@example.com\n\nHello.\n")


def deliver(host, sender="joe@example.com"):
    return rspawn.deliver([host.launcher], host.message, host.environment,
                          ("example.net", sender, recipient(host)))
