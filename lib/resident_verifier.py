# SPDX-License-Identifier: MIT
"""Answers the verifiers of single messages, with all that is slow to start at hand.

Answers only what is sure: where the DNS can't tell at once, or the message is
not as it should be, the connection is closed without an answer, and the other
side verifies by itself, with more time.  It alone writes to the mail.
"""

import array
import os
import socket
import stat
import syslog       # noqa: F401 (what maillog imports late)
import time

# Others import these only for the messages that need them.
from . import body_hash, dkim_verify, domainkeys_policy, domainkeys_verify      # noqa: F401
from . import (
    crypto, inbound, incoming, key_cache, lookups, maillog, message, resident_exchange)
from .resident_exchange import LARGEST_MESSAGE, PATIENCE, NoAnswer

DNS_SECONDS = 0.8 * PATIENCE    # for all look-ups of one message: it must come in time


class ResidentVerifier:
    """Serves connections, one at a time.

    addresses: those of DNSCACHEIP.  Raises SettingTrouble, CryptoTrouble, ImportError.
    """

    def __init__(self, addresses):
        crypto.backend()        # for Ed25519
        self.cache = key_cache.KeyCache(lookups.resolver(addresses))

    def serve(self, connection):
        """Answers the request on a connected socket, or does not; logs which."""
        connection.settimeout(PATIENCE)
        started = time.monotonic()
        try:
            said = self.answer(connection)
        except NoAnswer as reason:
            said = f"no answer: {reason}"
        except OSError as error:
            said = f"no answer: {error.strerror or error}"
        maillog.tell(f"{said}; {time.monotonic() - started:.3f} s")

    def answer(self, connection):
        """Answers -> what to log.  Raises NoAnswer, OSError."""
        terms, fd = received(connection)
        connection.setblocking(False)   # an answer is small: there is room, or nobody
        try:
            check(fd)
            if is_closed(connection):
                raise NoAnswer("it came too late")
            dns = lookups.Lookups("", DNS_SECONDS, self.cache)
            header, body = message.split(message.chunks(fd))
            limits = inbound.Limits(terms.least_rsa_bits, terms.dkpolicy)
            examination = inbound.examine(header, body, limits, certain(dns), int(time.time()))
            if any(result.status == "temperror" for result in examination.results):
                raise NoAnswer("there is no result now")
            size = os.fstat(fd).st_size
        finally:
            os.close(fd)
        report = incoming.report(examination, terms.authserv_id, dns.spent)
        connection.send(resident_exchange.answer(report, header))
        return f"{report.letter}, {size} bytes, dns {dns.spent:.3f} s"


def certain(dns):
    """The look-up function of lookups.Lookups that raises NoAnswer for a temporary answer."""
    def lookup(name):
        answer = dns.txt(name)
        if answer.status == "temporary":
            raise NoAnswer(f"{name.decode('ascii')}: {answer.reason}")
        return answer
    return lookup


def received(connection):
    """-> (resident_exchange.Terms, descriptor) of a request.  Raises NoAnswer, OSError."""
    packet, parts, flags, _ = connection.recvmsg(
        resident_exchange.LONGEST_REQUEST, socket.CMSG_SPACE(array.array("i").itemsize),
        socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, data in parts:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(data[:len(data) - len(data) % fds.itemsize])
    try:
        terms = resident_exchange.terms_in(packet)
        if len(fds) != 1 or flags & socket.MSG_CTRUNC:
            raise NoAnswer("not one descriptor")
        return terms, fds.pop()
    finally:
        for fd in fds:
            os.close(fd)


def check(fd):
    """Raises NoAnswer unless it is a file that may be a message."""
    state = os.fstat(fd)
    if not stat.S_ISREG(state.st_mode):
        raise NoAnswer("not a regular file")
    if state.st_size > LARGEST_MESSAGE:
        raise NoAnswer(f"{state.st_size} bytes are too large")


def is_closed(connection):
    """Whether the other side has given up.  connection: not blocking"""
    try:
        return not connection.recv(1)
    except BlockingIOError:
        return False
