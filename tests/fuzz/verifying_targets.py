# SPDX-License-Identifier: MIT
"""Targets that read signatures, key records and answers of the DNS."""

import contextlib
import functools
import re

import authres
import dns.exception
import dns.message
import dns.opcode
import dns.rdataclass
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from lib.crypto import RSA_LEAST
from lib.lookup import resolver, wire_format
from lib.lookup.answer import Answer
from lib.mail import message, tag_values
from lib.verifying import dkimpy, dmarc, examination, key_record
from lib.verifying.letters import STATUS_WORDS
from lib.verifying.report import Terms
from tests.fuzz.inputs import AUTHSERV_ID
from tests.support import dmarc as dmarc_cases, signature_cases, verifying

TAG = re.compile(rb"[ \t\r\n]*([A-Za-z][A-Za-z0-9_]*)[ \t\r\n]*=(.*)", re.DOTALL)


def tags(data):
    """dkimpy's reader behind our door: RFC 6376 section 3.2, and nothing but Malformed."""
    try:
        found = dkimpy.tag_list(data)
    except dkimpy.Malformed:
        return
    for value in found.values():
        for read in (tag_values.base64, tag_values.quoted_printable, tag_values.words,
                     tag_values.domain_name):
            read(value)
        tag_values.number(value, 12)
    parts = data.split(b";")
    if not parts[-1].strip():
        parts.pop()
    plain = [TAG.fullmatch(part) for part in parts]
    for tag in plain:
        if tag:
            name, value = tag.groups()
            assert found[name] == value.strip(b" \t\r\n\v\f"), (name, found)
    assert len(found) == len(plain)


def record(data):
    """A key record is one or is Malformed; its RSA numbers are those that OpenSSL reads."""
    try:
        found, = key_record.parse_all([data])[:1]
    except dkimpy.Malformed:
        return
    public_key(b"\0" + found.public_key)


def public_key(data):
    """What is taken for an RSA key in DER is one for OpenSSL, with the same numbers."""
    data = data[1:]
    try:
        ours = dkimpy.rsa_public_key(data)
    except dkimpy.Malformed:
        return
    assert ours["modulus"] % 2 and ours["modulus"].bit_length() <= 8192
    assert 3 <= ours["publicExponent"] < 2 ** 32
    try:
        theirs = serialization.load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm):      # its limits are other ones
        return
    assert isinstance(theirs, rsa.RSAPublicKey)
    numbers = theirs.public_numbers()
    assert (numbers.n, numbers.e) == (ours["modulus"], ours["publicExponent"])


SEPARATOR = b"\n=== record ===\n"
GOLDEN = verifying.golden_rsa().record().encode()
SIGNED = [verifying.dkim_signed(), verifying.dkim_signed(c="simple/simple"),
          verifying.dkim_signed(key=verifying.Ed25519()), verifying.domainkeys_signed(),
          verifying.domainkeys_signed(c="simple")]


@functools.lru_cache(maxsize=None)
def signed():
    """-> list of (message, what its signature covers of the text, without blanks)."""
    return [(text, covered()) for text in SIGNED] + [
        (verifying.dkim_signed(**tags), covered(**tags)) for tags, _, _ in signature_cases.TAGS]


def covered(**tags):
    """What verifying.dkim_signed() covers of the text with such tags, without blanks."""
    text = verifying.relaxed_body(verifying.MESSAGE.partition(b"\n\n")[2])
    if "bh" in tags:
        text = b""      # the hash of another body
    elif tags.get("l", "").isdigit():
        text = text[:int(tags["l"][:9])]
    return b"".join(text.split())


@functools.lru_cache(maxsize=None)
def values():
    """The values of b= that the key has ever made here, each with what it covers.

    Without padding, which may be missing.
    """
    return [(value, content) for text, content in signed()
            for value in re.findall(rb"\bb=([\w+/]{80,})", text)]


def signature(data):
    """Any message and any record have a result, and it is good only for what was signed."""
    text, _, own_record = data[1:].partition(SEPARATOR)
    header_read, body = message.split([text])
    choices = [Answer("found", [GOLDEN]), Answer("found", [own_record, GOLDEN]),
               Answer("found", [own_record]), Answer("temporary", [], own_record.decode(
                   "latin-1")), Answer("none", [], "NXDOMAIN")]
    answer = choices[(data[0] if data else 0) % len(choices)]
    found = examination.examine(header_read, body, Terms(RSA_LEAST, dkpolicy=True),
                                lambda name, kind: answer, verifying.NOW)
    assert found.letter in STATUS_WORDS and found.letter != "H"
    if found.letter == "A":
        assert_signed(header_read, text)
    fields = examination.header_fields(found, AUTHSERV_ID)
    field, _, status = fields.partition(b"\nDomainKey-Status: ")
    assert status.count(b"\n") == (not found.dkim2)
    assert read_by_authres(field) == (
        AUTHSERV_ID.decode(), [result.status for result in found.results] or ["none", "none"])


@functools.lru_cache(maxsize=20000)     # most messages have one of a few results
def read_by_authres(field):
    """-> (the authserv-id, the results) that the authres package finds in our field."""
    found = authres.AuthenticationResultsHeader.parse(field.decode("ascii").replace("\n", ""))
    return found.authserv_id, [result.result for result in found.results]


def assert_signed(header_read, text):
    """A message that passes has a signature of one that is signed(), and what that covers."""
    fields = [(name, b"".join(field.split()).lower()) for name, field in header_read.fields]
    assert (b"from", b"from:alice<alice@example.com>") in fields
    assert [name for name, _ in fields].count(b"from") == 1
    signatures = b"".join(b"".join(field.split()) for name, field in header_read.fields
                          if name in examination.PROTOCOLS)
    text = b"".join(text.split())
    assert any(value in signatures and content in text for value, content in values())


def dns_answer(data):
    """Any bytes from a name server are an answer or a ServerFailure, with what dnspython reads."""
    response, failure = None, ""
    try:
        response = resolver.read(data)
        resolver.check(response)
    except resolver.ServerFailure as reason:
        failure = str(reason)
    try:
        theirs = dns.message.from_wire(data, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError):
        return      # it is stricter: a malformed record of any type is enough
    if theirs.opcode() != dns.opcode.QUERY or " more than " in failure:
        return
    assert response.code == theirs.rcode()
    asked = theirs.question[0] if theirs.question else None
    kind = asked and wire_format.NAMES.get(asked.rdtype)
    if kind:
        with contextlib.suppress(resolver.ServerFailure):
            found = resolver.follow(response, [in_wire_format(asked.name)], kind)
            assert set(found) == answered(theirs, asked.name, kind)
    if not theirs.answer and not response.flags & wire_format.AUTHORITATIVE:
        assert {(owner, target) for owner, _, _, target in response.referrals} == {
            (in_wire_format(rrset.name), value(record, "NS")) for rrset in theirs.authority
            if (rrset.rdtype, rrset.rdclass) == (wire_format.NS, wire_format.IN)
            for record in rrset}


def answered(response, name, kind):
    """The values of a name and type (str) in a dns.message.Message, behind its aliases; set."""
    while True:
        found, aliases = [response.get_rrset(response.answer, name, dns.rdataclass.IN, each)
                          for each in (kind, "CNAME")]
        if found or not aliases:
            return {value(record, kind) for record in found or ()}
        name = aliases[0].target


def value(record, kind):
    if kind == "TXT":
        return b"".join(record.strings)
    if kind == "MX":
        return record.preference, wire_format.text(in_wire_format(record.exchange))
    return (wire_format.text(in_wire_format(record.target)) if kind in ("PTR", "NS")
            else record.to_wire())


def in_wire_format(name):
    return name.canonicalize().to_wire()


# Twelve domains of eight names each, and the author's existence.
DMARC_MOST_LOOKUPS = 12 * 8 + 1
# (status, policy, disposition, aligned) of all results
DMARC_RESULTS = {
    *((status, "", "none", "") for status in ("none", "temperror", "permerror")),
    *(("pass", policy, "none", by) for policy in ("none", "quarantine", "reject")
      for by in ("dkim", "spf")),
    *(("fail", *policies, "") for policies in (
        ("none", "none"), ("quarantine", "quarantine"), ("quarantine", "none"),
        ("reject", "reject"), ("reject", "quarantine")))}


def dmarc_record(data):
    """Any domains and records have a DMARC result, which says what its words may say.

    The lines: the author's domain, that of SPF, those of signatures that pass and of
    others that are not decided, separated by blanks, and then an answer for each name,
    in the order in which they are asked for.
    """
    author, spf, signed, undecided, *answers = (data + b"\n" * 4).split(b"\n")
    asked, told = [], []

    def find(name, kind):
        asked.append((name, kind))
        answer = answers[(len(asked) - 1) % len(answers)]
        if answer.startswith(b"!"):
            return dmarc_cases.Answer("temporary", [], "SERVFAIL")
        if not answer:
            return dmarc_cases.Answer("none", [], "NXDOMAIN")
        told.append(answer)
        return dmarc_cases.Answer("found", answer.split(b"\0"))
    found = dmarc.evaluate(author, signed.split(), spf or None, find, True,
                           [("dkim", domain) for domain in undecided.split()])
    assert len(set(asked)) == len(asked) <= DMARC_MOST_LOOKUPS
    assert (found.status, found.policy, found.disposition, found.aligned) in DMARC_RESULTS
    assert all(map(dmarc_cases.is_printable, [found.reason, found.domain, *found.steps]))
    records = [text for answer in told for text in answer.lower().split(b"\0")
               if re.match(rb"\s*v\s*=\s*dmarc1\s*(;|$)", text)]
    assert found.status in ("none", "temperror") or records
    assert found.policy in ("", "none") or any(found.policy.encode() in text for text in records)
    if found.aligned:
        passing = [tag_values.domain_name(domain, 1) for domain in (spf, *signed.split())]
        assert found.domain.rpartition(".")[2].encode() in {
            domain.rpartition(b".")[2] for domain in passing if domain}
