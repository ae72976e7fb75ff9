# SPDX-License-Identifier: MIT
"""Checks this host as receivers see it: its address, the name of this, and its HELO."""

import ipaddress
import os
import re
import socket
from typing import NamedTuple

from ..errors import RequestTrouble, SettingTrouble
from ..mail.address import are_labels
from ..settings import first_line, read
from .findings import FAIL, OK, WARN, Finding, visible

# Of a documentation network (RFC 5737): it has the default route, and nothing is sent there.
FAR = ("192.0.2.1", 25)
UNKNOWN = "this host's address as receivers see it"
BY_HAND = "qmail-dk check --address ADDRESS looks at one"


class Outgoing(NamedTuple):
    """How this host shows itself to receivers.

    addresses: from which it sends mail, list of str; [] if they can't be known
    reason: str, where they are from, or why they can't be known
    helo: the name by which it greets (str), "" if qmail has none
    """
    addresses: list
    reason: str
    helo: str


def outgoing(control, named=None):
    """Returns the Outgoing.  control: directory; named: the value of --address, or None

    Raises RequestTrouble.
    """
    helo = control_line(control, "helohost") or control_line(control, "me")
    if named:
        try:
            return Outgoing([str(ipaddress.ip_address(named))], "--address", helo)
        except ValueError:
            raise RequestTrouble(f"{named!r} is not an IP address") from None
    # The files of two patches: qmail-remote sends from these addresses.
    for name in "outgoingip", "bindroutes":
        found = addresses_in(control_text(control, name))
        if found:
            return known(found, f"control/{name}", helo)
    if any(line.startswith(":") and line.strip(": \t")
           for line in control_text(control, "smtproutes").split("\n")):
        return Outgoing([], "mail leaves by another host (control/smtproutes)", helo)
    return known(source_address(), "the default route's", helo)


def known(addresses, where, helo):
    """Returns the Outgoing for addresses, if the world sees them as they are."""
    if not addresses:
        return Outgoing([], "there is no default route", helo)
    private = [address for address in addresses if not ipaddress.ip_address(address).is_global]
    if private:
        return Outgoing([], f"{private[0]} ({where}) is private, and another host changes it",
                        helo)
    return Outgoing(addresses, where, helo)


def source_address():
    """Returns [the address (str) that mail to far hosts has], [] if there is no route to them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        try:
            connection.connect(FAR)     # sends nothing
        except OSError:
            return []
        return [connection.getsockname()[0]]


def addresses_in(text):
    """Returns the IPv4 addresses in lines such as "192.0.2.1" or "example.com:192.0.2.1"."""
    found = []
    for line in text.split("\n"):
        for word in line.partition("#")[0].replace(":", " ").replace("|", " ").split():
            try:
                found.append(str(ipaddress.IPv4Address(word)))
            except ValueError:
                continue
    return list(dict.fromkeys(address for address in found if address != "0.0.0.0"))


def control_text(control, name):
    """Returns the text of a control file, "" if it can't be read."""
    try:
        return read(os.path.join(control, name), lambda file: file.read(1 << 16)) or ""
    except SettingTrouble:
        return ""


def control_line(control, name):
    """Returns the first line of a control file, "" if it can't be read."""
    try:
        return first_line(os.path.join(control, name)) or ""
    except SettingTrouble:
        return ""


def findings(seen, find):
    """Checks an Outgoing.  find: function (name, type) -> answer.Answer, None without the DNS"""
    found = helo_findings(seen.helo)
    if not seen.addresses:
        return found + [Finding(OK, UNKNOWN, f"can't be known: {seen.reason}; {BY_HAND}")]
    if find is None:
        return found
    for address in seen.addresses:
        found += address_findings(address, seen, find)
    return found


def helo_findings(helo):
    """Checks that the name in HELO is a full one (RFC 5321 section 4.1.4)."""
    if not helo or are_labels(helo.encode("utf-8", "surrogateescape"), least=2):
        return []
    return [Finding(WARN, "HELO", f"{helo} is not a full domain name, so some receivers refuse "
                    "mail", "write the host's full name into control/helohost or control/me")]


def address_findings(address, seen, find):
    """Checks the name of an address, and that it leads back to it."""
    subject = f"address {address}"
    owner = "whoever provides the address"
    pointer = find(ipaddress.ip_address(address).reverse_pointer.encode(), "PTR")
    if pointer.status == "temporary":
        return [Finding(WARN, subject, f"no answer on its name: {pointer.reason}",
                        "see that its name servers answer")]
    if pointer.status == "none":
        return [Finding(FAIL, subject, f"has no name in the DNS (PTR: {pointer.reason}), so large "
                        "receivers refuse mail", f"let {owner} give it the name "
                        + (seen.helo or "of this host"))]
    names = [visible(name.decode("latin-1")) for name in pointer.values]
    back = [name for name in names if leads_to(name, address, find)]
    if not back:
        return [Finding(FAIL, subject, f"is called {', '.join(names)} (PTR), which does not lead "
                        "back to it, so large receivers refuse mail", f"publish {address} as an "
                        f"address of {names[0]}, or let {owner} give it another name")]
    if seen.helo and seen.helo.lower().rstrip(".") not in back:
        return [Finding(WARN, subject, f"is called {', '.join(back)}, but greets as {seen.helo} "
                        "(HELO), which some receivers hold against it",
                        f"echo {back[0]} >control/helohost, if that name is right")]
    if all(is_generic(name, address) for name in back):
        return [Finding(WARN, subject, f"is called {', '.join(back)}, a name made of the address, "
                        "as those of customers' lines are; some receivers refuse mail from such",
                        f"let {owner} give it a name of your own")]
    return [Finding(OK, subject, f"is called {', '.join(back)}, which leads back to it "
                    f"({seen.reason})")]


def is_generic(name, address):
    """Returns whether a name has all numbers of an IPv4 address: 1-2-0-192.isp.example."""
    numbers = list(map(int, re.findall("[0-9]+", name)))
    wanted = list(map(int, address.split("."))) if "." in address else []
    return bool(wanted) and all(numbers.count(one) >= wanted.count(one) for one in wanted)


def leads_to(name, address, find):
    """Returns whether a name has an address."""
    parsed = ipaddress.ip_address(address)
    return parsed.packed in find(name.encode(), "A" if parsed.version == 4 else "AAAA").values
