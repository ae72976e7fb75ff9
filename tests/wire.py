# SPDX-License-Identifier: MIT
"""What qmail-remote puts on the wire for a message, by flavour, and its undoing.

blast() of qmail-remote.c, state for state, without the final `.`: a message
whose lines it gets wrong must come out as wrong here.
"""


class PartialLine(Exception):
    """qmail-remote refuses the message: its last line has no end."""


def qmail_1_03(message):
    """qmail 1.03, netqmail, notqmail up to 1.08: LF becomes CR LF, CR is text.

    LF text -> bytes of SMTP DATA.  Raises PartialLine.
    """
    if message and not message.endswith(b"\n"):
        raise PartialLine
    lines = message.split(b"\n")[:-1]
    return b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines)


def notqmail_1_09(message):
    r"""notqmail 1.09, sagredo: LF, CR LF and lone CR become CR LF.

    Only the start of an LF line is dot-stuffed, which is how `\r.\r` ends DATA;
    of two CRs together the second goes out as it is.
    LF text -> bytes of SMTP DATA.  Raises PartialLine.
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
    """The message that a server makes of SMTP DATA without its final `.` (RFC 5321 section 4.5.2).

    CR LF line ends.  Raises AssertionError where DATA would end too early.
    """
    lines = wire.split(b"\r\n")
    assert b"." not in lines, "a lone dot ends DATA within the message"
    return b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines)
