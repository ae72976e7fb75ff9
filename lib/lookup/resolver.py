# SPDX-License-Identifier: MIT
"""Asks the DNS for records; no other module of the verifier uses the network.

dnspython writes the DNS messages, and reads the answers that wire_format rewrote.
Its own resolver is not used, because it costs as much again to import, and because
its errors do not always distinguish "no such record" from "no server answered".
"""

import socket
import time

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from ..errors import SettingTrouble
from . import wire_format
from .answer import CUT, Answer

TIMEOUTS = (1, 3, 5)    # seconds to wait for a server, in each of the rounds
UDP_PAYLOAD = 1232      # bytes that pass unfragmented (DNS Flag Day 2020)
ALIASES = 8             # CNAME records to follow for one name
PORT = "53"
QUESTIONS = (b"\0\1", b"\0\0")     # their number in a response; 0 if it was not understood

# Codes from servers, and from devices before them, that don't know EDNS (RFC 6891 section 7:
# FORMERR; older ones use others) or its version (section 6.1.3).
EDNS_REFUSED = (dns.rcode.FORMERR, dns.rcode.SERVFAIL, dns.rcode.NOTIMP, dns.rcode.BADVERS)


# Types of records in answers; dnspython imports a module for each when it meets the first.
RECORD_TYPES = (*wire_format.KINDS, "CNAME", "SOA", "NS", "OPT")


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
            return self.answer(dns.name.Name([*name.split(b"."), b""]), kind, deadline)
        except ServerFailure as failure:
            return Answer("temporary", [], str(failure))

    def answer(self, name, kind, deadline):
        """Returns the Answer for a dns.name.Name; follows CNAME records.

        Raises ServerFailure.
        """
        chain = [name]
        times_to_live = []
        while True:
            known = len(chain)
            response = self.response(chain[-1], kind, deadline)
            found = follow(response, chain, kind)
            times_to_live += [rrset.ttl for rrset in response.answer]
            if found:
                return Answer("found", list(map(VALUES[kind], found)), "", min(times_to_live))
            # The response code applies to the last name of the chain (RFC 6604 section 3).
            if response.rcode() == dns.rcode.NXDOMAIN or len(chain) == known:
                reason = ("NXDOMAIN" if response.rcode() == dns.rcode.NXDOMAIN
                          else f"no {kind} record")
                return Answer("none", [], reason, min(times_to_live + [absence(response)]))

    def response(self, name, kind, deadline):
        """Returns the first usable response for a dns.name.Name and type.  Raises ServerFailure.

        Tries each server in turn, and in the next rounds those again that timed out.
        The second round is without EDNS, because some devices drop queries that have it.
        """
        query = dns.message.make_query(name, kind, use_edns=0, payload=UDP_PAYLOAD)
        failure = ServerFailure("no time left")
        servers_left = self.servers
        for number, timeout in enumerate(TIMEOUTS, 1):
            asked = without_edns(query) if number == 2 else query
            slow = []
            for server in servers_left:
                until = min(time.monotonic() + timeout, deadline)
                if until <= time.monotonic():
                    raise failure
                try:
                    return exchange(asked, server, until)
                except TimeoutError as reason:
                    failure = ServerFailure(str(reason))
                    slow.append(server)
                except ServerFailure as reason:
                    failure = reason
            servers_left = slow
        raise failure


def load_record_types():
    """Makes dnspython import its modules for RECORD_TYPES.

    A process calls it before it gives up the right to read the packages.  Raises
    ImportError if one can't be loaded; dnspython would go on without it, for good.
    """
    for name in RECORD_TYPES:
        found = dns.rdata.get_rdata_class(dns.rdataclass.IN, dns.rdatatype.from_text(name))
        if found is dns.rdata.GenericRdata:
            raise ImportError(f"dnspython can't load its module for {name} records")


def joined(record):
    """Returns the text of a TXT record: its strings without blanks between them (bytes)."""
    return b"".join(record.strings)


def address(record):
    """Returns the address of an A or AAAA record as 4 or 16 bytes."""
    return record.to_wire()


def preference_and_name(record):
    """Returns the (preference, name) of an MX record."""
    return record.preference, plain(record.exchange)


def pointed_to(record):
    """Returns the name in a PTR record."""
    return plain(record.target)


def plain(name):
    """Returns a dns.name.Name as bytes in lower case, without the final dot.

    Bytes that no host name has are escaped, so that nothing is found at such a name.
    """
    return name.to_text(omit_final_dot=True).lower().encode("ascii")


# Type of records -> function that returns a record's value; see Answer.
VALUES = {"TXT": joined, "A": address, "AAAA": address, "MX": preference_and_name,
          "PTR": pointed_to}


def follow(response, chain, kind):
    """Returns the records of a type at the last name in chain, or None.

    Appends the targets of its CNAME records to chain.  Raises ServerFailure if there are
    too many, as in a loop.
    """
    wanted = dns.rdatatype.from_text(kind)
    while True:
        found = records(response, chain[-1], wanted)
        aliases = records(response, chain[-1], dns.rdatatype.CNAME)
        if found or not aliases:
            return found
        if len(chain) > ALIASES:
            raise ServerFailure(f"more than {ALIASES} CNAME records")
        chain.append(aliases[0].target)


def absence(response):
    """Returns how many seconds a negative answer may be cached, 0 without an SOA record.

    RFC 2308 section 5.
    """
    return min((min(rrset.ttl, rrset[0].minimum) for rrset in response.authority
                if (rrset.rdclass, rrset.rdtype) == (dns.rdataclass.IN, dns.rdatatype.SOA)),
               default=0)


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
    try:
        return [(family, to) for family, _, _, _, to in socket.getaddrinfo(
            host, port or PORT, type=socket.SOCK_DGRAM,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV)]
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
    """Returns the response of one server to a dns.message.Message.

    server: of servers(); until: time.monotonic().  Asks by TCP if the answer over UDP is
    truncated, and again without EDNS if the server refuses that.  Raises TimeoutError,
    ServerFailure.
    """
    wire = query.to_wire()
    try:
        received = ask_by_udp(query, wire, server, until)
        if received[2] & 0x02:      # TC: truncated (RFC 1035 section 4.1.1)
            received = whole_answer(query, wire, server, until)
    except (TimeoutError, socket.timeout) as error:     # the same since Python 3.10
        raise TimeoutError(str(error) if CUT in str(error) else "timeout") from error
    except OSError as error:
        raise ServerFailure(error.strerror or "no connection") from error
    response = parse(received)
    if response.rcode() in EDNS_REFUSED and query.edns >= 0:
        return exchange(without_edns(query), server, until)
    check(response)
    return response


def without_edns(query):
    """Returns the same query (dns.message.Message) with a new identifier and no OPT record."""
    asked = query.question[0]
    return dns.message.make_query(asked.name, asked.rdtype, use_edns=False)


def parse(wire):
    """Returns the dns.message.Message in bytes, as wire_format rewrites it.

    Raises ServerFailure.
    """
    try:
        wire, code = wire_format.rewritten(wire)
        response = dns.message.from_wire(wire)
    except wire_format.Malformed as malformed:
        raise ServerFailure(str(malformed)) from malformed
    except (dns.exception.DNSException, ValueError) as error:
        raise ServerFailure("malformed answer") from error
    response.set_rcode(code)
    return response


def check(response):
    """Raises ServerFailure unless a response answers the question."""
    rcode = response.rcode()
    if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        raise ServerFailure(dns.rcode.to_text(rcode))
    if response.flags & dns.flags.TC:
        raise ServerFailure("answer cut short")
    if not response.answer and not response.flags & (dns.flags.AA | dns.flags.RA):
        raise ServerFailure("referral")     # the server only points to others


def ask_by_udp(query, wire, server, until):
    """Returns the first datagram (bytes) from the server that answers the query.

    Ignores others.  Raises TimeoutError, OSError.
    """
    with socket.socket(server[0], socket.SOCK_DGRAM) as connection:
        connection.connect(server[1])
        connection.send(wire)
        while True:
            connection.settimeout(seconds_left(until))
            received = connection.recv(65535)
            if answers(query, received):
                return received


def whole_answer(query, wire, server, until):
    """Calls ask_by_tcp(), and adds to the reason of an error why TCP was needed.

    Raises TimeoutError, ServerFailure.
    """
    try:
        return ask_by_tcp(query, wire, server, until)
    except (TimeoutError, socket.timeout) as error:
        raise TimeoutError(f"{CUT} (timeout)") from error
    except ServerFailure as failure:
        raise ServerFailure(f"{CUT} ({failure})") from failure
    except OSError as error:
        raise ServerFailure(f"{CUT} ({error.strerror or 'no connection'})") from error


def ask_by_tcp(query, wire, server, until):
    """Returns the answer to the query over TCP (RFC 1035 section 4.2.2), bytes.

    Raises TimeoutError, ServerFailure, OSError.
    """
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


def answers(query, wire):
    """Returns whether bytes respond to the query: they have its identifier and question."""
    if wire[:2] != query.id.to_bytes(2, "big") or wire[4:6] not in QUESTIONS:
        return False
    try:
        return query.is_response(dns.message.from_wire(wire, question_only=True))
    except (dns.exception.DNSException, ValueError):
        return False


def records(response, name, kind):
    """Returns the records of a name and type in the answer section, or None."""
    return response.get_rrset(response.answer, name, dns.rdataclass.IN, kind)
