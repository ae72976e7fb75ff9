# SPDX-License-Identifier: MIT
"""The requests and replies between qmail-rspawn and its signing processes.

A request is the envelope sender with the descriptor of the message, the answer a
Reply with the descriptor of the signed copy.  A process gets one request at a time,
over a socket of type SOCK_SEQPACKET, so each arrives whole.
"""

import array
import marshal
import socket

from .. import process

SOCKET = 3                      # the descriptor of the signing process
LONGEST = 64 * 1024             # bytes of a request or a reply; any socket takes these
LONGEST_SENDER = 1024           # bytes; a domain has 253 at most


def send_message(to, message, envelope_sender):
    """Sends a message (descriptor) and its envelope sender (bytes).  Raises OSError."""
    # Only the sender's domain matters, so the end of a long one is enough.
    socket.send_fds(to, [marshal.dumps(envelope_sender[-LONGEST_SENDER:])], [message])


def receive_message(sent):
    """Returns (message as a descriptor, envelope sender as bytes), or None at the end.

    The end comes when qmail-rspawn closes its socket, or has ended.
    """
    data, descriptors, _, _ = socket.recv_fds(sent, LONGEST, 1)
    if not data:
        return None
    message, = descriptors
    return message, marshal.loads(data)


class Reply:
    """The result of signing a message.

    trouble: why it can't be signed, str, or ""
    scarce: whether something has run out
    last: whether the process exits after this reply
    copy, remarks, files: as in signed_messages.SignedMessage
    lifetime: seconds until the message must be signed anew
    """

    __slots__ = ("trouble", "copy", "remarks", "files", "lifetime", "scarce", "last")

    def __init__(self, trouble, copy, remarks, files, lifetime, scarce=False, last=False):
        self.trouble = trouble
        self.scarce = scarce
        self.last = last
        self.copy = copy
        self.remarks = remarks
        self.files = files
        self.lifetime = lifetime

    def send(self, to):
        """Sends the reply over a socket and closes its descriptor.

        Deep domains in a message have hundreds of paths where keys may be.  If
        these don't fit into a reply, the message is signed anew for each recipient.
        """
        descriptors = [] if self.copy is None else [self.copy]
        head = (self.trouble, self.scarce, self.last, len(descriptors), self.remarks)
        data = marshal.dumps((*head, self.files, self.lifetime))
        if len(data) > LONGEST:
            data = marshal.dumps((*head, {}, 0))
        socket.send_fds(to, [data], descriptors)
        process.close(self.copy)


def receive_reply(sent):
    """Returns a Reply, or None if the process has ended.  Raises BlockingIOError."""
    try:
        # socket.recv_fds() ignores its flags; without this one, a program that another thread
        # starts might inherit the descriptor.
        data, parts, _, _ = sent.recvmsg(LONGEST, socket.CMSG_SPACE(array.array("i").itemsize),
                                         socket.MSG_CMSG_CLOEXEC)
    except BlockingIOError:
        raise
    except OSError:
        return None
    if not data:
        return None
    descriptors = array.array("i", b"".join(content for _, _, content in parts))
    trouble, scarce, last, has_copy, remarks, files, lifetime = marshal.loads(data)
    if has_copy and not descriptors:
        trouble, scarce = "no descriptor is left for the signed copy", True
    return Reply(trouble, descriptors[0] if descriptors else None, remarks, files, lifetime,
                 scarce, last)
