# SPDX-License-Identifier: MIT
"""The protocol between the verifier and its resident server, over a Unix socket: the client's
half.  lib/verifyd/packets.py has the other one, launcher/qmail-dk-verify.c the client's in C.

One packet goes each way.  The request is a line with settings, two more lines if the client is
known for DKDMARC, and the descriptor of the message, opened read-only:

  VERSION DKRSAMIN DKPOLICY authserv_id DKDMARC
  address of the client
  envelope sender, to the end of the packet

The answer is a Report, in printable ASCII:

  VERSION letter rejecting          "-" for no domain
  START-END ...                     offsets of the fields to remove, in order
  domains
  words
  fields

report_in() accepts no header fields but the two that we write, whoever sent it.  Any error
means no answer, and the client knows that within a second.
"""

import posix
import sys
import time

from ..settings import LETTERS
from .report import Report

VERSION = b"3"          # others are not understood, since an upgrade restarts the server

PATIENCE = 1.0          # seconds to wait for an answer
LARGEST_MESSAGE = 8 * 1024 * 1024   # bytes; beyond, the start of Python hardly matters
LONGEST_REQUEST = 4096  # bytes
LONGEST_SENDER = 900    # bytes of an envelope sender in it; qmail-smtpd takes no more
LONGEST_ANSWER = 32768
PEER_CREDENTIALS = 12   # bytes: numbers of process, user and group; linux/socket.h

# The authserv-id in the requests of qmail-dk check.  No host has it (RFC 2606 section 2).
TRIAL = b"check.invalid"

NOBODY = b"-"           # in place of the domain whose policy is to reject the message
NAME = bytes(c for c in range(128) if chr(c).isalnum()) + b"-_."
STATUS = bytes(range(ord("a"), ord("z") + 1)) + b" ()"
PRINTABLE = bytes(range(0x20, 0x7f))

# Every field from outside that pretends to be ours contains one of these names.
FIRST, LAST = b"Authentication-Results: ", b"DomainKey-Status: "
REMOVABLE = (b"authentication-results", b"domainkey-status")


class NoAnswer(Exception):
    """There is no usable answer; the text says why, for the log."""


def is_there(path, fd):
    """Returns whether there is a server that accepts messages as large as that of fd.

    path: of its socket (str).  Returns True if path can't be examined; ask() then gives
    the reason.  Raises OSError.
    """
    if not path.startswith("/") or posix.fstat(fd).st_size > LARGEST_MESSAGE:
        return False
    try:
        posix.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):     # ValueError: a NUL in it
        return False
    except OSError:
        pass
    return True


def ask(path, fd, header, terms):
    """Returns the Report of the server.  Raises NoAnswer.

    path: of its socket (str); fd: of the message; header: its message.Header
    terms: Terms
    """
    try:
        packet = exchange(path, fd, request(terms))
    except OSError as error:
        raise NoAnswer(error.strerror or str(error)) from error
    if not packet:
        raise NoAnswer("none was given")
    return report_in(packet, header, terms)


def exchange(path, fd, packet):
    """Sends packet and the message of fd; returns the answering packet, b"" for none.

    Raises OSError, NoAnswer.
    """
    import _socket      # cheap, while socket costs 14 ms
    until = time.monotonic() + PATIENCE
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        # With a timeout, connect() fails at once if too many connections wait already.
        connection.settimeout(PATIENCE)
        connection.connect(path)
        check_owner(connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED,
                                          PEER_CREDENTIALS))
        readable = read_only(fd)
        try:
            connection.sendmsg([packet], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS,
                                           readable.to_bytes(4, sys.byteorder))])
        finally:
            posix.close(readable)
        connection.settimeout(max(until - time.monotonic(), 0.001))
        return connection.recv(LONGEST_ANSWER)
    finally:
        connection.close()


def check_owner(credentials):
    """Raises NoAnswer unless root, as intended, or our own user started the server.

    Any user who may write to a directory above the socket's could have put another
    server there.  credentials: of the listener, struct ucred of unix(7) (bytes)
    """
    user = int.from_bytes(credentials[4:8], sys.byteorder)
    if user not in (0, posix.geteuid()):
        raise NoAnswer(f"the server is that of user number {user}")


def read_only(fd):
    """Returns a new read-only descriptor for the file of fd: the server can't change the message.

    Raises OSError, also if there is no /proc.
    """
    return posix.open(f"/proc/self/fd/{fd}", posix.O_RDONLY | posix.O_CLOEXEC)


def request(terms):
    """Returns the request packet (bytes) for Terms.

    The server finds the client's HELO name in the message, as client.of_message() does.
    """
    packet = b"%b %d %b %b %b\n" % (
        VERSION, terms.least_rsa_bits, b"yes" if terms.dkpolicy else b"no", terms.authserv_id,
        b"mark" if terms.dmarc else b"off")
    if not terms.client:
        return packet
    from .client import unpacked        # imported already, by who made the Client
    return packet + b"%b\n%b" % (unpacked(terms.client.address).encode(),
                                 terms.client.sender[:LONGEST_SENDER])


def report_in(packet, header, terms):
    """Returns the Report in an answer.  Raises NoAnswer.

    header: message.Header of the message; terms: Terms of the request
    """
    parts = packet.split(b"\n", 4)
    if len(parts) != 5 or packet.translate(None, PRINTABLE + b"\n"):
        raise NoAnswer("not an answer")
    verdict, removed, domains, words, fields = parts
    version, letter, rejecting = verdict.split(b" ") if verdict.count(b" ") == 2 else (b"",) * 3
    if (version != VERSION or len(letter) != 1 or letter not in LETTERS.encode()
            or rejecting.translate(None, NAME) or not terms.dmarc and rejecting != NOBODY):
        raise NoAnswer("not an answer of this version")
    check_fields(fields, terms.authserv_id, header.has_dkim2())
    return Report(letter.decode(), words.decode(), domains.decode().split(), fields,
                  indexes(removed, header), "" if rejecting == NOBODY else rejecting.decode())


def indexes(removed, header):
    """Returns the indexes (frozenset) of the fields at START-END ... in the header.

    Raises NoAnswer unless each is one field that contains a name of ours.
    """
    wanted = set(removed.split(b" ")) if removed else ()
    found, end = [], 0
    for index, (_, field) in enumerate(header.fields if wanted else ()):
        start, end = end, end + len(field)
        if b"%d-%d" % (start, end) in wanted and any(
                name in field.lower() for name in REMOVABLE):
            found.append(index)
    if len(found) != len(wanted):
        raise NoAnswer("it would remove what is not ours")
    return frozenset(found)


def check_fields(fields, authserv_id, alone):
    """Raises NoAnswer unless bytes are an Authentication-Results and a DomainKey-Status field.

    alone: whether there must be no DomainKey-Status
    """
    first, *folded = fields.split(b"\n")
    end = folded.pop() if folded else b"?"
    status = LAST if alone else folded.pop() if folded else b""
    if (first != FIRST + authserv_id + b";" or end or not folded
            or not status.startswith(LAST) or status[len(LAST):].translate(None, STATUS)
            or not all(line.startswith(b" ") and line.strip() for line in folded)):
        raise NoAnswer("it has other header fields than ours")
