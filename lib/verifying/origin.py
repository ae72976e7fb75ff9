# SPDX-License-Identifier: MIT
"""Describes the origin of a refused message for the log: client, sender, Message-ID.

qmail-send logs the sender of an accepted message; nothing else logs a refused one.
All three texts come from outside, so each is truncated and made one word, in which
nothing looks like another part of the line.
"""

import posix
import select
import time

from ..qmail import queue

LONGEST = 160           # characters of the sender and of the Message-ID
PATIENCE = 2            # seconds to wait for an overdue envelope; the log is not worth more

UNKNOWN = "unknown"


def described(way, environment, header):
    """Returns the words (str) for a refused message.

    way: of queue.way_to_run(); environment: {str: str}; header: message.Header
    Reads the envelope, which no program needs any more.
    """
    client = shown(environment.get("TCPREMOTEIP", "")) or UNKNOWN
    sender = (sender_of_envelope(1) if way == queue.QUEUE
              else sender_by_qfilter(environment))
    identifiers = header.named(b"message-id")
    return (f"client={client} sender={bracketed(sender)} message-id="
            + bracketed(message_id(identifiers[0]) if identifiers else None))


def sender_of_envelope(fd):
    """Returns the envelope sender at the start of qmail-queue's descriptor 1: str, or None.

    The caller sends it right after the message; we wait at most PATIENCE for it.
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
    return read[1:].partition(b"\0")[0].decode("latin-1") if read.startswith(b"F") else None


def sender_by_qfilter(environment):
    """Returns the envelope sender from the variables of qmail-qfilter: str, or None."""
    user, host = environment.get("QMAILUSER"), environment.get("QMAILHOST")
    if user is None:
        return None
    return f"{user}@{host}" if host else user


def message_id(field):
    """Returns the value (str) of a Message-ID field (bytes), without its brackets."""
    value = field.partition(b":")[2][:4 * LONGEST].strip()
    return value.removeprefix(b"<").removesuffix(b">").decode("latin-1")


def bracketed(text):
    """Returns shown(text) in < >, UNKNOWN for None."""
    return UNKNOWN if text is None else f"<{shown(text)}>"


def shown(text):
    """Returns a text from outside as one word, truncated to LONGEST characters and "...".

    "?" replaces the characters that could end it.
    """
    word = "".join(c if "!" <= c <= "~" and c not in "<>;" else "?" for c in text[:LONGEST])
    return word + "..." if len(text) > LONGEST else word
