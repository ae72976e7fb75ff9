# SPDX-License-Identifier: MIT
"""Describes the origin of a refused message for the log: client, sender, Message-ID.

qmail-send logs the sender of an accepted message; nothing else logs a refused one.
All three texts come from outside, so each is truncated and made one word, in which
nothing looks like another part of the line.
"""

from ..qmail import envelope, queue

LONGEST = 160           # characters of the sender and of the Message-ID

UNKNOWN = "unknown"


def described(way, environment, header):
    """Returns the words (str) for a refused message.

    way: of queue.way_to_run(); environment: {str: str}; header: message.Header
    Reads the envelope, which no program needs any more.
    """
    client = shown(environment.get("TCPREMOTEIP", "")) or UNKNOWN
    sender = (envelope.read_sender(1) if way == queue.QUEUE
              else envelope.sender(way, environment))
    identifiers = header.named(b"message-id")
    return (f"client={client} sender={bracketed(decoded(sender))} message-id="
            + bracketed(message_id(identifiers[0]) if identifiers else None))


def decoded(text):
    return None if text is None else text.decode("latin-1")


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
