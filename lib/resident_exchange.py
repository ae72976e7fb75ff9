# SPDX-License-Identifier: MIT
"""What the verifier and its resident server say to each other over a Unix socket.

One packet each way.  The request has the terms, and the descriptor of the
message, read only.  The answer is a Report, and nothing but the two header
fields that we write gets past results_of(), whoever wrote it.  Whatever goes
wrong, there is no answer, and that is known within a second.
"""

import posix
import sys
import time

VERSION = b"1"          # others are not understood: the server is restarted at an upgrade

PATIENCE = 1.0          # seconds that an answer is waited for
LARGEST_MESSAGE = 8 * 1024 * 1024   # bytes; beyond, a start of Python hardly counts
LONGEST_REQUEST = 512   # bytes
LONGEST_ANSWER = 32768

LETTERS = b"ABCDEFGHIJK"
DIGITS = b"0123456789"
NAME = bytes(c for c in range(128) if chr(c).isalnum()) + b"-_."
STATUS = bytes(range(ord("a"), ord("z") + 1)) + b" ()"
PRINTABLE = bytes(range(0x20, 0x7f))

# Fields that come from outside and pretend to be ours hold one of these names.
FIRST, LAST = b"Authentication-Results: ", b"DomainKey-Status: "
REMOVABLE = (b"authentication-results", b"domainkey-status")


class NoAnswer(Exception):
    """There is none that can be used.  The text says why, for the log."""


class Terms:
    """What a message is verified by.

    least_rsa_bits, dkpolicy: as in inbound.Limits; authserv_id: bytes
    """

    __slots__ = ("least_rsa_bits", "dkpolicy", "authserv_id")

    def __init__(self, least_rsa_bits, dkpolicy, authserv_id):
        self.least_rsa_bits = least_rsa_bits
        self.dkpolicy = dkpolicy
        self.authserv_id = authserv_id


class Report:
    """What is to be done with a message, and said of it, once it is verified.

    letter: of DKVERIFY, the verdict
    words: for the log (str); domains: those that signed, each once (list of str)
    fields: header fields for the top of the message (bytes, LF line ends)
    removable: function of a message.Header -> indexes of its fields to leave out
    """

    __slots__ = ("letter", "words", "domains", "fields", "removable")

    def __init__(self, letter, words, domains, fields, removable):
        self.letter = letter
        self.words = words
        self.domains = domains
        self.fields = fields
        self.removable = removable


def is_there(path, fd):
    """Whether there is a server that takes messages as large as that of fd.

    path: of its socket.  Where that can't be seen, asking will tell why.
    """
    if not path.startswith("/") or posix.fstat(fd).st_size > LARGEST_MESSAGE:
        return False
    try:
        posix.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass
    return True


def ask(path, fd, header, terms):
    """The Report of the server.  Raises NoAnswer.

    path: of its socket; fd: of the message; header: its message.Header
    """
    try:
        packet = exchange(path, fd, request(terms))
    except OSError as error:
        raise NoAnswer(error.strerror or str(error)) from error
    if not packet:
        raise NoAnswer("none was given")
    return report_in(packet, header, terms)


def exchange(path, fd, packet):
    """The packet that answers packet and the message of fd; b"" for none.  Raises OSError."""
    import _socket      # costs little, socket 14 ms
    until = time.monotonic() + PATIENCE
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        # With a timeout, connect() fails at once where too many wait already.
        connection.settimeout(PATIENCE)
        connection.connect(path)
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


def read_only(fd):
    """A new descriptor for the file of fd: the server can't change what is queued.

    Raises OSError, also where there is no /proc.
    """
    return posix.open(f"/proc/self/fd/{fd}", posix.O_RDONLY | posix.O_CLOEXEC)


def request(terms):
    """The packet for Terms."""
    return b"%b %d %d %b\n" % (VERSION, terms.least_rsa_bits, terms.dkpolicy, terms.authserv_id)


def terms_in(packet):
    """The Terms in a request.  Raises NoAnswer."""
    words = packet.split(b" ")
    if (len(words) != 4 or words[0] != VERSION or words[2] not in (b"0", b"1")
            or not words[3].endswith(b"\n") or words[3][:-1].translate(None, NAME)):
        raise NoAnswer("not a request of this version")
    return Terms(number(words[1]), words[2] == b"1", words[3][:-1])


def answer(report, header):
    """The packet for a Report.  Raises NoAnswer if it would be too long."""
    removed = b" ".join(b"%d" % index for index in sorted(report.removable(header)))
    packet = b"\n".join((VERSION + b" " + report.letter.encode(), removed,
                         " ".join(report.domains).encode(), report.words.encode(), report.fields))
    if len(packet) > LONGEST_ANSWER:
        raise NoAnswer("too much to say")
    return packet


def report_in(packet, header, terms):
    """The Report in an answer.  header: of the message; terms: asked for.  Raises NoAnswer."""
    parts = packet.split(b"\n", 4)
    if len(parts) != 5 or packet.translate(None, PRINTABLE + b"\n"):
        raise NoAnswer("not an answer")
    verdict, removed, domains, words, fields = parts
    version, _, letter = verdict.partition(b" ")
    if version != VERSION or len(letter) != 1 or letter not in LETTERS:
        raise NoAnswer("not an answer of this version")
    check_fields(fields, terms.authserv_id)
    indexes = frozenset(number(index) for index in removed.split())
    for index in indexes:
        if index >= len(header.fields) or not any(
                name in header.fields[index][1].lower() for name in REMOVABLE):
            raise NoAnswer("it would remove what is not ours")
    return Report(letter.decode(), words.decode(), domains.decode().split(), fields,
                  lambda header: indexes)


def check_fields(fields, authserv_id):
    """Raises NoAnswer unless bytes are an Authentication-Results and a DomainKey-Status field."""
    first, *folded = fields.split(b"\n")
    end = folded[-2:]
    if (first != FIRST + authserv_id + b";" or len(end) != 2 or end[1]
            or not end[0].startswith(LAST) or end[0][len(LAST):].translate(None, STATUS)
            or not all(line.startswith(b" ") and line.strip() for line in folded[:-2])):
        raise NoAnswer("it has other header fields than ours")


def number(digits):
    """The int of up to nine digits (bytes).  Raises NoAnswer."""
    if not digits or len(digits) > 9 or digits.translate(None, DIGITS):
        raise NoAnswer("not a number")
    return int(digits)
