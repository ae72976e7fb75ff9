# SPDX-License-Identifier: MIT
"""Looks up the names of hosts (PTR records), many at the same time, for the administrator."""

import concurrent.futures
import time

import dns.reversename

from ..mail.address import are_labels
from .name_servers import Asking, Unknown

AT_ONCE = 32


def names(addresses, recursive, seconds):
    """Returns {address: its name (str, lower case), "" if it has none or does not answer}.

    addresses: list of str; recursive: as in name_servers.ask_all()
    seconds: limit for all of it together
    """
    asking = Asking(recursive, time.monotonic() + seconds)
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(addresses, pool.map(lambda address: name(asking, address), addresses)))


def name(asking, address):
    """Returns the name of an address, "" if there is none, or none that could be shown."""
    try:
        found = asking.look_up(dns.reversename.from_address(address), "PTR")
    except Unknown:
        return ""
    texts = sorted(record.target.to_text(True).lower() for record in found)
    return next((text for text in texts if are_labels(text.encode())), "")
