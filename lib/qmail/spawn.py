# SPDX-License-Identifier: MIT
"""The protocol between qmail-send and qmail-rspawn (spawn.c, qmail-rspawn.c).

qmail-rspawn first writes one byte, the number of deliveries that it accepts at once.
A command is one byte, the number of the delivery, and then the message's file name,
the sender and the recipient, each ended by NUL.  An answer is the same byte, then K, Z
or D (delivered, deferred, bounced), text and NUL.  All texts are bytes; the words of
the answers are those of the original.
"""

import _stat as stat       # the half in C; stat itself adds one in Python
import os

LONGEST_NAME = 99       # bytes of a message's file name
READ_AT_ONCE = 1024     # bytes of commands in one read

NUMBER_TOO_BIG = b"ZInternal error: delnum too big. (#4.3.5)\n"
NUMBER_IN_USE = b"ZInternal error: delnum in use. (#4.3.5)\n"
NAME_NOT_NUMERIC = b"DInternal error: messid has nonnumerics. (#5.3.5)\n"
NAME_TOO_LONG = b"DInternal error: messid too long. (#5.3.5)\n"
NAME_TOO_SHORT = b"DInternal error: messid too short. (#5.3.5)\n"
NO_HOST_NAME = b"DSorry, address must include host name. (#5.1.3)\n"
UNABLE_TO_OPEN = b"Zqmail-spawn unable to open message. (#4.3.0)\n"
UNABLE_TO_FSTAT = b"Zqmail-spawn unable to fstat message. (#4.3.0)\n"
WRONG_TYPE = b"ZSorry, message has wrong type. (#4.3.5)\n"
WRONG_OWNER = b"ZSorry, message has wrong owner. (#4.3.5)\n"
UNABLE_TO_PIPE = b"Zqmail-spawn unable to create pipe. (#4.3.0)\n"
UNABLE_TO_FORK = b"Zqmail-spawn unable to fork. (#4.3.0)\n"
CRASHED = b"Zqmail-remote crashed.\n"
UNABLE_TO_RUN = b"ZUnable to run qmail-remote.\n"
UNABLE_TO_RUN_EVER = b"DUnable to run qmail-remote.\n"
NO_OUTPUT = b"Zqmail-remote produced no output.\n"

DEFERRAL = b"Zqmail-rspawn: "   # starts the answer for an error of our own

LOADERS_WORDS = ("failed to map segment", "annot allocate memory", "cannot create shared object",
                 "Out of memory")       # the words of musl's loader
ENLARGE = ("; too little memory; remedy: softlimit -m 100000000 in the script that starts qmail, "
           "or more memory")

TEMPORARY = 111         # exit code of a temporary error

SEVERITY = {b"K": 1, b"Z": 0, b"D": -1}


class Command:
    """A delivery that qmail-send asks for.

    number: int; name: of the message's file, below queue/mess (bytes)
    sender, recipient: envelope addresses (bytes)
    """

    __slots__ = ("number", "name", "sender", "recipient")

    def __init__(self, number, name, sender, recipient):
        self.number = number
        self.name = name
        self.sender = sender
        self.recipient = recipient

    @property
    def host(self):
        """The part of the recipient after the last @ (bytes)."""
        return self.recipient.rpartition(b"@")[2]


class CommandReader:
    """Parses Commands from bytes, which may arrive in any pieces."""

    def __init__(self):
        self.number = None
        self.parts = []
        self.unfinished = bytearray()

    def feed(self, data):
        """Yields the Commands that data (bytes) completes."""
        at = 0
        while at < len(data):
            if self.number is None:
                self.number = data[at]
                at += 1
                continue
            end = data.find(b"\0", at)
            if end < 0:
                self.unfinished += data[at:]
                return
            self.parts.append(bytes(self.unfinished) + data[at:end])
            self.unfinished.clear()
            at = end + 1
            if len(self.parts) == 3:
                command = Command(self.number, *self.parts)
                self.number = None
                self.parts = []
                yield command


def command_flaw(command, concurrency, in_use):
    """Returns the answer's words that refuse a command, b"" for a valid one.

    concurrency: limit of deliveries at once; in_use: whether one has that number
    The order of the checks is part of the protocol.
    """
    name = command.name
    if command.number >= concurrency:
        return NUMBER_TOO_BIG
    if in_use:
        return NUMBER_IN_USE
    if name.translate(None, b"0123456789/") or name.startswith(b"/"):
        return NAME_NOT_NUMERIC
    if len(name) > LONGEST_NAME:
        return NAME_TOO_LONG
    if not name:
        return NAME_TOO_SHORT
    if b"@" not in command.recipient:
        return NO_HOST_NAME
    return b""


def message_flaw(state, owner):
    """Returns the answer's words that refuse a message's file, b"" for a valid one.

    state: os.stat_result; owner: user number of qmailq
    """
    if not stat.S_ISREG(state.st_mode):
        return WRONG_TYPE
    if state.st_uid != owner:
        return WRONG_OWNER
    return b""


def answer(number, words):
    """Returns the bytes that report the result of a delivery to qmail-send.

    words: K, Z or D and text
    """
    return bytes((number,)) + words + b"\0"


def trouble_text(trouble):
    """Returns an exception as one line of ASCII (str), with a remedy for lack of memory."""
    text = " ".join(f"{type(trouble).__name__}: {trouble}".replace("\0", "?").split())
    text = text.encode("ascii", "replace").decode()[:500]
    return text + ENLARGE if is_short_of_memory(trouble) else text


def is_short_of_memory(trouble):
    """As in qmail_remote_dk.py, which can't rely on lib/ there."""
    return (isinstance(trouble, (MemoryError, SystemError)) or getattr(trouble, "errno", 0) == 12
            or any(words in str(trouble) for words in LOADERS_WORDS))


def deferral(reason):
    """Returns an answer's words for an error of our own, a temporary failure.  reason: str"""
    return DEFERRAL + reason.encode("ascii", "replace") + b" (#4.3.0)\n"


def report(wait_status, output):
    """Returns an answer's words for the output of qmail-remote and its wait status.

    wait_status: int, from waitpid(); output: all bytes that it wrote
    The output has parts, each ended by NUL: first the recipient's (r, h or s and text),
    then the message's (K, Z or D and text).  Bytes after the last NUL count only as the
    rest of the second part's text.
    """
    if wait_status & 127:
        return CRASHED
    code = os.WEXITSTATUS(wait_status)
    if code:
        return UNABLE_TO_RUN if code == TEMPORARY else UNABLE_TO_RUN_EVER
    if not output:
        return NO_OUTPUT
    result = message_result(output)
    severity = {b"s": 0, b"h": -1}.get(output[:1], result)
    words = {1: b"K", 0: b"Z", -1: b"D"}[severity]
    end = output.find(b"\0", 1)     # skips an empty first part
    if end < 0:
        return words
    words += text(output, 1)
    if result <= severity and output[end + 1:end + 2] in SEVERITY:
        words += text(output, end + 2)
    return words


def message_result(output):
    """Returns the SEVERITY of the first whole part that starts with K, Z or D, else D's."""
    for part in output.split(b"\0")[:-1]:
        if part[:1] in SEVERITY:
            return SEVERITY[part[:1]]
    return SEVERITY[b"D"]


def text(output, start):
    """Returns the bytes of output from start up to the next NUL."""
    return output[start:].partition(b"\0")[0]
