# SPDX-License-Identifier: MIT
"""The server's half of the protocol in lib/verifying/exchange.py: reads requests, writes answers.

It is apart because the client, which starts anew for each message, needs none of it.
"""

from ..verifying import exchange
from ..verifying.exchange import NoAnswer
from ..verifying.report import Terms

DIGITS = b"0123456789"
POLICY = {b"no": False, b"0": False, b"yes": True, b"1": True}
DMARC = {b"off": False, b"mark": True, b"refuse": True}


def terms_in(packet):
    """Returns (Terms without a client; its address and the sender, bytes, or ()) of a request.

    Raises NoAnswer.
    """
    line, end, origin = packet.partition(b"\n")
    words = line.split(b" ")
    if not end or len(words) != 5 or words[0] != exchange.VERSION:
        raise NoAnswer("not a request of this version")
    _, bits, dkpolicy, authserv_id, dmarc = words
    dkpolicy, dmarc = dkpolicy.lower(), dmarc.lower()
    if (dkpolicy not in POLICY or dmarc not in DMARC or not authserv_id
            or authserv_id.translate(None, exchange.NAME)):
        raise NoAnswer("not the settings of a verifier")
    terms = Terms(number(bits), POLICY[dkpolicy], authserv_id, DMARC[dmarc])
    if not origin:
        return terms, ()
    address, end, sender = origin.partition(b"\n")
    if not end or len(sender) > exchange.LONGEST_SENDER or not terms.dmarc:
        raise NoAnswer("not a client")
    return terms, (address, sender)


def number(digits):
    """Returns the positive int of at most nine digits (bytes).  Raises NoAnswer."""
    if not digits or len(digits) > 9 or digits.translate(None, DIGITS) or not int(digits):
        raise NoAnswer("not a number")
    return int(digits)


def answer(report, header):
    """Returns the answer packet (bytes) for a Report.  Raises NoAnswer if it would be too long.

    header: message.Header of the message
    """
    verdict = b"%b %b %b" % (exchange.VERSION, report.letter.encode(),
                             report.rejecting.encode() or exchange.NOBODY)
    packet = b"\n".join((verdict, places(report.removed, header.fields.texts),
                         " ".join(report.domains).encode(), report.words.encode(), report.fields))
    if len(packet) > exchange.LONGEST_ANSWER:
        raise NoAnswer("too much to say")
    return packet


def places(removed, texts):
    """Returns START-END ... (bytes) for the indexes of fields.  texts: list of all fields"""
    found, end = [], 0
    for index in range(max(removed, default=-1) + 1):
        start, end = end, end + len(texts[index])
        if index in removed:
            found.append(b"%d-%d" % (start, end))
    return b" ".join(found)
