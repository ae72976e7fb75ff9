# SPDX-License-Identifier: MIT
"""Asks all of a domain's own name servers for a TXT record, at the same time.

A resolver that is asked too early remembers for long that there is no such record,
and it can't show which server lacks it.  So it is asked only for the names and
addresses of the servers, never for the record's own name or a parent of it that has
an underscore.  Names are text here (bytes, without the final dot).
"""

import socket
import time
from typing import NamedTuple

from ..maillog import printable
from . import wire_format
from .answer import Answer
from .memory import Memory
from .resolver import (
    ALIASES, PORT, UDP_PAYLOAD, ServerFailure, check_code, follow, response_of, socket_addresses,
)
from .threads import at_once

TRIES = (1, 2, 4)       # seconds to wait for a server, again because a datagram may be lost
MOST = 32               # addresses to ask
FAMILIES = {"A": socket.AF_INET, "AAAA": socket.AF_INET6}


class Unknown(Exception):
    """The name servers of a domain or their answers can't be found; the text says why."""


class Server(NamedTuple):
    """An address of a name server.

    name, address: str; at: (address family, socket address)
    """
    name: str
    address: str
    at: tuple

    def __str__(self):
        return f"{self.name} ({self.address})"


class Onward(NamedTuple):
    """The next name to ask for, its zone, and the names of the zone's name servers.

    servers is () if the server did not name them.
    """
    name: bytes
    zone: bytes
    servers: tuple


def ask_all(name, resolver, seconds, memory=None):
    """Returns the answer of each name server: list of (who, answer.Answer).

    name: bytes; who: str, a Server or the name of one that has no address
    resolver: resolver.Resolver; seconds: limit for all of it together
    memory: memory.Memory of the servers that other questions have found
    Raises Unknown, also if none answers.
    """
    asking = Asking(resolver, time.monotonic() + seconds, memory or Memory())
    found = asking.answers(asking.start(name.lower()), 0)
    reasons = dict.fromkeys(answer.reason for _, answer in found)
    if all(answer.status == "temporary" for _, answer in found):
        raise Unknown("; ".join(reasons) or "they have no address")
    return found


class Asking:
    """The look-ups for one name.  resolver, memory: as in ask_all(); deadline: time.monotonic()"""

    def __init__(self, resolver, deadline, memory):
        self.resolver = resolver
        self.deadline = deadline
        self.memory = memory

    def answers(self, where, aliases):
        """Returns [(who, Answer)] of the servers of an Onward and of those they refer to.

        where: Onward; aliases: CNAME records and referrals that led there
        """
        servers, lacking = self.memory.get(where.servers, lambda: self.addresses(where.servers))
        found, further = list(lacking), {}
        for server, answer in zip(servers, self.ask_each(servers, where)):
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

    def ask_each(self, servers, where):
        """Asks all of the Servers.  Returns their Answers and Onwards, in order."""
        found = dict(at_once(lambda server: self.ask(server, where), servers, MOST))
        return [found[server] for server in servers]

    def start(self, name):
        """Returns the Onward to the name servers of the zone above a key's name.

        Raises Unknown.
        """
        labels = name.split(b".")[1:]
        while any(label.startswith(b"_") for label in labels):
            labels.pop(0)
        asked = b".".join(labels)
        while len(labels) > 1:
            zone = b".".join(labels)
            servers = self.look_up(zone, "NS")
            if servers:
                return Onward(name, zone, tuple(sorted(servers)))
            labels.pop(0)
        raise Unknown(f"{shown(asked)} has no NS records")

    def addresses(self, names):
        """Returns (the Servers of the names, [(who, Answer)] for names without address)."""
        servers, lacking = {}, []
        for name in names:
            try:
                found = [socket.inet_ntop(family, value) for kind, family in FAMILIES.items()
                         for value in self.look_up(name, kind)]
                reachable = [Server(shown(name), address, at) for address in found
                             for at in socket_addresses(f"{address}#{PORT}")[:1]
                             if is_reachable(at)]
                if not reachable:
                    raise Unknown("this host has no route to its addresses" if found
                                  else "it has no address")
                for server in reachable:
                    servers.setdefault(server.address, server)
            except Unknown as reason:
                lacking.append((shown(name), Answer("temporary", [], str(reason))))
        return list(servers.values())[:MOST], lacking

    def look_up(self, name, kind):
        """Returns the values that the resolver has for a name and type, [] if there are none.

        Raises Unknown if it gives no answer.
        """
        answer = self.memory.get((name, kind),
                                 lambda: self.resolver.find(name, kind, self.deadline))
        if answer.status == "temporary":
            raise Unknown(f"the resolver, asked for the {kind} of {shown(name)}: {answer.reason}")
        return answer.values

    def ask(self, server, where):
        """Asks one Server.  Returns an Answer or an Onward."""
        query = wire_format.Query(wire_format.wire_name(where.name), "TXT", UDP_PAYLOAD, flags=0)
        reason = "no time left"
        for seconds in TRIES:
            until = min(time.monotonic() + seconds, self.deadline)
            if until <= time.monotonic():
                break
            try:
                return read(response_of(query, server.at, until), where)
            except TimeoutError as timeout:
                reason = str(timeout)
            except ServerFailure as failure:
                return Answer("temporary", [], str(failure))
        return Answer("temporary", [], reason)


def read(response, where):
    """Reads a wire_format.Response.  Returns an Answer or an Onward.  Raises ServerFailure.

    where: the Onward that was asked
    """
    check_code(response)
    chain = [wire_format.wire_name(where.name)]
    found = follow(response, chain, "TXT")
    if found:
        return Answer("found", found)
    if len(chain) > 1:
        # The alias may be in another domain.
        return Onward(wire_format.text(chain[-1]), b"", ())
    if response.code == wire_format.NXDOMAIN:
        return Answer("none", [], "NXDOMAIN")
    if response.flags & wire_format.AUTHORITATIVE:
        return Answer("none", [], "no TXT record")
    zones = {}
    for owner, _, _, target in response.referrals:
        zones.setdefault(wire_format.text(owner), []).append(target)
    for zone, servers in zones.items():
        if is_below(where.name, zone) and is_below(zone, where.zone) and zone != where.zone:
            return Onward(where.name, zone, tuple(sorted(servers)))
    raise ServerFailure("it knows nothing of the domain")


def is_below(name, zone):
    """Returns whether a name is a zone's or below it."""
    return (b"." + name).endswith(b"." + zone)


def shown(name):
    """Returns a name as it is shown, str."""
    return printable(name.decode("latin-1"))


def is_reachable(at):
    """Returns whether this host has a route to (address family, socket address).

    Many have none for IPv6.
    """
    family, address = at
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as connection:
            connection.connect(address)     # sends nothing
    except OSError:
        return False
    return True
