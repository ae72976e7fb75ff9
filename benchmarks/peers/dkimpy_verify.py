# SPDX-License-Identifier: MIT
"""Runs dkimpy's dkimverify command; the argument is the port of the DNS on loopback.

It verifies only the first DKIM signature.
"""

import sys

import dns.resolver
from dkim import dkimverify

resolver = dns.resolver.Resolver(configure=False)
resolver.nameservers = ["127.0.0.1"]
resolver.port = int(sys.argv.pop())
dns.resolver.default_resolver = resolver
dkimverify.main()
