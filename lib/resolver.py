# SPDX-License-Identifier: MIT
"""Asks the DNS for TXT records: the only module that talks to the network.

dnspython writes and reads the DNS messages.  Its own resolver is not used: it
costs as much again to import, and its errors do not tell "there is no such
record" from "nobody could say" in all cases.
"""

import socket
import time

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype

from .errors import SettingTrouble
from .results import TxtAnswer

TIMEOUTS = (1, 3, 5)    # seconds to wait for a server, in the first round and the next ones
UDP_PAYLOAD = 1232      # bytes: what passes unfragmented (DNS Flag Day 2020)
ALIASES = 8             # CNAMEs to follow for one name
PORT = "53"
MOST_RECORDS = 256      # in one answer
QUESTIONS = (b"\0\1", b"\0\0")     # how many a response has; none where it was not understood


class ServerFailure(Exception):
    """A server gave no answer that can be used.  Does not leave this module."""


class Resolver:
    """Asks the servers of DNSCACHEIP, or of resolv.conf; see servers().

    Raises SettingTrouble.
    """

    def __init__(self, addresses, resolv_conf="/etc/resolv.conf"):
        self.servers = servers(addresses, resolv_conf)

    def txt(self, name, deadline):
        """The TxtAnswer for a domain name (bytes), by the deadline (time.monotonic())."""
        try:
            return self.find(dns.name.from_text(name.decode("ascii")), deadline)
        except ServerFailure as failure:
            return TxtAnswer("temporary", [], str(failure))

    def find(self, name, deadline):
        """The TxtAnswer for a dns.name.Name, CNAMEs followed.  Raises ServerFailure."""
        chain = [name]
        times_to_live = []
        while True:
            known = len(chain)
            response = self.response(chain[-1], deadline)
            texts = follow(response, chain)
            times_to_live += [rrset.ttl for rrset in response.answer]
            if texts:
                return TxtAnswer("found", [b"".join(text.strings) for text in texts], "",
                                 min(times_to_live))
            # The response code is that of the last name (RFC 6604 section 3).
            if response.rcode() == dns.rcode.NXDOMAIN or len(chain) == known:
                reason = ("NXDOMAIN" if response.rcode() == dns.rcode.NXDOMAIN
                          else "no TXT record")
                return TxtAnswer("none", [], reason, min(times_to_live + [absence(response)]))

    def response(self, name, deadline):
        """The first usable response for a dns.name.Name.  Raises ServerFailure.

        Each server is tried in turn, and those that only took too long again.
        """
        query = dns.message.make_query(name, "TXT", use_edns=0, payload=UDP_PAYLOAD)
        failure = ServerFailure("no time left")
        servers_left = self.servers
        for timeout in TIMEOUTS:
            slow = []
            for server in servers_left:
                until = min(time.monotonic() + timeout, deadline)
                if until <= time.monotonic():
                    raise failure
                try:
                    return exchange(query, server, until)
                except TimeoutError:
                    failure = ServerFailure("timeout")
                    slow.append(server)
                except ServerFailure as reason:
                    failure = reason
            servers_left = slow
        raise failure


def follow(response, chain):
    """The TXT records of the last name in chain, or None; adds its CNAMEs to chain.

    Raises ServerFailure where there are too many, as in a loop.
    """
    while True:
        texts = records(response, chain[-1], dns.rdatatype.TXT)
        aliases = records(response, chain[-1], dns.rdatatype.CNAME)
        if texts or not aliases:
            return texts
        if len(chain) > ALIASES:
            raise ServerFailure(f"more than {ALIASES} CNAME records")
        chain.append(aliases[0].target)


def absence(response):
    """For how many seconds a negative answer holds (RFC 2308 section 5); 0 if it does not say."""
    return min((min(rrset.ttl, rrset[0].minimum) for rrset in response.authority
                if (rrset.rdclass, rrset.rdtype) == (dns.rdataclass.IN, dns.rdatatype.SOA)),
               default=0)


def servers(addresses, resolv_conf):
    """The servers to ask: list of (address family, socket address).

    addresses: IP addresses separated by blanks, each optionally with `#port`;
    "" for those of resolv_conf, or 127.0.0.1 if it has none (resolv.conf(5))
    Raises SettingTrouble.
    """
    found = []
    for address in addresses.split() or nameservers(resolv_conf) or ["127.0.0.1"]:
        host, _, port = address.partition("#")
        try:
            found += [(family, to) for family, _, _, _, to in socket.getaddrinfo(
                host, port or PORT, type=socket.SOCK_DGRAM,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV)]
        except (OSError, UnicodeError, OverflowError) as error:
            raise SettingTrouble(f"{'DNSCACHEIP' if addresses else resolv_conf}: "
                                 f"{address!r} is not an IP address") from error
    return found


def nameservers(resolv_conf):
    """The addresses in the nameserver lines of a file; [] if it can't be read."""
    try:
        with open(resolv_conf, encoding="ascii", errors="replace") as file:
            lines = [line.split() for line in file]
    except OSError:
        return []
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]


def exchange(query, server, until):
    """The response of one server to a dns.message.Message, by the time until.

    Raises TimeoutError, ServerFailure.
    """
    wire = query.to_wire()
    try:
        received = ask_by_udp(query, wire, server, until)
        if received[2] & 0x02:      # TC: truncated (RFC 1035 section 4.1.1)
            received = ask_by_tcp(query, wire, server, until)
    except (TimeoutError, socket.timeout) as error:     # the same since Python 3.10
        raise TimeoutError from error
    except OSError as error:
        raise ServerFailure(error.strerror or "no connection") from error
    response = parse(received)
    if response.rcode() == dns.rcode.FORMERR and query.edns >= 0:
        query.use_edns(False)       # a server from before EDNS (RFC 6891 section 7)
        return exchange(query, server, until)
    check(response)
    return response


def parse(wire):
    """The dns.message.Message in bytes.  Raises ServerFailure.

    Each name may be written as a pointer of 2 bytes to one of 127 labels, so
    64 KB of records would take seconds.
    """
    if sum(int.from_bytes(wire[at:at + 2], "big") for at in (4, 6, 8, 10)) > MOST_RECORDS:
        raise ServerFailure(f"an answer of more than {MOST_RECORDS} records")
    try:
        return dns.message.from_wire(wire, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError) as error:
        raise ServerFailure("malformed answer") from error


def check(response):
    """Raises ServerFailure for what is no answer to the question."""
    rcode = response.rcode()
    if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        raise ServerFailure(dns.rcode.to_text(rcode))
    if response.flags & dns.flags.TC:
        raise ServerFailure("answer cut short")
    if not response.answer and not response.flags & (dns.flags.AA | dns.flags.RA):
        raise ServerFailure("referral")     # from a server that only points to others


def ask_by_udp(query, wire, server, until):
    """The first datagram from the server that answers the query; others are ignored."""
    with socket.socket(server[0], socket.SOCK_DGRAM) as connection:
        connection.connect(server[1])
        connection.send(wire)
        while True:
            connection.settimeout(seconds_left(until))
            received = connection.recv(65535)
            if answers(query, received):
                return received


def ask_by_tcp(query, wire, server, until):
    """The answer to the query over TCP (RFC 1035 section 4.2.2)."""
    with socket.socket(server[0], socket.SOCK_STREAM) as connection:
        connection.settimeout(seconds_left(until))
        connection.connect(server[1])
        connection.sendall(len(wire).to_bytes(2, "big") + wire)
        length = int.from_bytes(receive(connection, 2, until), "big")
        received = receive(connection, length, until)
    if not answers(query, received):
        raise ServerFailure("answer to another question")
    return received


def receive(connection, length, until):
    """Exactly length bytes.  Raises ServerFailure if the connection ends first."""
    received = b""
    while len(received) < length:
        connection.settimeout(seconds_left(until))
        piece = connection.recv(length - len(received))
        if not piece:
            raise ServerFailure("connection closed")
        received += piece
    return received


def seconds_left(until):
    """Seconds until then.  Raises TimeoutError if there are none."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def answers(query, wire):
    """Whether bytes are a response to the query: its identifier, its question."""
    if wire[:2] != query.id.to_bytes(2, "big") or wire[4:6] not in QUESTIONS:
        return False
    try:
        return query.is_response(dns.message.from_wire(wire, question_only=True))
    except (dns.exception.DNSException, ValueError):
        return False


def records(response, name, kind):
    """The records of a name and type in the answer section, or None."""
    return response.get_rrset(response.answer, name, dns.rdataclass.IN, kind)
