# SPDX-License-Identifier: MIT
"""Encodes a message for SMTP as each flavour of qmail-remote does, and decodes it.

Follows blast() of qmail-remote.c state by state, without the final `.`: lines that
blast() gets wrong must be just as wrong here.
"""


class PartialLine(Exception):
    """qmail-remote refuses the message because its last line has no end."""


def qmail_1_03(message):
    """Returns the SMTP DATA of LF text, bytes.  Raises PartialLine.

    By qmail 1.03, netqmail, notqmail up to 1.08: LF becomes CR LF, CR is text.
    """
    if message and not message.endswith(b"\n"):
        raise PartialLine
    lines = message.split(b"\n")[:-1]
    return b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines)


def notqmail_1_09(message):
    r"""Returns the SMTP DATA of LF text, bytes.  Raises PartialLine.

    By notqmail 1.09, sagredo: LF, CR LF and lone CR become CR LF.  Dots are stuffed
    only after LF, so that `\r.\r` ends DATA; of two CRs in a row, the second is sent
    unchanged.
    """
    wire = bytearray()
    bytes_left = iter(message)
    for byte in bytes_left:
        if byte == ord("."):
            wire += b"."
        while byte != ord("\n"):
            if byte == ord("\r"):
                byte = next(bytes_left, None)
                if byte in (None, ord("\n")):
                    break
                wire += b"\r\n"
            wire.append(byte)
            byte = next(bytes_left, None)
            if byte is None:
                raise PartialLine
        wire += b"\r\n"
    return bytes(wire)


FLAVOURS = (qmail_1_03, notqmail_1_09)


def received(wire):
    """Decodes SMTP DATA without its final `.` as a server does (RFC 5321 section 4.5.2).

    Returns the message with CR LF line ends.  Raises AssertionError if DATA would end
    too early.
    """
    lines = wire.split(b"\r\n")
    assert b"." not in lines, "a lone dot ends DATA within the message"
    return b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines)
