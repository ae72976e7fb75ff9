# SPDX-License-Identifier: MIT
"""A signing process, as qmail-rspawn sees it."""

import os
import socket
import sys

from ..settings import QMAIL
from . import wire

SIGN = "--sign"                 # the argument that starts a signing process


class Worker:
    """A signing process as qmail-rspawn sees it.

    process_id: None once it is known to have ended
    socket: the connection to it, not blocking
    job: the dispatcher.Job that it is signing, or None
    deadline: time.monotonic() by which it must reply
    """

    __slots__ = ("process_id", "socket", "job", "deadline")

    def __init__(self):
        """Starts the process.  Raises OSError."""
        self.job = None
        self.deadline = None
        self.socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            try:
                self.process_id = start(other.fileno())
            except OSError:
                self.socket.close()
                raise
        self.socket.setblocking(False)

    def send(self, message, envelope_sender):
        """As wire.send_message().  Raises OSError if the process has ended."""
        wire.send_message(self.socket, message, envelope_sender)

    def receive(self):
        """As wire.receive_reply()."""
        return wire.receive_reply(self.socket)


def start(descriptor):
    """Starts a signing process with descriptor as its wire.SOCKET.  Returns its process id.

    It does not inherit the pipes to qmail-send, which would otherwise stay open
    after qmail-rspawn had ended.  Raises OSError.
    """
    files: list = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
    files.append((os.POSIX_SPAWN_DUP2, descriptor, wire.SOCKET))
    return os.posix_spawn(sys.executable, [
        sys.executable, "-IS", "-X", "utf8", "-X", "qmail=" + QMAIL,
        os.path.abspath(sys.argv[0]), SIGN],
        os.environ, file_actions=files, setsigmask=[])
