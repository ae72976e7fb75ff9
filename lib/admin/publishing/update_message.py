# SPDX-License-Identifier: MIT
"""Sends dynamic updates (RFC 2136) to one name server, by dnspython."""

import socket
import time

from ...errors import PublishTrouble
from ...packages import Hidden, add_site_packages
from ..records import LONGEST_STRING

add_site_packages()
# dnspython searches it for optional packages; none is needed, and that takes 35 ms.
with Hidden(empty=["importlib.metadata"]):
    import dns.exception
    import dns.flags
    import dns.message
    import dns.name
    import dns.query
    import dns.rcode
    import dns.rdataclass
    import dns.rdatatype
    import dns.rdtypes.ANY.TXT
    import dns.tsig
    import dns.update

SECONDS = 20            # for each exchange with each address of the server

# Knot does not sign that it has no such zone, and later versions of dnspython do not
# tell the one from the other.
UNREADABLE = "malformed answer, or one that it does not sign, having no such zone"

# response code -> (what the server says by it, what to do)
CODES = {
    "REFUSED": ("refuses it", "let this key (or this host, if there is none) write TXT records "
                "below _domainkey of the zone, by update-policy of BIND or an acl of Knot"),
    "NOTAUTH": ("is not the primary server of the zone, or wants a key",
                "name that one, or the file with the key, in DKPUBLISH"),
    "NOTZONE": ("says that it is in another zone", "see its log"),
    "NOTIMP": ("does not know dynamic updates", "use another form of DKPUBLISH"),
    "SERVFAIL": ("failed", "see its log; often it can't write the zone's journal"),
    "FORMERR": ("does not understand it", "see its log"),
}

# dnspython's exception -> the same, for the signature (RFC 8945 section 5.3)
SET_CLOCKS = "set the clocks of both hosts; here it is {now}"
SIGNATURE_ERRORS = {
    dns.tsig.PeerBadKey: (
        "does not know the key {key}, or does not let it do this (BADKEY)",
        "give it this key, with the same name and algorithm, and let it write TXT records of this "
        "name (acl of Knot)"),
    dns.tsig.PeerBadSignature: (
        "has another secret for the key {key} (BADSIG)", "give both the same"),
    dns.tsig.PeerBadTruncation: (
        "wants longer signatures with the key {key} (BADTRUNC)", "see its log"),
    dns.tsig.PeerBadTime: ("has another time (BADTIME)", SET_CLOCKS),
    dns.tsig.BadTime: ("has another time", SET_CLOCKS),
    dns.tsig.BadSignature: ("signs with another secret of the key {key}", "give both the same"),
}


class Updating:
    """A name server that takes updates.

    server: str, name or address; port: int; key: tsig_key.TsigKey or None
    Raises PublishTrouble if the server's name has no address.
    """

    def __init__(self, server, port, key):
        self.server = server
        self.port = port
        self.key = key and dns.tsig.Key(key.name, key.secret, key.algorithm)
        try:
            found = socket.getaddrinfo(server, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise PublishTrouble(f"{server}, which DKPUBLISH names: {error.strerror}; remedy: "
                                 "write its address instead") from error
        self.addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))

    def add(self, record):
        """Adds a record.Record.  Raises PublishTrouble.

        The server does so only if there is no TXT record and no alias of that name: it
        would ignore the new one beside an alias (RFC 2136 section 3.4.2.2), and of two
        key records verifiers use either.
        """
        name = dns.name.from_text(record.name)
        update = self.update(name)
        update.absent(name, "TXT")
        update.absent(name, "CNAME")
        update.add(name, record.ttl, txt(record.text))
        code = self.code_of(update)
        if code == "YXRRSET":
            found = self.texts(name)
            if any(data(one) == data(txt(record.text)) for one in found):
                return
            raise PublishTrouble(f"{self.server} has another {'TXT record' if found else 'record'} "
                                 f"at {record.name}; remedy: remove it there")
        self.require(code, f"asked to add {record.name},")

    def remove(self, record):
        """Removes a record.Record, however its text is cut into strings.  Raises PublishTrouble."""
        name = dns.name.from_text(record.name)
        update = self.update(name)
        there = [one for one in self.texts(name) if data(one) == data(txt(record.text))]
        if there:
            for one in there:
                update.delete(name, one)
            self.require(self.code_of(update), f"asked to remove {record.name},")

    def update(self, name):
        """Returns an empty update of the zone that a name is in."""
        return dns.update.UpdateMessage(self.zone(name))

    def zone(self, name):
        """Returns the name of the zone that a name is in, by the server's SOA records.

        Where the name is an alias the one above it is asked for.
        """
        asked = name
        code = "no SOA record"
        while asked != dns.name.root:
            response = self.response(dns.message.make_query(asked, "SOA", flags=0))
            if not response.flags & dns.flags.AA:
                code = dns.rcode.to_text(response.rcode())
                break
            for rrset in response.answer + response.authority:
                if rrset.rdtype == dns.rdatatype.SOA and name.is_subdomain(rrset.name):
                    return rrset.name
            asked = asked.parent()
        raise PublishTrouble(f"{self.server} is not authoritative for {name.to_text(True)} "
                             f"({code}); remedy: name its primary server in DKPUBLISH")

    def texts(self, name):
        """Returns the TXT records of a name, list of dnspython's."""
        response = self.response(dns.message.make_query(name, "TXT", flags=0))
        return [one for rrset in response.answer
                if (rrset.name, rrset.rdtype) == (name, dns.rdatatype.TXT) for one in rrset]

    def code_of(self, update):
        """Returns the response code to an update, str."""
        return dns.rcode.to_text(self.response(update).rcode())

    def require(self, code, what):
        """Raises PublishTrouble unless the response code means success."""
        if code != "NOERROR":
            said, remedy = CODES.get(code, ("does not do it", "see its log"))
            raise PublishTrouble(f"{self.server}, {what} {said} ({code}); remedy: {remedy}")

    def response(self, message):
        """Returns the response to a message, from the first address that answers.

        Raises PublishTrouble if none does, or if the signature is missing or wrong.
        """
        if self.key:
            message.use_tsig(self.key)
        reason = ""
        for address in self.addresses:
            try:
                response = dns.query.tcp(message, address, SECONDS, self.port)
            except tuple(SIGNATURE_ERRORS) as error:
                raise self.signature_trouble(*SIGNATURE_ERRORS[type(error)]) from error
            except dns.exception.Timeout:
                reason = f"no answer in {SECONDS} seconds"
            except OSError as error:
                reason = error.strerror or "no connection"
            except (EOFError, dns.exception.DNSException, ValueError):
                reason = UNREADABLE
            else:
                if response.had_tsig or not self.key:
                    return response
                reason = UNREADABLE
        asked = message.sections[0][0].name.to_text(True)
        raise PublishTrouble(f"{self.server}, port {self.port} by TCP, asked about {asked}: "
                             f"{reason}; remedy: see that it runs, lets this host in and is the "
                             "primary server, or correct DKPUBLISH")

    def signature_trouble(self, said, remedy):
        """Returns the PublishTrouble for an entry of SIGNATURE_ERRORS."""
        filled = {"key": self.key.name.to_text(True),
                  "now": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())}
        return PublishTrouble(f"{self.server} {said.format(**filled)}; "
                              f"remedy: {remedy.format(**filled)}")


def txt(text):
    """Returns dnspython's TXT record of a text, in strings of at most 255 bytes."""
    whole = text.encode("latin-1")
    return dns.rdtypes.ANY.TXT.TXT(
        dns.rdataclass.IN, dns.rdatatype.TXT,
        [whole[start:start + LONGEST_STRING]
         for start in range(0, len(whole), LONGEST_STRING)] or [b""])


def data(record):
    """Returns the whole text of dnspython's TXT record, bytes."""
    return b"".join(record.strings)
