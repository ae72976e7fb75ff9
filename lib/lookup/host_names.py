# SPDX-License-Identifier: MIT
"""Looks up the names of hosts (PTR records), many at the same time, for the administrator."""

import ipaddress
import time

from ..mail.address import are_labels
from . import budget
from .threads import at_once

AT_ONCE = 32


def names(addresses, servers, seconds):
    """Returns {address: its name (str)}, "" if it has none that could be shown, or no answer.

    addresses: list of str; servers: the value of DNSCACHEIP
    seconds: limit for all of it together.  Raises SettingTrouble.
    """
    resolver = budget.resolver(servers)
    deadline = time.monotonic() + seconds

    def name(address):
        reverse = ipaddress.ip_address(address).reverse_pointer
        found = resolver.find(reverse.encode(), "PTR", deadline).values
        return next((value.decode() for value in sorted(found) if are_labels(value)), "")

    found = dict(at_once(name, addresses, AT_ONCE))
    return {address: found[address] for address in addresses}
