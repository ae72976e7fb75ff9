# SPDX-License-Identifier: MIT
"""Finds the client that a message came from, and the domains that control/dkmay allows it.

qmail-queue puts a Received field with the calling user on top of each message.  If
this is the user of qmail-smtpd, the next Received field is written by qmail-smtpd,
with the address of the client and its authenticated name.  Everything that a client
sends is below these two, so it can't impersonate another.
"""

import _socket      # socket itself costs 14 ms

from ..errors import SettingTrouble
from ..mail import address

ANY = b"*"
SAFE = (b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
        b".@%+/=:-[]?")                     # safeput() in received.c; others become "?"
AUTHENTICATED = (b"ESMTPA", b"ESMTPSA")     # RFC 3848; else the name is ident's (RFC 1413)
MAPPED = bytes(10) + b"\xff\xff"            # ::ffff:192.0.2.1, RFC 4291 section 2.5.5.2
INVOKED = {b"by alias": "alias", b"for bounce": "bounce", b"from network": "network"}
NOBODY = "a client that its first Received fields do not tell"


class Client:
    """The client that passed a message to qmail-queue.

    kind: "uid", "alias", "bounce", "forward" or "network"
    number: the uid in decimal digits, bytes; b"" for other kinds
    address: IP address of a network client, 4 or 16 bytes, or None
    user: authenticated name, bytes; b"" for none
    """

    __slots__ = ("kind", "number", "address", "user")

    def __init__(self, kind, number=b"", address=None, user=b""):
        self.kind = kind
        self.number = number
        self.address = address
        self.user = user

    def __str__(self):
        """Returns the client as it would be written in dkmay."""
        if self.kind == "uid":
            return "uid:" + self.number.decode()
        if self.user:
            return "user:" + self.user.decode()
        if self.address:
            family = _socket.AF_INET if len(self.address) == 4 else _socket.AF_INET6
            return "net:" + _socket.inet_ntop(family, self.address)
        return self.kind


def client(fields):
    """Returns the Client of a message in the queue, or None if the fields don't show it.

    fields: of message.Header
    """
    invoked = fields[0][1] if fields else b""
    if not invoked.startswith(b"Received: (qmail ") or invoked.count(b"\n") != 1:
        return None
    _, _, by = invoked.partition(b" invoked ")
    by, _, _ = by.partition(b"); ")
    kind = INVOKED.get(by)
    if kind == "network":
        return network_client([field for name, field in fields[1:] if name == b"received"])
    if kind == "bounce":
        return Client(kind)
    number = by[len(b"by uid "):] if by.startswith(b"by uid ") else b""
    if not kind and not number.isdigit():
        return None
    if len(fields) > 1 and fields[1][0] == b"delivered-to":     # mailforward() and forward(1)
        return Client("forward")
    return Client(kind or "uid", number)


def network_client(received):
    """Returns the Client in the Received field of qmail-smtpd, or None.

    received: the Received fields below that of qmail-queue; only the first counts.
    received() in received.c writes it; patches add text between the lines:
    Received: from HOST (HELO NAME) (USER@ADDRESS)
      by LOCAL with PROTOCOL; DATE
    No part contains a blank or a bracket, whatever the client or its DNS says.  Text
    after the line with the date may be the client's: the first line of its message,
    if that begins with a blank.
    """
    lines = received[0].split(b"\n") if received else [b""]
    own = [line for line in lines[1:] if line.startswith(b"  by ")]
    if not own or not lines[0].startswith(b"Received: from "):
        return None
    words = lines[0][len(b"Received: from "):].split(b" ")
    if len(words) != 2 and not (len(words) == 4 and words[1] == b"(HELO"
                                and words[2].endswith(b")")):
        return None
    user, _, host = words[-1][1:-1].rpartition(b"@")
    if words[-1] != b"(" + words[-1][1:-1] + b")":
        return None
    protocol = own[0].partition(b" with ")[2].partition(b";")[0].split()
    authenticated = bool(protocol) and protocol[-1] in AUTHENTICATED
    return Client("network", address=packed(host), user=user if authenticated else b"")


def packed(text):
    """Returns the 4 or 16 bytes of an IP address written as text (bytes), else None."""
    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            number = _socket.inet_pton(family, text.decode())
        except (OSError, ValueError):
            continue
        return number[12:] if number.startswith(MAPPED) else number
    return None


def refused(candidates, fields, lines):
    """Returns (the candidates that must not sign, the client as str for the log).

    candidates: list of domains, bytes
    fields: of message.Header
    lines: of control/dkmay, list of str
    Raises SettingTrouble for any wrong line, since a typing error could let others sign.
    """
    rules = [rule(line) for line in lines]
    who = client(fields)
    allowed = [domain for fits, domains in rules if who and fits(who) for domain in domains]
    return ([domain for domain in candidates if not any(
        name == ANY or (b"." + domain).endswith(b"." + name) for name in allowed)],
        str(who or NOBODY))


def rule(line):
    """Parses a line (str) of control/dkmay.

    Returns (a function that takes a Client and returns whether the line applies to
    it, a list of domains as lower-case bytes).  Raises SettingTrouble.
    """
    who, *names = line.encode("utf-8", "surrogateescape").split()
    domains = [name.lower() for name in names]
    fits = matcher(who)
    if fits is None or not domains or not all(
            name == ANY or address.is_domain(name) for name in domains):
        raise SettingTrouble(f"DKMAY: {line!r} is not CLIENT DOMAIN ..., with CLIENT one of "
                             "uid:NUMBER, net:ADDRESS/BITS, user:NAME, alias, bounce, forward")
    return fits, domains


def matcher(who):
    """Returns the function of rule() for the first word (bytes) of a line, None if invalid."""
    kind, _, value = who.partition(b":")
    if who in (b"alias", b"bounce", b"forward"):
        return lambda found: found.kind == who.decode()
    if kind == b"uid" and value.isdigit() and len(value) < 20:
        return lambda found: found.kind == "uid" and int(found.number) == int(value)
    if kind == b"user" and value and not value.translate(None, SAFE):
        return lambda found: found.user == value
    return in_network(value) if kind == b"net" else None


def in_network(text):
    """Returns the function of rule() for ADDRESS or ADDRESS/BITS (bytes), None if invalid."""
    first, slash, bits = text.partition(b"/")
    first = packed(first)
    if first is None:
        return None
    size = 8 * len(first)
    if slash and not (bits.isdigit() and len(bits) < 4 and int(bits) <= size):
        return None
    host_bits = size - int(bits) if slash else 0
    network = int.from_bytes(first, "big")
    if network >> host_bits << host_bits != network:
        return None     # 192.0.2.1/24 may mean the host or the network
    return lambda found: (found.address is not None and len(found.address) == len(first)
                          and (int.from_bytes(found.address, "big") ^ network) >> host_bits == 0)
