# SPDX-License-Identifier: MIT
"""Asks the DNS for records; no other module of the verifier uses the network.

dnspython's resolver is not used, because it takes more CPU time to import than all the rest
of a verified message, and because its errors do not always distinguish "no such record"
from "no server answered".
"""

import _socket      # socket itself costs a fifth of the interpreter's start
import time

from ..errors import SettingTrouble
from . import wire_format
from .answer import CUT, Answer

TIMEOUTS = (1, 3, 5)    # seconds to wait for a server, in each of the rounds
UDP_PAYLOAD = 1232      # bytes that pass unfragmented (DNS Flag Day 2020)
ALIASES = 8             # CNAME records to follow for one name
PORT = "53"

# Codes from servers, and from devices before them, that don't know EDNS (RFC 6891 section 7:
# FORMERR; older ones use others) or its version (section 6.1.3).
EDNS_REFUSED = (wire_format.FORMERR, wire_format.SERVFAIL, wire_format.NOTIMP,
                wire_format.BADVERS)


class ServerFailure(Exception):
    """A server gave no usable answer.  Only this module raises and catches it."""


class Resolver:
    """Asks the servers of DNSCACHEIP or of resolv.conf.

    addresses, resolv_conf: as in servers().  Raises SettingTrouble.
    """

    def __init__(self, addresses, resolv_conf="/etc/resolv.conf"):
        self.servers = servers(addresses, resolv_conf)

    def find(self, name, kind, deadline):
        """Returns the Answer for a domain name (bytes), by the deadline (time.monotonic()).

        kind: of wire_format.KINDS (str)
        """
        try:
            return self.answer(wire_format.wire_name(name), kind, deadline)
        except ServerFailure as failure:
            return Answer("temporary", [], str(failure))

    def answer(self, name, kind, deadline):
        """Returns the Answer for a name in wire format; follows CNAME records.

        Raises ServerFailure.
        """
        chain = [name]
        times_to_live = []
        while True:
            known = len(chain)
            response = self.response(chain[-1], kind, deadline)
            found = follow(response, chain, kind)
            times_to_live += [seconds for _, _, seconds, _ in response.records]
            if found:
                return Answer("found", found, "", min(times_to_live))
            # The response code applies to the last name of the chain (RFC 6604 section 3).
            missing = response.code == wire_format.NXDOMAIN
            if missing or len(chain) == known:
                reason = "NXDOMAIN" if missing else f"no {kind} record"
                return Answer("none", [], reason, min(times_to_live + [response.absence]))

    def response(self, name, kind, deadline):
        """Returns the first usable Response for a name in wire format and a type.

        Raises ServerFailure.

        Tries each server in turn, and in the next rounds those again that timed out.
        The second round is without EDNS, because some devices drop queries that have it.
        """
        query = wire_format.Query(name, kind, UDP_PAYLOAD)
        failure = ServerFailure("no time left")
        servers_left = self.servers
        for number, timeout in enumerate(TIMEOUTS, 1):
            sent = query.without_edns() if number == 2 else query
            slow = []
            for server in servers_left:
                until = min(time.monotonic() + timeout, deadline)
                if until <= time.monotonic():
                    raise failure
                try:
                    return exchange(sent, server, until)
                except TimeoutError as reason:
                    failure = ServerFailure(str(reason))
                    slow.append(server)
                except ServerFailure as reason:
                    failure = reason
            servers_left = slow
        raise failure


def follow(response, chain, kind):
    """Returns the values of a type (str) at the last name in chain, [] if there are none.

    Appends the names that CNAME records lead to to chain.  Raises ServerFailure if there
    are too many, as in a loop.
    """
    while True:
        found = response.values(chain[-1], wire_format.KINDS[kind])
        aliases = response.values(chain[-1], wire_format.CNAME)
        if found or not aliases:
            return found
        if len(chain) > ALIASES:
            raise ServerFailure(f"more than {ALIASES} CNAME records")
        chain.append(aliases[0])


def servers(addresses, resolv_conf):
    """Returns the servers to ask: list of (address family, socket address).

    addresses: IP addresses separated by blanks, each optionally with `#port`; "" for
    those of the file resolv_conf, or 127.0.0.1 if it has none (resolv.conf(5))
    Raises SettingTrouble for an invalid one among addresses, which an administrator wrote
    for us.  Others write resolv_conf; unusable words there are ignored, as by libc.
    """
    found = []
    for address in addresses.split():
        usable = socket_addresses(address)
        if not usable:
            raise SettingTrouble(f"DNSCACHEIP: {address!r} is not an IP address")
        found += usable
    for address in [] if found else nameservers(resolv_conf):
        found += socket_addresses(address)
    return found or socket_addresses("127.0.0.1")


def socket_addresses(address):
    """Returns [(address family, socket address)] for an IP address, with or without `#port`.

    Returns [] if it is none, or if it names a network interface that does not exist.
    """
    host, _, port = address.partition("#")
    if ":" not in host and host.count(".") != 3:
        return []           # getaddrinfo() takes 192.0.2 for 192.0.0.2
    try:
        # Bytes, because for text the codec of international names would be imported.
        return [(family, to) for family, _, _, _, to in _socket.getaddrinfo(
            host.encode("ascii"), port or PORT, type=_socket.SOCK_DGRAM,
            flags=_socket.AI_NUMERICHOST | _socket.AI_NUMERICSERV)]
    except (OSError, UnicodeError, OverflowError):
        return []


def nameservers(resolv_conf):
    """Returns the words after "nameserver" in a file, [] if it can't be read."""
    try:
        with open(resolv_conf, encoding="ascii", errors="replace") as file:
            lines = [line.split() for line in file]
    except OSError:
        return []
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]


def exchange(query, server, until):
    """Returns the wire_format.Response by which a server answers a wire_format.Query.

    Arguments and errors: as for response_of().  Raises ServerFailure also if the server says
    that it can't answer.
    """
    response = response_of(query, server, until)
    check(response)
    return response


def response_of(query, server, until):
    """Returns the wire_format.Response of one server to a wire_format.Query, whatever it says.

    server: of servers(); until: time.monotonic().  Asks by TCP if the answer over UDP is
    truncated, and again without EDNS if the server refuses that.  Raises TimeoutError,
    ServerFailure.
    """
    try:
        received = ask_by_udp(query, server, until)
        if int.from_bytes(received[2:4], "big") & wire_format.TRUNCATED:
            received = whole_answer(query, server, until)
    except (TimeoutError, _socket.timeout) as error:     # the same since Python 3.10
        raise TimeoutError(str(error) if CUT in str(error) else "timeout") from error
    except OSError as error:
        raise ServerFailure(error.strerror or "no connection") from error
    response = read(received)
    if response.code in EDNS_REFUSED and query.payload:
        return response_of(query.without_edns(), server, until)
    return response


def read(wire):
    """Returns the wire_format.Response in bytes.  Raises ServerFailure."""
    try:
        return wire_format.read(wire)
    except wire_format.Malformed as malformed:
        raise ServerFailure(str(malformed)) from malformed


def check(response):
    """Raises ServerFailure unless a Response answers the question."""
    check_code(response)
    if not response.records and not response.flags & (
            wire_format.AUTHORITATIVE | wire_format.RECURSION_AVAILABLE):
        raise ServerFailure("referral")     # the server only points to others


def check_code(response):
    """Raises ServerFailure if a Response has the code of a failure, or is cut short."""
    code = response.code
    if code not in (wire_format.NOERROR, wire_format.NXDOMAIN):
        raise ServerFailure(wire_format.CODES.get(code, f"response code {code}"))
    if response.flags & wire_format.TRUNCATED:
        raise ServerFailure("answer cut short")


def ask_by_udp(query, server, until):
    """Returns the first datagram (bytes) from the server that answers the query.

    Ignores others.  Raises TimeoutError, OSError.
    """
    connection = _socket.socket(server[0], _socket.SOCK_DGRAM)
    try:
        connection.connect(server[1])
        connection.send(query.wire)
        while True:
            connection.settimeout(seconds_left(until))
            received = connection.recv(65535)
            if query.is_answered_by(received):
                return received
    finally:
        connection.close()


def whole_answer(query, server, until):
    """Calls ask_by_tcp(), and adds to the reason of an error why TCP was needed.

    Raises TimeoutError, ServerFailure.
    """
    try:
        return ask_by_tcp(query, server, until)
    except (TimeoutError, _socket.timeout) as error:
        raise TimeoutError(f"{CUT} (timeout)") from error
    except ServerFailure as failure:
        raise ServerFailure(f"{CUT} ({failure})") from failure
    except OSError as error:
        raise ServerFailure(f"{CUT} ({error.strerror or 'no connection'})") from error


def ask_by_tcp(query, server, until):
    """Returns the answer to the query over TCP (RFC 1035 section 4.2.2), bytes.

    Raises TimeoutError, ServerFailure, OSError.
    """
    connection = _socket.socket(server[0], _socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds_left(until))
        connection.connect(server[1])
        connection.sendall(len(query.wire).to_bytes(2, "big") + query.wire)
        length = int.from_bytes(receive(connection, 2, until), "big")
        received = receive(connection, length, until)
    finally:
        connection.close()
    if not query.is_answered_by(received):
        raise ServerFailure("answer to another question")
    return received


def receive(connection, length, until):
    """Reads exactly length bytes.  Raises ServerFailure if the connection ends first."""
    received = b""
    while len(received) < length:
        connection.settimeout(seconds_left(until))
        piece = connection.recv(length - len(received))
        if not piece:
            raise ServerFailure("connection closed")
        received += piece
    return received


def seconds_left(until):
    """Returns the seconds until a time.monotonic().  Raises TimeoutError if none are left."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
