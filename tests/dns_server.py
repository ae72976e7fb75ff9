# SPDX-License-Identifier: MIT
"""A DNS server on loopback, for tests: answers from a dict, and lies on demand.

The dict maps a name to one of

  ["text", ...]            TXT records; a record may be a list of its strings
  {"rcode": "SERVFAIL"}    that response code
  {"timeout": true}        no answer
  {"cname": "other"}       an alias, and what the other name has, as a resolver
                           answers; with "alone": true only the alias
  {"lie": "identifier"}    see LIES; what follows under "then" is the true answer

A name that is not there is NXDOMAIN.  A list of such values is taken one
after the other, the last one for good, under {"turns": [...]}.  Messages are
built by dnslib, so that dnspython is not its own judge.
"""

import contextlib
import socket
import socketserver
import threading

import dnslib

LIES = ("identifier", "question", "garbage", "malformed", "query", "referral", "truncated",
        "no edns")


def records(value):
    """The TXT data (dnslib.TXT) of a list of texts."""
    return [dnslib.TXT([string.encode("latin-1") if isinstance(string, str) else string
                        for string in (text if isinstance(text, list) else strings(text))])
            for text in value]


def strings(text):
    """A text in strings of at most 255 bytes."""
    data = text.encode("latin-1") if isinstance(text, str) else text
    return [data[start:start + 255] for start in range(0, len(data), 255)] or [b""]


class DnsServer:
    """Serves UDP and TCP on one port while it is entered.

    asked: (transport, name, EDNS payload size or 0) of each query
    address: as in DNSCACHEIP
    """

    def __init__(self, zone, host="127.0.0.1"):
        self.zone = {name.lower().rstrip("."): value for name, value in zone.items()}
        self.host = host
        self.asked = []
        self.tcp = True
        self.close = contextlib.ExitStack()

    def __enter__(self):
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        handlers = {"tcp": self.handle_tcp, "udp": self.handle_udp}
        servers = {"tcp": socketserver.ThreadingTCPServer, "udp": socketserver.ThreadingUDPServer}
        self.port = 0
        for transport in ("tcp", "udp"):
            options = {"address_family": family, "allow_reuse_address": True,
                       "daemon_threads": True}
            kind = type(transport, (servers[transport],), options)
            server = kind((self.host, self.port), handler(handlers[transport]))
            self.port = server.server_address[1]
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            self.close.callback(server.server_close)
            self.close.callback(server.shutdown)
        self.address = f"{self.host}#{self.port}"
        return self

    def __exit__(self, *exception):
        self.close.close()

    def handle_udp(self, request):
        data, connection = request.request
        for answer in self.answers(data, "udp"):
            connection.sendto(answer, request.client_address)

    def handle_tcp(self, request):
        length = int.from_bytes(request.request.recv(2), "big")
        data = b""
        while len(data) < length:
            data += request.request.recv(length - len(data))
        for answer in self.answers(data, "tcp") if self.tcp else ():
            wire = len(answer).to_bytes(2, "big") + answer
            for start in range(0, len(wire), 1000):     # in pieces, as networks deliver
                request.request.sendall(wire[start:start + 1000])

    def answers(self, data, transport):
        """The messages (bytes) to send in answer to a query."""
        query = dnslib.DNSRecord.parse(data)
        name = str(query.q.qname).rstrip(".").lower()
        payload = max([extra.rclass for extra in query.ar if extra.rtype == dnslib.QTYPE.OPT],
                      default=0)
        self.asked.append((transport, name, payload))
        value = self.zone.get(name, {"rcode": "NXDOMAIN"})
        if isinstance(value, dict) and "turns" in value:
            turns = value["turns"]
            value = turns.pop(0) if len(turns) > 1 else turns[0]
        return self.told(query, value, transport, payload)

    def told(self, query, value, transport, payload):
        if isinstance(value, dict) and value.get("timeout"):
            return []
        lie = value.get("lie") if isinstance(value, dict) else None
        if lie is None:
            return [self.packed(self.reply(query, value), transport, payload)]
        then = value.get("then", ["the lie was believed"])
        true = self.reply(query, then)
        wire = true.pack()
        if lie == "identifier":
            false = bytes([wire[0] ^ 0xff]) + wire[1:]
        elif lie == "question":
            other = dnslib.DNSRecord(dnslib.DNSHeader(id=query.header.id, qr=1, aa=1, ra=1),
                                     q=dnslib.DNSQuestion("other.example", dnslib.QTYPE.TXT))
            other.add_answer(*[dnslib.RR(query.q.qname, dnslib.QTYPE.TXT, rdata=text)
                               for text in records(["v=DKIM1; p=spoofed"])])
            false = other.pack()
        elif lie == "garbage":
            false = b"\xff" * 40
        elif lie == "malformed":
            return [wire[:-3]]
        elif lie == "query":
            false = query.pack()
        elif lie == "referral":
            return [self.referral(query).pack()]
        elif lie == "truncated":
            true.header.tc = 1
            return [true.pack()]
        elif lie == "no edns":
            if payload:
                failure = query.reply()
                failure.header.rcode = dnslib.RCODE.FORMERR
                return [failure.pack()]
            return [wire]
        return [false, self.packed(true, transport, payload)] if "then" in value else [false]

    def reply(self, query, value):
        """The honest reply (dnslib.DNSRecord)."""
        reply = query.reply()
        reply.rr = []
        name = query.q.qname
        for _ in range(20):
            if not (isinstance(value, dict) and "cname" in value):
                break
            reply.add_answer(dnslib.RR(name, dnslib.QTYPE.CNAME,
                                       rdata=dnslib.CNAME(value["cname"])))
            if value.get("alone"):
                return reply
            name = value["cname"]
            value = self.zone.get(name.lower(), {"rcode": "NXDOMAIN"})
        if isinstance(value, dict):
            reply.header.rcode = getattr(dnslib.RCODE, value.get("rcode", "NOERROR"))
            return reply
        reply.add_answer(*[dnslib.RR(name, dnslib.QTYPE.TXT, rdata=text)
                           for text in records(value)])
        return reply

    def packed(self, reply, transport, payload):
        wire = reply.pack()
        if transport == "udp" and len(wire) > (payload or 512):
            reply.rr = []
            reply.header.tc = 1
            wire = reply.pack()
        return wire

    def referral(self, query):
        """What a server says that is responsible for a parent domain only."""
        reply = query.reply(aa=0, ra=0)
        reply.rr = []
        reply.add_auth(dnslib.RR("example", dnslib.QTYPE.NS, rdata=dnslib.NS("ns.example")))
        return reply


def handler(function):
    """A socketserver handler that calls function."""
    return type("Handler", (socketserver.BaseRequestHandler,),
                {"handle": lambda request: function(request)})
