# SPDX-License-Identifier: MIT
"""Limits the time that all DNS look-ups of one message take together."""

import time

from ..mail.address import LABEL, are_labels
from .answer import Answer

ANY = bytes(range(256))


class Lookups:
    """Answers the look-ups of one message.

    addresses: the value of DNSCACHEIP (str), see resolver.servers()
    seconds: limit for all look-ups together
    resolver: resolver.Resolver, or an object with its find(); None: created when needed
    reserved: seconds of these that keys can't have, so that signatures with dead domains,
    which anybody can add, leave time for the policy of the author's domain
    spent: seconds that look-ups have taken so far (float)
    """

    def __init__(self, addresses, seconds, resolver=None, reserved=0):
        self.addresses = addresses
        self.seconds = seconds
        self.reserved = reserved
        self.resolver = resolver
        self.spent = 0.0

    def find(self, name, kind="TXT"):
        """Returns the Answer for a domain name (bytes) and a type of wire_format.KINDS (str).

        The status is "none" for a name that can't be in the DNS, or have a key there.  A
        name gets at most half of the time that is left, so that a dead domain in one
        signature leaves time for the others.  Raises SettingTrouble.
        """
        name = name.lower()
        # Callers give international names as A-labels.  SPF asks for the addresses of names
        # with any characters (RFC 7208 section 7.3, %{l}).
        if not are_labels(name, LABEL if kind == "TXT" else ANY):
            return Answer("none", [], "not a domain name")
        if self.resolver is None:
            self.resolver = resolver(self.addresses)
        started = time.monotonic()
        left = self.seconds - self.spent - (self.reserved if b"_domainkey." in name else 0)
        try:
            return self.resolver.find(name, kind, started + left / 2)
        finally:
            self.spent += time.monotonic() - started


def resolver(addresses):
    """Returns a resolver.Resolver for the addresses.  Raises SettingTrouble.

    Imports it only now, so mail without a signature does not pay for that.
    """
    from .resolver import Resolver
    return Resolver(addresses)
