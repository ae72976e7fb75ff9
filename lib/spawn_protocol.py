# SPDX-License-Identifier: MIT
"""What qmail-send and qmail-rspawn say to each other (spawn.c, qmail-rspawn.c).

qmail-rspawn first writes one byte, how many deliveries it takes at once.  A
command is a byte, the number of the delivery, then the message's file name,
the sender and the recipient, each ended by NUL.  The answer is the same byte,
K, Z or D (delivered, deferred, bounced), text, NUL.  All of it is bytes; the
words of the answers are the original's.
"""

import os
import stat

LONGEST_NAME = 99       # bytes of a message's file name
READ_AT_ONCE = 1024     # bytes of commands

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

DEFERRAL = b"Zqmail-rspawn: "   # starts the words for our own trouble

TEMPORARY = 111         # exit code

SEVERITY = {b"K": 1, b"Z": 0, b"D": -1}


class Command:
    """A delivery that qmail-send asks for.

    number: int; name: of the message's file, below queue/mess; sender,
    recipient: envelope addresses; bytes
    """

    __slots__ = ("number", "name", "sender", "recipient")

    def __init__(self, number, name, sender, recipient):
        self.number = number
        self.name = name
        self.sender = sender
        self.recipient = recipient

    @property
    def host(self):
        """What follows the last @ of the recipient."""
        return self.recipient.rpartition(b"@")[2]


class CommandReader:
    """Makes Commands of bytes, in whatever pieces they come."""

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
    """Why a command is refused, as an answer's words, or b"".

    concurrency: how many deliveries there may be; in_use: whether there is one
    of that number.  The order of the checks is a part of the protocol.
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
    """Why a message's file (os.stat_result) is refused, or b"".  owner: uid of qmailq."""
    if not stat.S_ISREG(state.st_mode):
        return WRONG_TYPE
    if state.st_uid != owner:
        return WRONG_OWNER
    return b""


def answer(number, words):
    """The bytes that tell qmail-send what became of a delivery."""
    return bytes((number,)) + words + b"\0"


def trouble_text(trouble):
    """An exception as one line of ASCII, at most 500 characters."""
    text = " ".join(f"{type(trouble).__name__}: {trouble}".replace("\0", "?").split())
    return text.encode("ascii", "replace").decode()[:500]


def deferral(reason):
    """An answer's words for trouble of ours (str): a temporary failure."""
    return DEFERRAL + reason.encode("ascii", "replace") + b" (#4.3.0)\n"


def report(wait_status, output):
    """An answer's words for what qmail-remote wrote and how it ended.

    wait_status: as waitpid() gives it; output: bytes, kept whole whatever their
    length.  They are parts, each ended by NUL: first the recipient's (r, h or s
    and text), then the message's (K, Z or D and text).  What follows the last
    NUL counts only as the rest of the text of the second part.
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
    end = output.find(b"\0", 1)     # an empty first part is passed over
    if end < 0:
        return words
    words += text(output, 1)
    if result <= severity and output[end + 1:end + 2] in SEVERITY:
        words += text(output, end + 2)
    return words


def message_result(output):
    """The SEVERITY of the first whole part that starts with K, Z or D; else D's."""
    for part in output.split(b"\0")[:-1]:
        if part[:1] in SEVERITY:
            return SEVERITY[part[:1]]
    return SEVERITY[b"D"]


def text(output, start):
    """The bytes of output from start up to the next NUL."""
    return output[start:].partition(b"\0")[0]
