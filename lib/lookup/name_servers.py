# SPDX-License-Identifier: MIT
"""Asks all of a domain's own name servers for a TXT record, at the same time.

A resolver that is asked too early remembers for long that there is no such record,
and it can't show which server lacks it.  So it is asked only for the names and
addresses of the servers, never for the record's own name or a parent of it that has
an underscore.  Only the administrator's command uses this module, so it may be slow.
"""

import concurrent.futures
import socket
import time
from typing import NamedTuple

from ..packages import Hidden, add_site_packages
from .answer import CUT, Answer
from .memory import Memory
from .resolver import ALIASES, EDNS_REFUSED, UDP_PAYLOAD

add_site_packages()
# dnspython searches it for optional packages; none is needed, and that takes 35 ms.
with Hidden(empty=["importlib.metadata"]):
    import dns.exception
    import dns.flags
    import dns.message
    import dns.name
    import dns.query
    import dns.rcode
    import dns.rdataclass
    import dns.rdatatype

PORT = 53
TRIES = (1, 2, 4)       # seconds to wait for a server, again because a datagram may be lost
MOST = 32               # addresses to ask


class Unknown(Exception):
    """The name servers of a domain or their answers can't be found; the text says why."""


class Server(NamedTuple):
    """An address of a name server; both str, the name without the final dot."""
    name: str
    address: str

    def __str__(self):
        return f"{self.name} ({self.address})"


class Onward(NamedTuple):
    """The next name to ask for, its zone, and the zone's name servers (dns.name.Name).

    servers is () if the server did not name them.
    """
    name: dns.name.Name
    zone: dns.name.Name
    servers: tuple


def ask_all(name, recursive, seconds, memory=None):
    """Returns the answer of each name server: list of (who, answer.Answer).

    name: bytes; who: str, a Server or the name of one that has no address
    recursive: servers that look names up for us, as resolver.servers() returns them
    seconds: limit for all of it together; memory: memory.Memory of the servers that other
    questions have found.  Raises Unknown, also if none answers.
    """
    asking = Asking(recursive, time.monotonic() + seconds, memory or Memory())
    found = asking.answers(asking.start(dns.name.from_text(name.decode("ascii"))), 0)
    reasons = dict.fromkeys(answer.reason for _, answer in found)
    if all(answer.status == "temporary" for _, answer in found):
        raise Unknown("; ".join(reasons) or "they have no address")
    return found


class Asking:
    """The look-ups for one name.  recursive, memory: as in ask_all(); deadline: time.monotonic()"""

    def __init__(self, recursive, deadline, memory):
        self.recursive = recursive
        self.deadline = deadline
        self.memory = memory

    def answers(self, where, aliases):
        """Returns [(who, Answer)] of the servers of an Onward and of those they refer to.

        where: Onward; aliases: CNAME records and referrals that led there
        """
        servers, found = self.addresses(where.servers)
        with concurrent.futures.ThreadPoolExecutor(MOST) as pool:
            answers = list(pool.map(lambda server: self.ask(server, where), servers))
        further = {}
        for server, answer in zip(servers, answers):
            if isinstance(answer, Onward):
                further.setdefault(answer, []).append(server)
            else:
                found.append((str(server), answer))
        for onward, referring in further.items():
            try:
                if aliases == ALIASES:
                    raise Unknown(f"more than {ALIASES} CNAME records or referrals")
                found += self.answers(onward if onward.servers else self.start(onward.name),
                                      aliases + 1)
            except Unknown as reason:
                found += [(str(server), Answer("temporary", [], str(reason)))
                          for server in referring]
        return found

    def start(self, name):
        """Returns the Onward to the name servers of the zone above a key's name.

        Raises Unknown.
        """
        zone = name.parent()
        while any(label.startswith(b"_") for label in zone.labels):
            zone = zone.parent()
        asked = zone
        while len(zone.labels) > 2:         # the last label is the root's
            found = self.look_up(zone, "NS")
            if found:
                return Onward(name, zone, tuple(sorted(record.target for record in found)))
            zone = zone.parent()
        raise Unknown(f"{asked.to_text(True)} has no NS records")

    def addresses(self, names):
        """Returns (the Servers of the names, [(who, Answer)] for names without address)."""
        servers, lacking = {}, []
        for name in names:
            who = name.to_text(omit_final_dot=True)
            try:
                found = [record.address for kind in ("A", "AAAA")
                         for record in self.look_up(name, kind)]
                for address in found:
                    if is_reachable(address):
                        servers.setdefault(address, Server(who, address))
                if not found:
                    raise Unknown("it has no address")
            except Unknown as reason:
                lacking.append((who, Answer("temporary", [], str(reason))))
        return list(servers.values())[:MOST], lacking

    def look_up(self, name, kind):
        """Returns the records of a name and type from a resolver, [] if there are none.

        Raises Unknown if no resolver answers.
        """
        return self.memory.get((name, kind), lambda: self.ask_resolver(name, kind))

    def ask_resolver(self, name, kind):
        """As look_up(), but always asks."""
        reason = "there is none"
        for _, (address, port, *_) in self.recursive:
            response = self.exchange(dns.message.make_query(name, kind), address, port)
            if isinstance(response, str):
                reason = response
                continue
            if response.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                reason = dns.rcode.to_text(response.rcode())
                continue
            wanted = dns.rdatatype.from_text(kind)
            return [record for rrset in response.answer if rrset.rdtype == wanted
                    for record in rrset]
        raise Unknown(f"the resolver, asked for the {kind} of {name.to_text(True)}: {reason}")

    def ask(self, server, where):
        """Asks one Server.  Returns an Answer or an Onward."""
        query = dns.message.make_query(where.name, "TXT", use_edns=0, payload=UDP_PAYLOAD)
        query.flags &= ~dns.flags.RD
        response = self.exchange(query, server.address, PORT)
        if not isinstance(response, str) and response.rcode() in EDNS_REFUSED:
            query.use_edns(False)           # it may be older than EDNS (RFC 6891 section 7)
            response = self.exchange(query, server.address, PORT)
        if isinstance(response, str):
            return Answer("temporary", [], response)
        return read(response, where)

    def exchange(self, query, address, port):
        """Returns the response of one server (dns.message.Message), or why there is none (str)."""
        reason = "no time left"
        for seconds in TRIES:
            left = min(seconds, self.deadline - time.monotonic())
            if left <= 0:
                break
            try:
                return dns.query.udp(query, address, left, port, ignore_unexpected=True,
                                     ignore_trailing=True, raise_on_truncation=True)
            except dns.message.Truncated:       # tinydns even counts the records that it omits
                return self.exchange_by_tcp(query, address, port)
            except dns.exception.Timeout:
                reason = "timeout"
            except OSError as error:
                return error.strerror or "no connection"
            except (dns.exception.DNSException, ValueError):
                return "malformed answer"
        return reason

    def exchange_by_tcp(self, query, address, port):
        """As exchange(), for a response that is too long for a datagram."""
        try:
            return dns.query.tcp(query, address, max(self.deadline - time.monotonic(), 0.01), port,
                                 ignore_trailing=True)
        except (OSError, EOFError, dns.exception.DNSException, ValueError) as error:
            return f"{CUT} ({getattr(error, 'strerror', None) or 'no answer'})"


def read(response, where):
    """Reads a response.  Returns an Answer or an Onward.  where: the Onward that was asked"""
    code = response.rcode()
    if code not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return Answer("temporary", [], dns.rcode.to_text(code))
    name = where.name
    for _ in range(ALIASES + 1):
        texts = records(response.answer, name, dns.rdatatype.TXT)
        if texts:
            return Answer("found", [b"".join(text.strings) for text in texts])
        aliases = records(response.answer, name, dns.rdatatype.CNAME)
        if not aliases:
            break
        name = aliases[0].target
    else:
        return Answer("temporary", [], f"more than {ALIASES} CNAME records")
    if name != where.name:
        return Onward(name, dns.name.root, ())      # the alias may be in another domain
    if code == dns.rcode.NXDOMAIN:
        return Answer("none", [], "NXDOMAIN")
    if response.flags & dns.flags.AA:
        return Answer("none", [], "no TXT record")
    for rrset in response.authority:
        if (rrset.rdtype == dns.rdatatype.NS and name.is_subdomain(rrset.name)
                and len(rrset.name.labels) > len(where.zone.labels)):
            return Onward(name, rrset.name, tuple(sorted(record.target for record in rrset)))
    return Answer("temporary", [], "it knows nothing of the domain")


def records(section, name, kind):
    """Returns the records of a name and type in a section, or None."""
    return next((rrset for rrset in section if (rrset.name, rrset.rdclass, rrset.rdtype)
                 == (name, dns.rdataclass.IN, kind)), None)


def is_reachable(address):
    """Returns whether this host has a route to an IP address; many have none for IPv6."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as connection:
            connection.connect((address, PORT))     # sends nothing
    except OSError:
        return False
    return True
