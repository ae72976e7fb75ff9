# SPDX-License-Identifier: MIT
"""A DNS in a table, for SPF: as lib/verifying/spf.py asks it, and as pyspf does."""

import ipaddress

from lib.mail.address import are_labels

ALIASES = 8     # CNAME records that are followed


class Answer:
    """What find() of spf.evaluate() returns."""

    def __init__(self, status, values=(), reason=""):
        self.status = status
        self.values = list(values)
        self.reason = reason


NOT_THERE = Answer("none", [], "NXDOMAIN")
TIMEOUT = Answer("temporary", [], "timeout")


class Zone:
    """records: {name: list of "TYPE data", as in a zone file without quotes}, str or bytes.

    "TIMEOUT" alone is what happens to look-ups of the types that the name does not have,
    "TYPE TIMEOUT" to those of one type.  asked: list of (name, type), all that was asked for.
    """

    def __init__(self, records):
        self.records = {raw(name).lower(): [raw(record).partition(b" ")[::2] for record in found]
                        for name, found in records.items()}
        self.asked = []

    def data(self, name, kind):
        """-> list of bytes, the data of a name's records of a type."""
        return [data for of_kind, data in self.records.get(name, ()) if of_kind == kind.encode()]

    def find(self, name, kind):
        assert isinstance(name, bytes) and name == name.lower()
        self.asked.append((name, kind))
        for _ in range(ALIASES):
            found = self.data(name, kind)
            if b"TIMEOUT" in found:
                return TIMEOUT
            if found:
                return Answer("found", [value(kind, data) for data in found])
            aliases = self.data(name, "CNAME")
            if not aliases:
                return self.absence(name, kind)
            name = aliases[0].lower()
        return Answer("temporary", [], "more than 8 CNAME records")

    def absence(self, name, kind):
        if name not in self.records:
            return NOT_THERE if are_labels(name) else Answer("none", [], "not a domain name")
        return (TIMEOUT if self.data(name, "TIMEOUT")
                else Answer("none", [], f"no {kind} record"))


def raw(text):
    return text if isinstance(text, bytes) else text.encode()


def value(kind, data):
    """-> a record's data (bytes) as in Answer.values."""
    if kind in ("A", "AAAA"):
        return ipaddress.ip_address(data.decode()).packed
    if kind == "MX":
        preference, host = data.split(b" ")
        return int(preference), host.removesuffix(b".")
    return data if kind == "TXT" else data.removesuffix(b".")


def packed(address):
    """-> the bytes of an address (str); 4 for IPv4-mapped IPv6."""
    found = ipaddress.ip_address(address)
    return (getattr(found, "ipv4_mapped", None) or found).packed


def by_pyspf(pyspf, zone, address, sender, helo):
    """-> (result, explanation) of pyspf, whose DNS is a Zone without aliases."""
    def lookup(name, kind, strict=True, timeout=None):
        answer = zone.find(name.lower().encode(), kind)
        if answer.status == "temporary":
            raise pyspf.TempError(answer.reason)
        return [((name, kind), for_pyspf(kind, found)) for found in answer.values]

    pyspf.DNSLookup = lookup
    status, _, explanation = pyspf.query(i=address, s=sender, h=helo, strict=True).check()
    return status, explanation


def for_pyspf(kind, found):
    """-> a value of Answer.values as pyspf takes it."""
    if kind == "A":
        return str(ipaddress.ip_address(found))
    if kind == "MX":
        return found[0], found[1].decode()
    return (found,) if kind == "TXT" else found.decode() if kind == "PTR" else found
