# SPDX-License-Identifier: MIT
"""The SMTP client whose address SPF looks at, and its validated names (RFC 7208 section 5.5)."""

from ..mail.tag_values import is_within

MOST_HOSTS = 10     # PTR records that are looked at; section 4.6.4: the others are ignored


class Client:
    """The client of one evaluation.

    address: bytes; number: the same as an int; bits: 32 or 128
    kind: type of its address records, "A" or "AAAA"; zone: bytes, the macro v
    lookups: spf_lookups.CountedLookups
    hosts: names (list of bytes) in its PTR records, None before they are looked up
    validated: {name: whether it has the address}
    """

    def __init__(self, address, lookups):
        self.address = address
        self.number = int.from_bytes(address, "big")
        self.bits = 8 * len(address)
        self.kind, self.zone = ("A", b"in-addr") if self.bits == 32 else ("AAAA", b"ip6")
        self.lookups = lookups
        self.hosts = None
        self.validated = {}

    def labels(self):
        """Returns the address as labels (section 7.3, i), list of bytes."""
        if self.bits == 32:
            return [b"%d" % byte for byte in self.address]
        return [digit.encode() for digit in self.address.hex()]

    def has_address(self, addresses, prefixes):
        """Returns whether one of the addresses (bytes) is the client's, up to a prefix's length.

        prefixes: (bits of IPv4 addresses, bits of IPv6 addresses)
        """
        shift = self.bits - prefixes[self.bits == 128]
        network = self.number >> shift
        return any(int.from_bytes(address, "big") >> shift == network for address in addresses)

    def has_host_within(self, domain):
        """Returns whether one of the validated names is a domain or below it.  Raises Ended.

        The others need not be validated for that.
        """
        return any(is_within(host, domain) and self.is_validated(host)
                   for host in self.found_hosts())

    def host(self, domain):
        """Returns the macro p (section 7.3): the domain, a name below it, or another one.

        Section 4.6.4 counts the look-up of PTR records, but there is only one.  Raises
        Ended.
        """
        if self.hosts is None:
            self.lookups.count_term()
        hosts = sorted(self.found_hosts(),
                       key=lambda host: (host != domain, not is_within(host, domain)))
        return next(filter(self.is_validated, hosts), b"unknown")

    def found_hosts(self):
        """Returns hosts, looked up once; none if that fails (section 5.5).  Raises Ended."""
        if self.hosts is None:
            name = b".".join([*reversed(self.labels()), self.zone, b"arpa"])
            found = self.lookups.values_if_any(name, "PTR")
            self.hosts = [host.lower() for host in found[:MOST_HOSTS]]
        return self.hosts

    def is_validated(self, host):
        """Returns whether a name has the address; not if that fails (section 5.5).

        Raises Ended.
        """
        if host not in self.validated:
            self.validated[host] = self.address in self.lookups.values_if_any(host, self.kind)
        return self.validated[host]
