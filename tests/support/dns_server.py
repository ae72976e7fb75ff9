# SPDX-License-Identifier: MIT
"""A DNS server on loopback for tests, which answers from a dict, and lies on demand.

The dict maps a name to one of

  ["text", ...]            TXT records; a record may be a list of its strings
  {"rcode": "SERVFAIL"}    that response code
  {"timeout": true}        no answer
  {"cname": "other"}       an alias and the other name's records, as a resolver
                           answers; with "alone": true only the alias
  {"NS": ["ns.example"], "A": ["127.0.0.2"], "MX": ["10 mx.example"], "TXT": [...]}
                           records by type
  {"refer": "ns.example", "zone": "example"}
                           no answer but a referral to the zone's name server
  {"lie": "identifier"}    see LIES; "then" has the true answer, which follows;
                           "no edns" takes "rcode", the answer to a query with
                           EDNS; without it there is none

Other names give NXDOMAIN.  {"turns": [...]} has a list of such values, used one
after the other, the last one from then on.  dnslib builds the messages, since
dnspython should not be its own judge.
"""

import contextlib
import errno
import socket
import socketserver
import threading

import dnslib

TYPES = {"NS": dnslib.NS, "A": dnslib.A, "AAAA": dnslib.AAAA, "TXT": dnslib.TXT, "PTR": dnslib.PTR,
         "MX": lambda text: dnslib.MX(text.split()[1], int(text.split()[0]))}
LIES = ("identifier", "question", "garbage", "malformed", "query", "referral", "truncated",
        "no edns")


def records(value):
    """Returns a list of texts as TXT data, list of dnslib.TXT."""
    return [dnslib.TXT([string.encode("latin-1") if isinstance(string, str) else string
                        for string in (text if isinstance(text, list) else strings(text))])
            for text in value]


def strings(text):
    """Splits a text (str or bytes) into strings of at most 255 bytes (RFC 1035 section 3.3)."""
    data = text.encode("latin-1") if isinstance(text, str) else text
    return [data[start:start + 255] for start in range(0, len(data), 255)] or [b""]


class DnsServer:
    """A context manager that serves UDP and TCP on one port.

    asked: list of (transport, name, EDNS payload size or 0), one for each query
    address: as in DNSCACHEIP
    port: number; 0 for any
    """

    def __init__(self, zone, host="127.0.0.1", port=0):
        self.zone = {name.lower().rstrip("."): value for name, value in zone.items()}
        self.host = host
        self.port = port
        self.asked = []
        self.tcp = True
        self.close = contextlib.ExitStack()

    def __enter__(self):
        for server in self.listening():
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            self.close.callback(server.server_close)
            self.close.callback(server.shutdown)
        self.address = f"{self.host}#{self.port}"
        return self

    def listening(self):
        """Returns servers for TCP and UDP on one port.

        Tries again if the port that the system chose for TCP is in use for UDP.
        """
        wanted = self.port
        while True:
            tcp = self.server(socketserver.ThreadingTCPServer, self.handle_tcp, wanted)
            self.port = tcp.server_address[1]
            try:
                return tcp, self.server(socketserver.ThreadingUDPServer, self.handle_udp, self.port)
            except OSError as error:
                tcp.server_close()
                if error.errno != errno.EADDRINUSE or wanted:
                    raise

    def server(self, kind, handle, port):
        options = {"address_family": socket.AF_INET6 if ":" in self.host else socket.AF_INET,
                   "allow_reuse_address": kind is socketserver.ThreadingTCPServer,
                   "daemon_threads": True}
        return type(kind.__name__, (kind,), options)((self.host, port), handler(handle))

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
        """Returns the messages to send in answer to a query, list of bytes."""
        query = dnslib.DNSRecord.parse(data)
        name = str(query.q.qname).rstrip(".").lower()
        payload = max([extra.rclass for extra in query.ar if extra.rtype == dnslib.QTYPE.OPT],
                      default=0)
        self.asked.append((transport, name, payload))
        value = self.zone.get(name, {"rcode": "NXDOMAIN"})
        if isinstance(value, dict) and "turns" in value:
            turns = value["turns"]
            value = turns.pop(0) if len(turns) > 1 else turns[0]
        kind = dnslib.QTYPE[query.q.qtype]
        if isinstance(value, dict) and TYPES.keys() & value.keys():
            if kind != "TXT":
                return [self.of_type(query, kind, value.get(kind, ())).pack()]
            value = value.get("TXT", [])
        elif isinstance(value, list) and kind != "TXT":
            return [self.of_type(query, kind, ()).pack()]
        return self.told(query, value, transport, payload)

    def told(self, query, value, transport, payload):
        if isinstance(value, dict) and value.get("timeout"):
            return []
        if isinstance(value, dict) and "refer" in value:
            return [self.referral(query, value["zone"], value["refer"]).pack()]
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
            return self.to_edns(query, value.get("rcode")) if payload else [wire]
        return [false, self.packed(true, transport, payload)] if "then" in value else [false]

    def to_edns(self, query, rcode):
        """Returns the messages of a server without EDNS: one with a response code, or none."""
        failure = query.reply()
        if rcode == "BADVERS":      # its upper bits are in the OPT record, RFC 6891 section 6.1.3
            failure.add_ar(dnslib.EDNS0(ext_rcode=1, version=0))
        elif rcode:
            failure.header.rcode = getattr(dnslib.RCODE, rcode)
        return [failure.pack()] if rcode else []

    def reply(self, query, value):
        """Returns the true reply, a dnslib.DNSRecord."""
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

    def of_type(self, query, kind, values):
        """Returns the reply with records of another type, a dnslib.DNSRecord."""
        reply = query.reply()
        reply.rr = []
        reply.add_answer(*[dnslib.RR(query.q.qname, query.q.qtype, rdata=TYPES[kind](value))
                           for value in values])
        return reply

    def referral(self, query, zone="example", server="ns.example"):
        """Returns the reply of a server that is responsible for a parent domain only."""
        reply = query.reply(aa=0, ra=0)
        reply.rr = []
        reply.add_auth(dnslib.RR(zone, dnslib.QTYPE.NS, rdata=dnslib.NS(server)))
        return reply


def handler(function):
    """Returns a socketserver handler class that calls function with the request."""
    return type("Handler", (socketserver.BaseRequestHandler,),
                {"handle": lambda request: function(request)})


class Living(DnsServer):
    """A DnsServer whose records have times to live, and its negative answers as well."""

    def __init__(self, zone, seconds, soa=None):
        super().__init__(zone)
        self.seconds, self.soa = seconds, soa

    def reply(self, query, value):
        reply = super().reply(query, value)
        for record, seconds in zip(reply.rr, self.seconds):
            record.ttl = seconds
        if self.soa:
            ttl, minimum = self.soa
            reply.add_auth(dnslib.RR("example.com", dnslib.QTYPE.SOA, ttl=ttl, rdata=dnslib.SOA(
                "ns.example.com", "host.example.com", (1, 2, 3, 4, minimum))))
        return reply
