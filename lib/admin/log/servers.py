# SPDX-License-Identifier: MIT
"""Counts messages that could not be decided by the name servers of the domains.

The log does not name them: a resolver asks them, and says only that it has no answer.
"""

import time

from ...lookup import budget, name_servers
from ...lookup.memory import Memory
from ...lookup.threads import at_once
from ...mail import address
from .sums import Table

AT_ONCE = 64            # questions; dnscache takes 200
MOST = 500              # domains that are looked up
UNKNOWN = "not known now"


def count(undecided, addresses, seconds):
    """Returns the messages by name server, a sums.Table; each server of a domain has all of them.

    undecided: sums.Table of (domain, reason); addresses: the value of DNSCACHEIP
    seconds: limit for all questions together.  Raises SettingTrouble.
    """
    messages = {}
    for (domain, _), (number,) in undecided.ranked():
        messages[domain] = messages.get(domain, 0) + number
    domains = list(messages)[:MOST]
    asking = name_servers.Asking(budget.resolver(addresses), time.monotonic() + seconds, Memory())
    found = dict(at_once(lambda domain: servers(asking, domain), domains, AT_ONCE))
    table = Table("messages", "domains")
    for domain in domains:
        for name in found[domain]:
            table.add(name, [messages[domain], 1])
    return table


def servers(asking, domain):
    """Returns the names of a domain's name servers, list of str.

    asking: name_servers.Asking; domain: str, any text, as local users can put it into a log
    """
    name = domain.encode("ascii", "replace")
    if not address.are_labels(name):        # a query could not hold it
        return [UNKNOWN]
    try:
        onward = asking.start(b"any." + name)
    except name_servers.Unknown:
        return [UNKNOWN]
    return [name_servers.shown(name) for name in onward.servers]
