# SPDX-License-Identifier: MIT
"""The TXT look-ups of one message: all of them within a time."""

import time

from .dependencies import Hidden, add_site_packages
from .results import TxtAnswer

NAME_CHARACTERS = b"abcdefghijklmnopqrstuvwxyz0123456789-_"


class Lookups:
    """Answers TXT look-ups.

    addresses: those of DNSCACHEIP, see resolver.servers()
    seconds: for all look-ups together
    resolver: resolver.Resolver or what answers like it; None: made when needed
    spent: how many of the seconds are gone
    """

    def __init__(self, addresses, seconds, resolver=None):
        self.addresses = addresses
        self.seconds = seconds
        self.resolver = resolver
        self.spent = 0.0

    def txt(self, name):
        """The TxtAnswer for a domain name (bytes).

        A name that can't be in the DNS is answered with "none".  One name gets
        at most half of the time that is left, so that a dead domain in one
        signature leaves time for the others.  Raises SettingTrouble.
        """
        name = name.lower()
        if not is_name(name):
            return TxtAnswer("none", [], "not a domain name")
        if self.resolver is None:
            self.resolver = resolver(self.addresses)
        started = time.monotonic()
        try:
            return self.resolver.txt(name, started + (self.seconds - self.spent) / 2)
        finally:
            self.spent += time.monotonic() - started


def resolver(addresses):
    """The Resolver for them.  The first look-up pays for dnspython: mail without
    signature does not.  Raises SettingTrouble.
    """
    add_site_packages()
    # dnspython looks there for optional packages, none of which is needed: 35 ms.
    with Hidden(empty=["importlib.metadata"]):
        from .resolver import Resolver
    return Resolver(addresses)


def is_name(name):
    """Whether bytes are a domain name of letters, digits, hyphens and underscores.

    International names come in A-labels (tag_values.domain_name() makes them).
    """
    return (len(name) <= 253
            and all(0 < len(label) <= 63 and not label.translate(None, NAME_CHARACTERS)
                    for label in name.split(b".")))
