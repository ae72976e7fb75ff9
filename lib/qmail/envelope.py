# SPDX-License-Identifier: MIT
"""The envelope sender of a message on its way in.

qmail-queue's descriptor 1 has `F` sender NUL, then `T` recipient NUL for each recipient,
then NUL, until EOF.  It is a pipe, and the program that we become reads all of it.
"""

import posix
import select
import time

from .. import process
from . import queue, spool

PATIENCE = 2            # seconds to wait for an overdue envelope; the log is not worth more
LONGEST = 1000          # bytes of a sender; qmail-smtpd takes 900
QFILTER_FD = 3          # where qmail-qfilter has the envelope


def keep(directory):
    """Makes descriptor 1 a file at its start with the same bytes, up to the same end.

    Afterwards the sender can be read, and the program that we become reads the envelope
    as if nobody had.  Waits for its end, as qmail-queue does.
    directory: as in spool.anonymous_file().  Raises OSError, ReadTrouble, SpoolTrouble.
    """
    copy = spool.from_start(1, directory, "envelope")
    if copy != 1:
        posix.dup2(copy, 1)
        posix.close(copy)


def sender(way, environment):
    """Returns the envelope sender (bytes), b"" for a bounce, or None if it is not known.

    way: of queue.way_to_run(), after keep() if it is QUEUE
    environment: {str: str}; qmail-qfilter has it there, and on QFILTER_FD
    """
    if way == queue.QUEUE:
        return kept_sender(1)
    found = sender_by_qfilter(environment)
    return kept_sender(QFILTER_FD) if found is None else process.fsencode(found)


def kept_sender(fd):
    """Returns the sender in an envelope's file (bytes), None if it has none; leaves its offset."""
    try:
        return sender_in(posix.pread(fd, LONGEST + 2, 0))
    except OSError:
        return None


def sender_in(start):
    """Returns the sender in the start of an envelope (bytes), cut at LONGEST, or None."""
    text, end, _ = start.partition(b"\0")
    return text[1:] if text.startswith(b"F") and (end or len(text) > LONGEST) else None


def read_sender(fd):
    """Returns the sender at the start of descriptor fd (bytes), None if it does not come.

    The caller sends it right after the message; we wait at most PATIENCE for it.  No
    program can read the envelope afterwards.
    """
    until = time.monotonic() + PATIENCE
    read = b""
    try:
        while b"\0" not in read and len(read) <= LONGEST:
            if not select.select([fd], [], [], max(0, until - time.monotonic()))[0]:
                return None
            piece = posix.read(fd, LONGEST + 2 - len(read))
            if not piece:
                return None
            read += piece
    except OSError:
        return None
    return sender_in(read)


def sender_by_qfilter(environment):
    """Returns the envelope sender from the variables of qmail-qfilter: str, or None."""
    user, host = environment.get("QMAILUSER"), environment.get("QMAILHOST")
    if user is None:
        return None
    return f"{user}@{host}" if host else user
