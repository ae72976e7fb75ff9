# SPDX-License-Identifier: MIT
"""Reads the XML of an aggregate report: RFC 7489 appendix C, and RFC 9990 appendix A.

Both forms have the same elements where it counts.  Some receivers put a prefix in front
of all names, or of the outermost one only; elements of an extension have another prefix
or an unknown name.

Expat reads the XML.  Its handlers refuse all that a report does not need and that has
been used for attacks: a DOCTYPE, and with it entities; deep nesting; endless tags.
"""

import re
import socket
import xml.parsers.expat
from typing import Any

from ...mail import address
from .bounds import (
    CHUNK, DEEPEST, LONGEST_TEXT, LONGEST_TOKEN, MOST_ELEMENTS, MOST_MESSAGES, MOST_NAMES,
    MOST_RECORDS, MOST_SIGNATURES, NotAReport, Refused,
)

EARLIEST = 1262304000       # 2010: there was no DMARC before
LONGEST_RANGE = 40 * 86400  # seconds of a report; most are of a day
AHEAD = 2 * 86400           # seconds by which a receiver's clock may be ahead
CAUTIOUS = 256              # bytes that expat gets at once until the first element

ENCODINGS = ("utf-8", "us-ascii", "iso-8859-1", "windows-1252", "utf-16")
NUMBER = re.compile(r"([0-9]{1,11})(?:\.[0-9]{1,9})?")
POLICIES = ("none", "quarantine", "reject")
RESULTS = ("pass", "fail", "none", "neutral", "policy", "temperror", "permerror")
MAPPED = "::ffff:"          # an IPv4 address within IPv6 (RFC 4291 section 2.5.5.2)

# The elements that count, by their places: a dict for one that has others in it, a name
# for one with text.
ELEMENTS = {"feedback": {
    "report_metadata": {"org_name": "organization", "email": "email", "report_id": "report id",
                        "date_range": {"begin": "begin", "end": "end"}},
    "policy_published": {"domain": "domain", "p": "policy"},
    "record": {
        "row": {"source_ip": "address", "count": "count",
                "policy_evaluated": {"dkim": "dkim", "spf": "spf"}},
        "auth_results": {"dkim": {"domain": "d", "selector": "s", "result": "result"}}},
}}


class Report:
    """What a report says of itself.

    organization, identifier: str, of the receiver; begin, end: seconds since 1970
    domain: str, lower case; policy: of POLICIES, or "" if it is not said
    """

    __slots__ = ("organization", "identifier", "begin", "end", "domain", "policy")

    def __init__(self, organization, identifier, begin, end, domain, policy):
        self.organization = organization
        self.identifier = identifier
        self.begin = begin
        self.end = end
        self.domain = domain
        self.policy = policy

    @property
    def day(self):
        """The day in the middle of the range, int since 1970 (UTC)."""
        return (self.begin + self.end) // 2 // 86400


class Element:
    """A place in ELEMENTS.

    name, content: of it there; prefix: "" or that of the outermost element, with its colon,
    which its children may have as well
    children: {name: Element}; role: its own name if it has children, else None
    text: the name of its text, or None
    """

    __slots__ = ("children", "role", "text")

    def __init__(self, name, content, prefix):
        self.text = content if isinstance(content, str) else None
        self.role = None if self.text else name
        self.children = {}
        for inner, its in () if self.text else content.items():
            self.children[inner] = self.children[prefix + inner] = Element(inner, its, prefix)


IGNORED = Element("", {}, "")


class Reader:
    """Reads one report.

    begin: function of the Report, called once; returns the function that takes each
    record: (address, messages, whether DKIM passes, whether SPF does, signatures)
    now: seconds since 1970
    address: str, in the form of inet_ntop(); DKIM and SPF: as DMARC counts them, with
    alignment; signatures: list of (domain, selector, result), all str, the result of RESULTS
    """

    def __init__(self, begin, now):
        self.begin = begin
        self.now = now
        self.take: Any = None       # function that takes the records
        self.inside = []            # Elements that are open
        self.texts = {}             # {name: text} since the last record
        self.pieces = []            # of the text of the innermost Element
        self.signatures = []        # texts of each in this record
        self.elements = self.records = self.messages = 0
        self.names = {}
        self.parser = self.new_parser()

    def new_parser(self):
        parser = xml.parsers.expat.ParserCreate(intern=self.names)
        parser.buffer_text = True
        parser.XmlDeclHandler = declaration
        parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse_doctype
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        return parser

    def read(self, pieces):
        """Reads the XML in pieces (bytes).  Raises Refused, and what the functions raise."""
        fed = 0
        for piece in pieces:
            at = 0
            while at < len(piece):
                # After an exception, expat goes on to the end of what it has got.
                part = piece[at:at + (CHUNK if self.inside else CAUTIOUS)]
                self.feed(part, False)
                at += len(part)
                fed += len(part)
                if fed - self.parser.CurrentByteIndex > LONGEST_TOKEN:
                    raise Refused(f"XML with a tag of more than {LONGEST_TOKEN >> 10} KiB")
                if len(self.names) > MOST_NAMES:
                    raise Refused(f"XML with more than {MOST_NAMES} names")
        self.feed(b"", True)

    def feed(self, data, is_last):
        try:
            self.parser.Parse(data, is_last)
        except xml.parsers.expat.ExpatError as error:
            reason = xml.parsers.expat.ErrorString(error.code)
            raise Refused(f"not XML: {reason}, line {error.lineno}") from error
        except (LookupError, UnicodeError) as error:
            raise Refused("XML in an unknown encoding") from error

    def start(self, name, _):
        inside = self.inside
        if not inside:
            element = outermost(name)
        else:
            element = inside[-1].children.get(name, IGNORED)
            if len(inside) == DEEPEST:
                raise Refused(f"XML of more than {DEEPEST} elements within each other")
        self.elements += 1
        if self.elements > MOST_ELEMENTS:
            raise Refused(f"XML of more than {MOST_ELEMENTS} elements")
        inside.append(element)
        if element.text:
            self.pieces = []
            self.parser.CharacterDataHandler = self.text

    def text(self, piece):
        self.pieces.append(piece)
        if len(piece) > LONGEST_TEXT or len(self.pieces) > LONGEST_TEXT:
            raise Refused(f"an element of more than {LONGEST_TEXT} characters")

    def end(self, _):
        element = self.inside.pop()
        if element.text:
            self.texts[element.text] = "".join(self.pieces).strip()
            self.parser.CharacterDataHandler = None
        elif element.role == "dkim":
            self.end_signature()
        elif element.role == "record":
            self.end_record()
        elif element.role == "feedback" and not self.records:
            raise Refused("a report without records")

    def end_signature(self):
        """Keeps the signature whose element ends, if there was one (RFC 8601 section 2.7.1)."""
        texts = self.texts
        result = texts.pop("result", "").lower()
        domain, selector = texts.pop("d", "").lower(), texts.pop("s", "").lower()
        if result != "none" and len(self.signatures) < MOST_SIGNATURES:
            self.signatures.append((
                domain, selector if address.are_labels(selector.encode()) else "",
                result if result in RESULTS else "fail"))

    def end_record(self):
        if not self.records:
            self.take = self.begin(self.report())
        self.records += 1
        if self.records > MOST_RECORDS:
            raise Refused(f"more than {MOST_RECORDS} records")
        texts, signatures = self.texts, self.signatures
        self.texts, self.signatures = {}, []
        messages = number(texts, "count")
        self.messages += messages
        if self.messages > MOST_MESSAGES:
            raise Refused("a report that counts more messages than there are")
        self.take((ip_address(texts.get("address", "")), messages,
                   texts.get("dkim", "").lower() == "pass",
                   texts.get("spf", "").lower() == "pass", signatures))

    def report(self):
        """Returns the Report that the texts before the first record describe.  Raises Refused."""
        texts = self.texts
        domain = texts.get("domain", "").lower().rstrip(".")
        if not address.is_domain(domain.encode()):
            raise Refused("a report whose domain is none")
        organization = (" ".join(texts.get("organization", "").split())
                        or texts.get("email", "").rpartition("@")[2])
        if not organization or not organization.isprintable() or set("<>") & set(organization):
            raise Refused("a report whose organization is no printable name")
        begin, end = number(texts, "begin"), number(texts, "end")
        if not EARLIEST <= begin <= end <= begin + LONGEST_RANGE or end > self.now + AHEAD:
            raise Refused("a report whose date_range can't be right")
        policy = texts.get("policy", "").lower()
        return Report(organization, texts.get("report id", ""), begin, end, domain,
                      policy if policy in POLICIES else "")


def outermost(name):
    """Returns the Element of a report's outermost element.  Raises Refused for any other."""
    prefix, colon, local = name.rpartition(":")
    if local not in ELEMENTS:
        raise NotAReport("XML, but no aggregate report")
    return Element(local, ELEMENTS[local], prefix + colon)


def declaration(version, encoding, standalone):
    """Raises Refused for an encoding that no report has: Python knows odd ones."""
    if encoding and encoding.lower() not in ENCODINGS:
        raise Refused("XML in an unusual encoding")


def refuse_doctype(*arguments):
    raise Refused("XML with a DOCTYPE or an entity")


def number(texts, name):
    """Returns the int of a text, {name: text}.  Raises Refused."""
    found = NUMBER.fullmatch(texts.get(name, ""))
    if not found:
        raise Refused(f"a report whose {name} is no number, or is out of range")
    return int(found[1])


def ip_address(text):
    """Returns an IP address in the form of inet_ntop().  Raises Refused."""
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        found = socket.inet_ntop(family, socket.inet_pton(family, text))
    except (OSError, ValueError) as error:
        raise Refused("a report with a source_ip that is no IP address") from error
    return found[len(MAPPED):] if found.startswith(MAPPED) and "." in found else found
