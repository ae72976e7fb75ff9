# SPDX-License-Identifier: MIT
"""A DNS server on the loopback address, for one zone (dnslib)."""

import contextlib

from dnslib.server import DNSHandler, DNSLogger, DNSServer
from dnslib.zoneresolver import ZoneResolver

from . import Failure

ADDRESS = "127.0.0.1"
ATTEMPTS = 10


class Handler(DNSHandler):
    udplen = 512    # bytes of a UDP answer; beyond, the client asks by TCP (RFC 1035 section 4.2.1)


@contextlib.contextmanager
def serving(zone):
    """A context that serves zone (str, BIND form) by UDP and TCP; gives the port.

    Raises Failure if no port is free.
    """
    udp, tcp = bound(ZoneResolver(zone))
    for server in udp, tcp:
        server.start_thread()
    try:
        yield port_of(udp)
    finally:
        for server in udp, tcp:
            server.stop()
            server.server.server_close()


def bound(resolver):
    """Returns two DNSServers, for UDP and TCP, on one port that was free for both."""
    quiet = DNSLogger(logf=lambda line: None)
    for _ in range(ATTEMPTS):
        try:
            udp = DNSServer(resolver, ADDRESS, 0, logger=quiet, handler=Handler)
        except OSError as error:
            raise Failure(f"no UDP port to be had on {ADDRESS}: {error.strerror}") from error
        try:
            return udp, DNSServer(resolver, ADDRESS, port_of(udp), tcp=True,
                                  logger=quiet, handler=Handler)
        except OSError as error:
            udp.server.server_close()
            reason = error
    raise Failure(f"no port to be had on {ADDRESS} by UDP and TCP: {reason.strerror}")


def port_of(server):
    return server.server.server_address[1]
