# SPDX-License-Identifier: MIT
"""The processes that sign for qmail-rspawn.

Each has a socket to it, on descriptor SOCKET and on no other, so that it ends
when qmail-rspawn does.  One message at a time: in comes the envelope sender,
with the message's descriptor; out goes a Reply, with the signed copy's.  Key
files are read for each message; their keys are forgotten when there is no work.
"""

import marshal
import os
import select
import socket
import sys
import time

from . import keys, outbound, process, signed_messages
from .settings import QMAIL
from .spawn_protocol import trouble_text

SOCKET = 3
SIGN = "--sign"                 # the argument that makes the program one of these
LONGEST = 64 * 1024             # bytes of a request or a reply: what any socket takes
IDLE = 1                        # seconds without work
LONGEST_SENDER = 1024           # bytes


class Reply:
    """What became of a message.

    trouble: why it can't be signed, str, or ""; the rest is as in
    signed_messages.SignedMessage, lifetime in seconds
    """

    __slots__ = ("trouble", "copy", "remarks", "files", "lifetime")

    def __init__(self, trouble, copy, remarks, files, lifetime):
        self.trouble = trouble
        self.copy = copy
        self.remarks = remarks
        self.files = files
        self.lifetime = lifetime

    def send(self, parent):
        """Sends itself over a socket, and closes its descriptor.

        Deep domains in a message give hundreds of places for keys; where they
        don't fit into a reply, the message is signed anew for each recipient.
        """
        descriptors = [] if self.copy is None else [self.copy]
        head = (self.trouble, len(descriptors), self.remarks)
        data = marshal.dumps((*head, self.files, self.lifetime))
        if len(data) > LONGEST:
            data = marshal.dumps((*head, {}, 0))
        socket.send_fds(parent, [data], descriptors)
        process.close(self.copy)


def serve():
    """Signs what comes through SOCKET until its other end is closed."""
    keys.keep_loaded = True
    with socket.socket(fileno=SOCKET) as parent:
        while True:
            if not select.select([parent], [], [], IDLE)[0]:
                keys.in_use.clear()
                select.select([parent], [], [])
            data, descriptors, _, _ = socket.recv_fds(parent, LONGEST, 1)
            if not data:
                return
            message, = descriptors
            sign(message, marshal.loads(data)).send(parent)
            process.close(message)


def sign(message, envelope_sender, clock=time.time):
    """Signs the message of a descriptor -> Reply."""
    in_force = signed_messages.NotedSettings(os.environ)
    try:
        fields, remarks = outbound.sign_message(message, envelope_sender, in_force, clock)
        copy = outbound.signed_copy(fields, message, in_force) if fields else None
        return Reply("", copy, remarks, in_force.files, lifetime(in_force) if fields
                     else signed_messages.LONGEST)
    except Exception as trouble:    # as in the program for one delivery: its delivery is deferred
        return failed(trouble, in_force)


def failed(trouble, in_force):
    """The Reply for trouble of ours; such a message is not kept."""
    try:
        if in_force.unsigned_on_error():
            remark = f"sent unsigned (DKONERROR): {trouble!r}"
            return Reply("", None, [(True, remark)], {}, 0)
    except Exception as worse:
        trouble = worse
    return Reply(trouble_text(trouble), None, [], {}, 0)


def lifetime(in_force):
    """For how many seconds a signature may be used: a tenth of DKIMEXPIRE at most."""
    expire = in_force.seconds("DKIMEXPIRE")
    return min(signed_messages.LONGEST, expire / 10) if expire else signed_messages.LONGEST


class Worker:
    """qmail-rspawn's side of one of these processes.

    process_id: None once it is known to have ended; job: what it is signing,
    or None; deadline: time.monotonic() by which it must be done
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
        """Hands a message over.  Raises OSError if the process has ended."""
        # No more of a long sender than can be a domain.
        socket.send_fds(self.socket, [marshal.dumps(envelope_sender[-LONGEST_SENDER:])], [message])

    def receive(self):
        """-> Reply, or None if the process has ended.  Raises BlockingIOError."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self.socket, LONGEST, 1)
            for descriptor in descriptors:
                os.set_inheritable(descriptor, False)
        except BlockingIOError:
            raise
        except OSError:
            return None
        if not data:
            return None
        trouble, has_copy, remarks, files, seconds = marshal.loads(data)
        if has_copy and not descriptors:
            trouble = "no descriptor is left for the signed copy"
        return Reply(trouble, descriptors[0] if descriptors else None, remarks, files, seconds)


def start(descriptor):
    """Starts a process whose SOCKET descriptor becomes -> its id.  Raises OSError.

    It has not the pipes to qmail-send, for which they would then outlive qmail-rspawn.
    """
    files = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
    files.append((os.POSIX_SPAWN_DUP2, descriptor, SOCKET))
    return os.posix_spawn(sys.executable, [
        sys.executable, "-IS", "-X", "utf8", "-X", "qmail=" + QMAIL,
        os.path.abspath(sys.argv[0]), SIGN],
        os.environ, file_actions=files, setsigmask=[])


def check():
    """Raises ImportError or Trouble where nothing could be signed."""
    from . import crypto, dkim_sign, domainkeys_sign    # noqa: F401 (what outbound imports late)
    crypto.backend()
