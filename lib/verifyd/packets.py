# SPDX-License-Identifier: MIT
"""The server's half of the protocol in lib/verifying/exchange.py: reads requests, writes answers.

It is apart because the client, which starts anew for each message, needs none of it.
"""

from ..verifying import exchange
from ..verifying.client import Client
from ..verifying.exchange import NoAnswer
from ..verifying.report import Terms

FLAGS = b"0", b"1"


def terms_in(packet):
    """Returns the Terms in a request.  Raises NoAnswer."""
    words = packet[:-1].split(b" ")
    if (len(words) not in (5, 8) or words[0] != exchange.VERSION or packet[-1:] != b"\n"
            or words[2] not in FLAGS or words[4] not in FLAGS
            or words[3].translate(None, exchange.NAME)):
        raise NoAnswer("not a request of this version")
    client = Client(*map(text_in, words[5:])) if words[5:] else None
    if client and len(client.address) not in (4, 16):
        raise NoAnswer("not an address")
    return Terms(exchange.number(words[1]), words[2] == b"1", words[3], words[4] == b"1", client)


def text_in(word):
    """Returns the bytes in a word of a request, "x" and their hexadecimal digits.

    Raises NoAnswer.
    """
    if word[:1] != b"x":
        raise NoAnswer("not a word with x")
    try:
        return bytes.fromhex(word[1:].decode("ascii"))
    except ValueError as error:
        raise NoAnswer("not hexadecimal digits") from error


def answer(report):
    """Returns the answer packet (bytes) for a Report.  Raises NoAnswer if it would be too long."""
    removed = b" ".join(b"%d" % index for index in sorted(report.removed))
    verdict = b"%b %b %b" % (exchange.VERSION, report.letter.encode(),
                             report.rejecting.encode() or exchange.NOBODY)
    packet = b"\n".join((verdict, removed,
                         " ".join(report.domains).encode(), report.words.encode(), report.fields))
    if len(packet) > exchange.LONGEST_ANSWER:
        raise NoAnswer("too much to say")
    return packet
