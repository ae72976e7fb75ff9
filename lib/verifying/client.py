# SPDX-License-Identifier: MIT
"""The SMTP client that handed a message over, for SPF."""

import _socket          # cheap, while socket costs 14 ms

MAPPED = bytes(10) + b"\xff\xff"    # begins an IPv4 address in IPv6 (RFC 4291 section 2.5.5.2)
GREETINGS = b"(HELO ", b"(EHLO "


class Client:
    """An SMTP client and its transaction.

    address: 4 or 16 bytes; helo: bytes, b"" if unknown
    sender: the envelope sender (bytes), b"" for a bounce
    """

    __slots__ = ("address", "helo", "sender")

    def __init__(self, address: bytes, helo: bytes, sender: bytes):
        self.address = address
        self.helo = helo
        self.sender = sender


def of_message(header, environment, sender):
    """Returns the Client of a message, None if its address, its sender, or for a bounce its
    HELO name is not known.

    header: message.Header; environment: {str: str}; sender: bytes, or None
    TCPREMOTEIP is the address, with tcpserver and all that stand in for it.
    """
    address = packed(environment.get("TCPREMOTEIP", ""))
    if address is None or sender is None:
        return None
    name, field = next(iter(header.fields), (b"", b""))
    helo, shown = greeting(field) if name == b"received" else (b"", "")
    is_known = packed(shown) == address
    if not sender and not is_known:
        return None     # another server than qmail-smtpd: an honest bounce must not fail for that
    return Client(address, helo if is_known else b"", sender)


def packed(text):
    """Returns an IP address (str) as 4 or 16 bytes, None if it is none.

    An IPv4 address in IPv6 becomes 4 bytes, as SPF demands (RFC 7208 section 5).
    """
    family = _socket.AF_INET6 if ":" in text else _socket.AF_INET
    try:
        address = _socket.inet_pton(family, text.partition("%")[0])     # without its zone
    except (OSError, ValueError):
        return None
    return address.removeprefix(MAPPED) if len(address) == 16 else address


def unpacked(address):
    """Returns the text (str) of an address of 4 or 16 bytes."""
    return _socket.inet_ntop(_socket.AF_INET if len(address) == 4 else _socket.AF_INET6, address)


def greeting(field):
    """Returns the (HELO name, bytes; client's address, str) in a Received field of qmail-smtpd,
    b"" and "" for another.

    received.c of qmail writes `from HOST (HELO NAME) (INFO@ADDRESS)`, without the name if it is
    HOST, and without INFO@ if there is none.  It makes "?" of characters that no name has.
    """
    start, _, rest = b" ".join(field.split()).partition(b" from ")
    if start.lower() != b"received:":
        return b"", ""
    helo, _, rest = rest.partition(b" ")
    if rest[:len(GREETINGS[0])] in GREETINGS:
        helo, _, rest = rest[len(GREETINGS[0]):].partition(b") ")
    address = rest[1:].partition(b")")[0] if rest.startswith(b"(") else b""
    return helo, address.rpartition(b"@")[2].strip(b"[]").decode("latin-1")
