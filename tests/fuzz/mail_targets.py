# SPDX-License-Identifier: MIT
"""Targets that read a message: its header, its author, its forged results, its canonical form."""

import email.parser
import re
from unittest import mock

from lib.mail import address, authentication_results, author, canonicalization, message
from lib.verifying import annotation, examination
from lib.verifying.report import Report
from tests.fuzz.inputs import AUTHSERV_ID, memory_file, pieces
from tests.support import author_readers, readers, reference_canonicalization


def header(data):
    """message.split() is the same in any pieces, loses nothing, and finds what others find."""
    text, cut = pieces(data)
    whole, body = message.split([text])
    found, found_body = message.split(cut)
    body = b"".join(body)
    assert (list(found.fields), found.flaw, b"".join(found_body)) == (
        list(whole.fields), whole.flaw, body)
    block = b"".join(field for _, field in whole.fields)
    assert block + b"\n" * whole.body_follows + body == text
    assert [field for _, field in whole.fields] == re.findall(
        rb"[^\n]+(?:\n[ \t][^\n]*)*(?:\n|\Z)", block)
    if not whole.flaw and b"\r" not in block:
        theirs = email.parser.BytesHeaderParser().parsebytes(block)
        assert [name.lower() for name in theirs.keys()] == [
            name.decode() for name, _ in whole.fields]


# What is a field for all readers, or ends the header.
PLAIN_START = re.compile(rb"[!-9<-~]+:|\n|\Z")


def long_header(data):
    """A header read in parts has the fields of the whole; what goes of long ones may be ours."""
    text, _ = pieces(data)
    with mock.patch.multiple(message, HEADER_LIMIT=(data[0] if data else 0) + 1, CHUNK=9):
        with memory_file(text) as source, memory_file() as target:
            found, _ = message.split(message.chunks(source.fileno()))
            parts = list(message.long_header(source.fileno())) if found.too_long else [found]
            with mock.patch.object(examination, "fields_to_remove", lambda *part: ()):
                annotation.write(target.fileno(), Report("C", "", [], b"", set()), found,
                                 source.fileno(), b"")
            target.seek(0)
            written = target.read()
    fields = message.split([text])[0].fields
    left = iter(fields)
    if written.startswith(annotation.SEPARATOR) and not text.startswith(annotation.SEPARATOR):
        written = without_start(written, annotation.SEPARATOR)
    else:
        assert PLAIN_START.match(written)
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


def sender(data):
    """Where a field has an author for us, no reader sees another domain.

    The readers are asked only there: it takes some 500 microseconds.
    """
    if b"@" not in data:
        return
    field = b"From:" + data + b"\n"
    header = message.Header(message.Fields([b"from"], [field]), "", True)
    found = author.author_domain(header)
    names = address.with_parents(found)
    if not names or b"\r" in field:     # the signer makes it LF
        return
    parsed = message.parse_header(field, True)
    if parsed.flaw or list(parsed.fields) != list(header.fields):
        return
    assert author.has_address(data), "OpenDKIM refuses it"
    for reader, theirs in author_readers.domains(data).items():
        for domain in theirs:
            assert domain == found or found != names[0] and author_readers.is_below(
                domain, names[0]), (reader, domain, found)


def addresses(data):
    """What else is made of an address field: nothing raises, and nothing is no domain."""
    mailbox = address.first_mailbox(data)
    found = address.domains(data)
    assert mailbox is None or not found or mailbox[1] == found[0]
    author.has_address(data)
    header = message.Header(message.Fields([b"from"], [b"From:" + data]), "", True)
    for domain in author.possible_domains(header) + found:
        for name in address.with_parents(domain):
            assert PATH_SAFE.fullmatch(name) and (b"." + domain).endswith(b"." + name)


PATH_SAFE = re.compile(rb"(?=.{3,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.(?=.)|\Z)){2,}")

OUR_FIELDS = examination.header_fields(examination.Examination([]), AUTHSERV_ID)


# What OpenDMARC shows as believed; any attacker has it in his field.
RESULT = b"; dkim=pass header.d=example.com"


def removal(data):
    """After the removal, no reader of Authentication-Results finds our name on one."""
    text = data[1:]
    found, _ = message.split([text])
    with memory_file(text) as source, memory_file() as target:
        reported = Report("C", "", [], OUR_FIELDS,
                          examination.fields_to_remove(found, AUTHSERV_ID))
        annotation.write(target.fileno(), reported, found, source.fileno(), AUTHSERV_ID)
        target.seek(0)
        annotated = target.read()
    assert annotated.startswith(OUR_FIELDS)
    below = annotated.partition(b"\n\n")[0][len(OUR_FIELDS):] + b"\n"
    assert PLAIN_START.match(below), "it continues what we have written above it"
    for value in readers.authserv_ids(below):
        assert value.lower() != AUTHSERV_ID, value
    finders = readers.finders(below, AUTHSERV_ID)
    assert not finders, finders


def claim(data):
    """The same for the value of a field alone, where the fuzzer gets further.

    The first byte says whether a result follows it.
    """
    removal(b"\0Authentication-Results:" + data[1:].replace(b"\n\n", b"\n")
            + (b"" if data[:1] > b"\x7f" else RESULT) + b"\n\n")


def body(data):
    """Streaming canonicalization is the RFCs', in any pieces."""
    text, cut = pieces(data.replace(b"\r", b""))
    for new, expected in (
            (canonicalization.SimpleBody, reference_canonicalization.reference_simple_body(text)),
            (canonicalization.RelaxedBody, reference_canonicalization.reference_relaxed_body(text)),
            (canonicalization.NofwsBody,
             reference_canonicalization.reference_nofws_message(b"x\r\n", text)[3:])):
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
        reference_canonicalization.reference_relaxed_field(text))
