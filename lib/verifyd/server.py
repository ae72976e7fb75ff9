# SPDX-License-Identifier: MIT
"""Verifies messages for qmail_qfilter_verify.py, in a process that has all slow imports loaded.

It answers only if the result is certain.  If the DNS does not answer at once, or the
descriptor is not that of a usable message, it closes the connection without an answer,
and the client verifies on its own, with more time.  Only the client writes to the mail.
"""

import array
import encodings.idna
import encodings.punycode       # noqa: F401
import os
import socket
import stat
import syslog       # noqa: F401 (what maillog imports late)
import time

# Other programs import some of these only for messages that need them.  Here all are imported
# at the start, because the workers may run as a user that can't read the packages.
from .. import crypto, maillog
from ..lookup import budget, cache
from ..mail import message
from ..verifying import examination, exchange, inbound
from ..verifying import (      # noqa: F401
    body_hash, client, dkim, domainkeys, policy, sender_policies,
)
from ..verifying.exchange import LARGEST_MESSAGE, PATIENCE, NoAnswer
from . import packets

DNS_SECONDS = 0.8 * PATIENCE    # for all look-ups of one message; the client must get the answer


class ResidentVerifier:
    """Serves connections, one at a time.

    addresses: the value of DNSCACHEIP (str); workers: number of processes that share this
    Raises SettingTrouble, CryptoTrouble, ImportError, OSError.
    """

    def __init__(self, addresses, workers=1):
        crypto.backend()        # loads the library for Ed25519
        crypto.use_fast_powers()
        self.cache = cache.AnswerCache(budget.resolver(addresses),
                                       turns=cache.Turns(max(workers - 1, 1)))

    def serve(self, connection):
        """Answers the request on a connected socket if it can, and logs the outcome."""
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
        """Answers a request, and returns the words to log.  Raises NoAnswer, OSError."""
        (terms, origin), fd = received(connection)
        connection.setblocking(False)   # an answer is small: it fits, or the client has gone
        try:
            check(fd)
            if is_closed(connection):
                raise NoAnswer("it came too late")
            dns = budget.Lookups("", DNS_SECONDS, self.cache)
            header, body = message.split(message.chunks(fd))
            if header.too_long:
                raise NoAnswer("the header is too long")
            terms.client = known_client(header, *origin) if origin else None
            examined = examination.examine(header, body, terms, certain(dns), int(time.time()))
            if is_uncertain(examined):
                raise NoAnswer("there is no result now")
            size = os.fstat(fd).st_size
        finally:
            os.close(fd)
        report = inbound.reported(examined, header, terms.authserv_id, dns.spent)
        connection.send(packets.answer(report, header))
        trial = "trial: " if terms.authserv_id == exchange.TRIAL else ""
        return f"{trial}{report.letter}, {size} bytes, dns {dns.spent:.3f} s"


def known_client(header, address, sender):
    """Returns the client.Client of a message, None if it is not known.

    header: message.Header; address: text of the IP address; sender: of the envelope; bytes
    """
    return client.of_message(header, {"TCPREMOTEIP": address.decode("latin-1")}, sender)


def is_uncertain(examined):
    """Returns whether an Examination has a result that may be another one later.

    SPF's does not matter where DMARC has one: a dead SPF domain must not cost each of its
    messages a second verification.  But a name of the client that could not be looked up
    makes a failure of SPF, and so of DMARC, which may refuse the message for good.
    """
    policies = examined.policies
    return (any(result.status == "temperror" for result in examined.results)
            or bool(policies) and (
                policies.dmarc.status == "temperror"
                or policies.dmarc.status != "pass"
                and bool(policies.spf) and policies.spf.unanswered))


def certain(dns):
    """Returns a look-up function like dns.find() that raises NoAnswer if a key, or its domain's
    policy, can't be looked up now.

    dns: budget.Lookups
    """
    def find(name, kind="TXT"):
        answer = dns.find(name, kind)
        if answer.status == "temporary" and b"_domainkey." in name:
            raise NoAnswer(f"{name.decode('ascii')}: {answer.reason}")
        return answer
    return find


def received(connection):
    """Receives a request: (what packets.terms_in() returns, descriptor).  Raises NoAnswer,
    OSError."""
    packet, parts, flags, _ = connection.recvmsg(
        exchange.LONGEST_REQUEST, socket.CMSG_SPACE(array.array("i").itemsize),
        socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, data in parts:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(data[:len(data) - len(data) % fds.itemsize])
    try:
        terms = packets.terms_in(packet)
        if len(fds) != 1 or flags & socket.MSG_CTRUNC:
            raise NoAnswer("not one descriptor")
        return terms, fds.pop()
    finally:
        for fd in fds:
            os.close(fd)


def check(fd):
    """Raises NoAnswer unless fd is a regular file of at most LARGEST_MESSAGE bytes."""
    state = os.fstat(fd)
    if not stat.S_ISREG(state.st_mode):
        raise NoAnswer("not a regular file")
    if state.st_size > LARGEST_MESSAGE:
        raise NoAnswer(f"{state.st_size} bytes are too large")


def is_closed(connection):
    """Returns whether the client has closed the connection, which must not block."""
    try:
        return not connection.recv(1)
    except BlockingIOError:
        return False
