# SPDX-License-Identifier: MIT
"""Parses SPF records: RFC 7208 sections 4.6.1, 5 and 6, grammar in section 12."""

from _socket import AF_INET, AF_INET6, inet_pton

from ..mail.address import LETTERS_DIGITS_HYPHEN
from . import spf_macros
from .spf_macros import Malformed

# A limit of ours: a domain name has no more bytes, and so few macros that they cost little.
LONGEST_SPEC = 255      # bytes of a domain-spec

VERSION = b"v=spf1"
PRINTABLE = bytes(range(0x20, 0x7f))
NAME = LETTERS_DIGITS_HYPHEN + b"ABCDEFGHIJKLMNOPQRSTUVWXYZ_."     # of a modifier
TOP_LABEL = LETTERS_DIGITS_HYPHEN + b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
QUALIFIERS = {b"+": "pass", b"-": "fail", b"~": "softfail", b"?": "neutral"}
BITS = {AF_INET: 32, AF_INET6: 128}     # of an address
WHOLE = (32, 128)       # prefixes that compare whole addresses


class Record:
    """An SPF record: its directives in order, and the target of redirect=.

    directives: list of Directive; redirect: domain-spec of spf_macros.parse(), or None
    """

    __slots__ = ("directives", "redirect")

    def __init__(self, directives, redirect):
        self.directives = directives
        self.redirect = redirect


class Directive:
    """A mechanism with its qualifier.

    text: bytes, the term as it is in the record; all printable ASCII
    result: str, what the qualifier says for a match; mechanism: str, lower case
    target: domain-spec of spf_macros.parse(), None if there is none
    prefixes: (bits of IPv4 addresses, bits of IPv6 addresses) that a and mx compare
    network: of ip4 and ip6, (bits of its addresses, bits that count not, the other bits: int)
    """

    __slots__ = ("text", "result", "mechanism", "target", "prefixes", "network")

    def __init__(self, text):
        """text: bytes.  Raises Malformed."""
        self.text = text
        qualified = QUALIFIERS.get(text[:1])
        self.result = qualified or "pass"
        start = 1 if qualified else 0
        name = text[start:].partition(b":")[0].partition(b"/")[0]
        argument = text[start + len(name):]
        self.target = self.prefixes = self.network = None
        read = MECHANISMS.get(name.lower())
        if read is None:
            raise Malformed("an unknown mechanism")
        self.mechanism = name.lower().decode()
        read(self, argument)

    def read_nothing(self, argument):
        """Reads the argument of all.  Raises Malformed, like all of these."""
        if argument:
            raise Malformed("an argument that does not belong there")

    def read_target(self, argument):
        """Reads the argument of include and exists."""
        if argument[:1] != b":":
            raise Malformed("no domain")
        self.target = domain_spec(argument[1:])

    def read_optional_target(self, argument):
        """Reads the argument of ptr."""
        if argument:
            self.read_target(argument)

    def read_hosts(self, argument):
        """Reads the argument of a and mx."""
        argument, self.prefixes = without_prefixes(argument) if argument else (b"", WHOLE)
        self.read_optional_target(argument)

    def read_ip4(self, argument):
        self.network = network(argument, AF_INET)

    def read_ip6(self, argument):
        self.network = network(argument, AF_INET6)


MECHANISMS = {
    b"all": Directive.read_nothing, b"include": Directive.read_target,
    b"a": Directive.read_hosts, b"mx": Directive.read_hosts,
    b"ptr": Directive.read_optional_target, b"exists": Directive.read_target,
    b"ip4": Directive.read_ip4, b"ip6": Directive.read_ip6,
}


def is_record(text):
    """Returns whether a TXT record (bytes) is an SPF record (section 4.5)."""
    return text[:7].lower() in (VERSION, VERSION + b" ")


def parse(text):
    """Returns the Record in bytes that are one for is_record().

    Section 4.6: the whole record is checked before any term is evaluated.  Raises
    Malformed, which says the number of the term; terms are counted from 1.
    """
    if text.translate(None, PRINTABLE):
        raise Malformed("a character that is not printable ASCII")
    directives = []
    modifiers = {}
    for number, term in enumerate(filter(None, text[len(VERSION):].split(b" ")), 1):
        try:
            read_term(term, directives, modifiers)
        except Malformed as malformed:
            raise Malformed(f"term {number}: {malformed}") from malformed
    return Record(directives, modifiers.get(b"redirect"))


def read_term(term, directives, modifiers):
    """Adds a term to a list of Directives or a dict of modifiers.  Raises Malformed."""
    name, equals, value = term.partition(b"=")
    # Section 4.6.1: what has an "=" right behind its name is a modifier.
    if not equals or not name[:1].isalpha() or name.translate(None, NAME):
        directives.append(Directive(term))
        return
    name = name.lower()
    if name not in (b"redirect", b"exp"):
        spf_macros.parse(value, spf_macros.ALL_LETTERS)     # section 6: unknown ones are ignored
    elif name in modifiers:
        raise Malformed("a modifier for the second time")
    else:
        modifiers[name] = domain_spec(value)


def domain_spec(text):
    """Returns the parts of a domain-spec (section 7.1), as spf_macros.parse().  Raises Malformed.

    It ends in a macro, or in a dot and a top label, and maybe one more dot.
    """
    if len(text) > LONGEST_SPEC:
        raise Malformed("a domain that is too long")
    parts = spf_macros.parse(text)
    if parts[-1] or len(parts) == 1:
        _, dot, label = parts[-1].removesuffix(b".").rpartition(b".")
        if (not dot or not label or label.translate(None, TOP_LABEL) or label.isdigit()
                or label.startswith(b"-") or label.endswith(b"-")):
            raise Malformed("not a domain")
    return parts


def without_prefixes(argument):
    """Returns (an argument without its dual-cidr-length, the prefixes of a Directive).

    The macro-string before it may have slashes, too.  Raises Malformed.
    """
    of_ip4, of_ip6 = WHOLE
    before, slashes, digits = argument.rpartition(b"//")
    if slashes and digits.isdigit():
        argument, of_ip6 = before, prefix_length(digits, of_ip6)
    before, slash, digits = argument.rpartition(b"/")
    if slash and digits.isdigit():
        argument, of_ip4 = before, prefix_length(digits, of_ip4)
    return argument, (of_ip4, of_ip6)


def network(argument, family):
    """Returns the network of ip4 or ip6, as in Directive (section 5.6).  Raises Malformed."""
    if argument[:1] != b":":
        raise Malformed("no address")
    address, slash, digits = argument[1:].partition(b"/")
    bits = BITS[family]
    shift = bits - prefix_length(digits, bits) if slash else 0
    try:
        packed = inet_pton(family, address.decode())
    except OSError:
        raise Malformed("not an address") from None
    return bits, shift, int.from_bytes(packed, "big") >> shift


def prefix_length(digits, most):
    """Returns the int of a cidr-length, which has no leading zero.  Raises Malformed."""
    if (not digits.isdigit() or len(digits) > 3 or digits != b"0" and digits[:1] == b"0"
            or int(digits) > most):
        raise Malformed("not a prefix length")
    return int(digits)
