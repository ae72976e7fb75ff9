# SPDX-License-Identifier: MIT
"""Records of other types than TXT, asked of a real server: as values, and for odd names."""

import pytest

from lib.lookup import budget
from tests.support import dns_server

NAME = "s._domainkey.example.com"

# type -> (the server's records, the values)
OTHER_TYPES = {
    "A": (["192.0.2.1", "203.0.113.255"], [bytes((192, 0, 2, 1)), bytes((203, 0, 113, 255))]),
    "AAAA": (["2001:db8::1"], [bytes.fromhex("20010db8000000000000000000000001")]),
    "MX": (["10 mx.example.com", "0 MX2.Example.Net", "65535 ."],
           [(10, b"mx.example.com"), (0, b"mx2.example.net"), (65535, b".")]),
    "NS": (["a.ns.example.com", "B.NS.example.net"], [b"a.ns.example.com", b"b.ns.example.net"]),
    "PTR": (["Host.Example.com", "x.example.net"], [b"host.example.com", b"x.example.net"]),
}


@pytest.mark.parametrize("kind", OTHER_TYPES)
def test_other_types(kind):
    records, values = OTHER_TYPES[kind]
    with dns_server.DnsServer({NAME: {kind: records, "TXT": ["x"]},
                               "alias.example": {"cname": NAME},
                               "other.example": {"TXT": ["x"]}}) as server:
        dns = budget.Lookups(server.address, 1000)
        for name in NAME, "alias.example":
            answer = dns.find(name.encode(), kind)
            assert (answer.status, sorted(answer.values)) == ("found", sorted(values))
        none = dns.find(b"other.example", kind)
        assert (none.status, none.reason) == ("none", f"no {kind} record")
        odd = dns.find(b"a+b=c\\x@(y).example.com", kind)
        assert odd.reason == "NXDOMAIN"
        assert server.asked[-1][1] == "a+b=c\\x@(y).example.com"      # as it is
        for none in b"a..example", b"", b"." * 20, b"a" * 64 + b".example", b"a." * 126 + b"ab":
            assert dns.find(none, kind).reason == "not a domain name"
        assert server.asked[-1][1] == "a+b=c\\x@(y).example.com"
        missing = dns.find(b"missing.example", kind)
        assert (missing.status, missing.reason) == ("none", "NXDOMAIN")
