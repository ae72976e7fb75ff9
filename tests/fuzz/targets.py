# SPDX-License-Identifier: MIT
"""What is fuzzed: each function takes any bytes, and an exception from it is a bug found.

Each holds the code against a plain reading of the RFC, another implementation,
or a promise of SECURITY.  The first byte of the input says in what pieces the
rest goes in.  seeds() gives what the fuzzer starts from.
"""

import email.parser
import email.utils
import functools
import re
import tempfile
from unittest import mock

import authres
import dkim     # whole, as a judge, before lib/ imports it in part
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from lib import (address, annotation, authentication_results, canonicalization, dkimpy, inbound,
                 key_record, keys, message, resolver, spawn_protocol, spool, tag_values)
from lib.results import STATUS_WORDS, TxtAnswer
from tests import (readers, rspawn, signing, test_canonicalization, test_dkim_verify,
                   verifying)

AUTHSERV_ID = b"mx.example.org"


def pieces(data):
    """-> (the text after the first byte, the same in pieces of a size that the byte says)."""
    size, text = (data[0] if data else 0) + 1, data[1:]
    return text, [text[at:at + size] for at in range(0, len(text), size)]


def memory_file(text=b""):
    """An open file with text in it: a file on disk costs more than most targets do."""
    file = open(spool.anonymous_file(len(text)), "w+b", buffering=0)
    file.write(text)
    return file


def header(data):
    """message.split() is the same in any pieces, loses nothing, and finds what others find."""
    text, cut = pieces(data)
    whole, body = message.split([text])
    found, found_body = message.split(cut)
    body = b"".join(body)
    assert (found.fields, found.flaw, b"".join(found_body)) == (whole.fields, whole.flaw, body)
    block = b"".join(field for _, field in whole.fields)
    assert block + b"\n" * whole.body_follows + body == text
    assert [field for _, field in whole.fields] == re.findall(
        rb"[^\n]+(?:\n[ \t][^\n]*)*(?:\n|\Z)", block)
    if not whole.flaw and b"\r" not in block:
        theirs = email.parser.BytesHeaderParser().parsebytes(block)
        assert [name.lower() for name in theirs.keys()] == [
            name.decode() for name, _ in whole.fields]


def long_header(data):
    """A header read in parts has the fields of the whole; what goes of long ones may be ours."""
    text, _ = pieces(data)
    with mock.patch.multiple(message, HEADER_LIMIT=(data[0] if data else 0) + 1, CHUNK=9):
        with memory_file(text) as source, memory_file() as target:
            found, _ = message.split(message.chunks(source.fileno()))
            parts = list(message.long_header(source.fileno())) if found.too_long else [found]
            annotation.write(target.fileno(), b"", found, lambda part: (), source.fileno())
            target.seek(0)
            written = target.read()
    fields = message.split([text])[0].fields
    left = iter(fields)
    if text[:1] in (b" ", b"\t"):
        written = without_start(written, annotation.SEPARATOR)
    for part in parts:
        if isinstance(part, message.LongField):
            name, field = next(left)
            assert len(field) == part.size
            if authentication_results.is_ours(name, field, AUTHSERV_ID):
                assert not written.startswith(field)
            elif written.startswith(field) or not has_our_names(field):
                written = without_start(written, field)
        else:
            for name, field in part.fields:
                assert next(left) == (name, field)
                written = without_start(written, field)
    assert next(left, None) is None
    assert written == text[sum(len(field) for _, field in fields):]


def without_start(text, start):
    assert text.startswith(start)
    return text[len(start):]


def has_our_names(field):
    """Whether one of the names that we write under is there, among other bytes perhaps."""
    text = authentication_results.lower(field).translate(None, authentication_results.NO_NAME)
    return authentication_results.NAME in text or authentication_results.STATUS_NAME in text


def without_cr(data):
    text, cut = pieces(data)
    assert b"".join(message.without_cr(cut)) == re.sub(rb"\r\n|\r", b"\n", text)


# The module of newer Pythons takes much for no address, unless told not to.
NOT_STRICT = {"strict": False} if hasattr(email.utils, "supports_strict_parsing") else {}
PLAIN_ADDRESS = re.compile(rb"[A-Za-z0-9@.,<> -]*")


def sender(data):
    """No field has an author for us that others read otherwise."""
    address.first_mailbox(data)
    address.has_address(data)
    fields = message.Header([(b"from", b"From:" + data)], "", True)
    author = address.author_domain(fields)
    if address.with_parents(author) and PLAIN_ADDRESS.fullmatch(data):
        # The module takes a comma within < > for the end of an address, and finds
        # two addresses in `a@b.c <a@b.c>`.
        found = list({mailbox.lower() for _, mailbox in email.utils.getaddresses(
            [data.decode()], **NOT_STRICT) if mailbox})
        assert b"," in data or len(found) == 1, (author, found)
        assert found[0].rpartition("@")[2].encode() == author, (author, found)


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
        (verifying.dkim_signed(**tags), covered(**tags)) for tags, _, _ in test_dkim_verify.TAGS]


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
    choices = [TxtAnswer("found", [GOLDEN]), TxtAnswer("found", [own_record, GOLDEN]),
               TxtAnswer("found", [own_record]), TxtAnswer("temporary", [], own_record.decode(
                   "latin-1")), TxtAnswer("none", [], "NXDOMAIN")]
    answer = choices[(data[0] if data else 0) % len(choices)]
    found = inbound.examine(header_read, body, inbound.Limits(dkpolicy=True),
                            lambda name: answer, verifying.NOW)
    assert found.letter in STATUS_WORDS and found.letter != "H"
    if found.letter == "A":
        assert_signed(header_read, text)
    field, _, status = inbound.header_fields(found, AUTHSERV_ID).partition(b"\nDomainKey-Status: ")
    assert status.count(b"\n") == 1
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
                          if name in inbound.PROTOCOLS)
    text = b"".join(text.split())
    assert any(value in signatures and content in text for value, content in values())


OUR_FIELDS = inbound.header_fields(inbound.Examination([]), AUTHSERV_ID)


def removal(data):
    """After the removal, no reader of Authentication-Results finds our name on one."""
    text = data[1:]
    found, _ = message.split([text])
    with memory_file(text) as source, memory_file() as target:
        annotation.write(target.fileno(), OUR_FIELDS, found, lambda part: (
            inbound.fields_to_remove(part, AUTHSERV_ID)), source.fileno())
        target.seek(0)
        annotated = target.read()
    assert annotated.startswith(OUR_FIELDS)
    below = annotated.partition(b"\n\n")[0][len(OUR_FIELDS):] + b"\n"
    assert below[:1] not in (b" ", b"\t"), "it continues what we have written above it"
    for value in readers.authserv_ids(below):
        assert value.lower() != AUTHSERV_ID, value


def claim(data):
    """The same for the value of a field alone, where the fuzzer gets further."""
    removal(b"\0Authentication-Results:" + data[1:].replace(b"\n\n", b"\n") + b"\n\n")


def body(data):
    """Streaming canonicalization is the RFCs', in any pieces."""
    text, cut = pieces(data.replace(b"\r", b""))
    for new, expected in (
            (canonicalization.SimpleBody, test_canonicalization.reference_simple_body(text)),
            (canonicalization.RelaxedBody, test_canonicalization.reference_relaxed_body(text)),
            (canonicalization.NofwsBody,
             test_canonicalization.reference_nofws_message(b"x\r\n", text)[3:])):
        found = []
        consumer = new(found.append)
        for piece in cut:
            consumer.feed(piece)
        consumer.finish()
        assert b"".join(found) == expected, (new, b"".join(found), expected)


def field(data):
    """Canonicalization of a field is the RFC's."""
    name, _, value = data[1:].replace(b"\r", b"").partition(b":")
    name = name.translate(None, bytes(set(range(256)) - set(message.FIELD_NAME))) or b"x"
    value = re.sub(rb"\n(?![ \t])", b"", value)
    text = name + b":" + value + b"\n"
    assert canonicalization.relaxed_field(text) == (
        test_canonicalization.reference_relaxed_field(text))


def spawn(data):
    """qmail-rspawn's protocol: commands in any pieces, reports as qmail-rspawn.c reads them."""
    text, cut = pieces(data)
    commands = list(spawn_protocol.CommandReader().feed(text))
    reader = spawn_protocol.CommandReader()
    assert [command_parts(command) for piece in cut for command in reader.feed(piece)] == [
        command_parts(command) for command in commands]
    for command in commands:
        spawn_protocol.command_flaw(command, 20, False)
    for status in (0, 111 << 8, 1 << 8, 9):
        words = spawn_protocol.report(status, text)
        assert words[:1].decode() == rspawn.verdict(status, text).verdict
        assert spawn_protocol.answer(7, words).count(b"\0") == 1


def command_parts(command):
    return command.number, command.name, command.sender, command.recipient


def dns_answer(data):
    """Any bytes from a name server are an answer or a ServerFailure."""
    try:
        response = resolver.parse(data)
        resolver.check(response)
        if response.question:
            resolver.follow(response, [response.question[0].name])
    except resolver.ServerFailure:
        pass


class Signing:
    """Any message is signed so that dkimpy accepts it, or comes out as it went in."""

    def __init__(self):
        self.directory = self.signer = None

    def start(self):
        """Makes the keys.  A small one, for nothing here depends on its size."""
        self.directory = tempfile.TemporaryDirectory(prefix="fuzz")
        self.signer = signing.Signer(self.directory.name,
                                     (("example.com", "s2026a", "rsa1024.pem"),))

    def __call__(self, data):
        if self.signer is None:
            self.start()
        text = data[1:]
        with mock.patch.object(keys, "keep_loaded", True):     # as the resident signer does
            out = self.signer.sign(text)
        if out == text:
            return
        assert b"\r" not in out
        assert out.endswith(re.sub(rb"\r\n|\r", b"\n", text))
        ended = out if out.endswith(b"\n") else out + b"\n"
        assert dkim.DKIM(ended.replace(b"\n", b"\r\n")).verify(0, dnsfunc=self.key)
        found = verifying.examine(ended, self.signer.records, now=signing.NOW)
        assert found.results[0].status == "pass"

    def key(self, name, timeout):
        """The TXT record of a name, as dkimpy asks for it."""
        return self.signer.records[name.decode().rstrip(".")].encode()


TARGETS = {
    "header": header, "long_header": long_header, "without_cr": without_cr, "sender": sender,
    "tags": tags, "record": record, "public_key": public_key, "signature": signature,
    "removal": removal, "claim": claim, "body": body, "field": field, "spawn": spawn,
    "dns_answer": dns_answer, "signing": Signing(),
}
