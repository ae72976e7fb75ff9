# SPDX-License-Identifier: MIT
"""The program of a signing process: it signs for qmail-rspawn.

A process has a socket to qmail-rspawn on descriptor wire.SOCKET and nowhere else,
so it exits when qmail-rspawn does.  It signs one message at a time.  Key files are
read for each message; the loaded keys are dropped when the process is idle.
"""

import os
import select
import socket
import time

from .. import process
from ..growth import Growth
from ..qmail.spawn import trouble_text
from ..signing import key_files, outbound
from . import signed_messages, wire
from .wire import Reply

IDLE = 1                        # seconds without work until keys are dropped


def serve():
    """Signs messages from wire.SOCKET until it is closed or this process has grown too large."""
    key_files.keep_loaded = True
    try:
        check()
    except Exception:   # the reply to each message will say what is missing
        pass
    growth = Growth()
    with socket.socket(fileno=wire.SOCKET) as parent:
        while True:
            if not select.select([parent], [], [], IDLE)[0]:
                key_files.in_use.clear()
                select.select([parent], [], [])
            received = wire.receive_message(parent)
            if received is None:
                return
            message, envelope_sender = received
            reply = sign(message, envelope_sender)
            reply.last = growth.is_too_much()
            reply.send(parent)
            process.close(message)
            if reply.last:
                return


def sign(message, envelope_sender, clock=time.time):
    """Signs a message.  Returns a Reply.

    message: descriptor; envelope_sender: bytes; clock: gives seconds since 1970
    """
    settings = signed_messages.NotedSettings(os.environ)
    try:
        copy, remarks = outbound.signed(message, envelope_sender, settings, clock)
        if copy == message:
            return Reply("", None, remarks, settings.files, signed_messages.LONGEST)
        return Reply("", copy, remarks, settings.files, lifetime(settings))
    except Exception as trouble:    # deferred, as by the program for one delivery
        return failed(trouble, settings)


def failed(trouble, settings):
    """Returns the Reply for an exception; its lifetime of 0 keeps the message from reuse."""
    scarce = signed_messages.is_scarcity(trouble)
    try:
        if settings.unsigned_on_error():
            return Reply("", None, [outbound.unsigned(trouble)], {}, 0, scarce)
    except Exception as worse:
        trouble = worse
    return Reply(trouble_text(trouble), None, [], {}, 0, scarce)


def lifetime(settings):
    """Returns for how many seconds to reuse a signature: at most a tenth of DKIMEXPIRE."""
    expire = settings.seconds("DKIMEXPIRE")
    return min(signed_messages.LONGEST, expire / 10) if expire else signed_messages.LONGEST


def check():
    """Raises ImportError or Trouble if this installation can't sign."""
    from .. import crypto
    from ..signing import dkim, domainkeys      # noqa: F401 (what outbound imports late)
    crypto.hash_functions(True)     # hashlib first: see crypto.openssl
    crypto.backend()
