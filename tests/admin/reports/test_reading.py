# SPDX-License-Identifier: MIT
"""qmail-dk reports add: reports of both forms, however they are wrapped and written."""

import base64
import gzip
import io
import zipfile

import pytest

from lib.admin.reports import aggregate, bounds, mail_parts, packing
from tests.support import aggregate_reports
from tests.support.administrator import admin       # noqa: F401
from tests.support.aggregate_reports import BEGIN, DAY, record, report

NOW = BEGIN + 2 * DAY


def read(xml):
    """Returns (aggregate.Report, its records) of XML (bytes)."""
    found = []

    def begin(report):
        found.append(report)
        return found.append

    aggregate.Reader(begin, NOW).read([xml])
    return found[0], found[1:]


@pytest.fixture
def reports(admin):
    return aggregate_reports.Reports(admin)


@pytest.mark.parametrize("form", [7489, 9990])
def test_what_is_read(form):
    found, records = read(report(
        record("192.0.2.1", 12), record("2001:DB8:0::1", 3, "pass", "fail", [
            ("example.com", "S1", "pass"), ("list.example", "x", "fail")], form=form),
        organization="Example &amp; Sons", identifier="r7", policy="reject", form=form))
    assert (found.organization, found.identifier, found.domain, found.policy) == (
        "Example & Sons", "r7", "example.com", "reject")
    assert (found.begin, found.end, found.day) == (BEGIN, BEGIN + DAY - 1, BEGIN // DAY)
    assert records == [
        ("192.0.2.1", 12, True, True, [("example.com", "s1", "pass")]),
        ("2001:db8::1", 3, True, False, [("example.com", "s1", "pass"),
                                         ("list.example", "x", "fail")])]


NEW, OLD = aggregate_reports.NEW_NAMESPACE, aggregate_reports.OLD_NAMESPACE


def prefixed(xml, prefix):
    """Returns XML with a prefix in front of each name."""
    return xml.replace(b"<", b"<" + prefix).replace(b"<" + prefix + b"/", b"</" + prefix).replace(
        b"<" + prefix + b"?", b"<?")


# Ways to write the same report.
WRITTEN = {
    "no namespace": report(root=" "),
    "RFC 7489": report(root=f' xmlns="{OLD}"'),
    "RFC 9990": report(form=9990),
    "a prefix everywhere": prefixed(report(root=f' xmlns:ns2="{OLD}"'), b"ns2:"),
    "a prefix outside": report(root=f' xmlns:f="{NEW}"').replace(
        b"<feedback", b"<f:feedback").replace(b"</feedback", b"</f:feedback"),
    "a prefix that nobody has declared": prefixed(report(root=" "), b"dmarc:"),
    "an extension": report(form=9990).replace(
        b"</auth_results>", b'</auth_results><x:row xmlns:x="urn:x"><x:count>7</x:count></x:row>'
    ).replace(b"<record>", b"<extension><record><row/></record></extension><record>", 1),
    "no declaration": report(start=""),
    "blank lines before it": report(start="\n \n"),
    "a byte order mark": b"\xef\xbb\xbf" + report(),
    "UTF-16": report(start='<?xml version="1.0" encoding="UTF-16"?>').decode().encode("utf-16"),
    "windows-1252": report(start='<?xml version="1.0" encoding="windows-1252"?>').replace(
        b"some words", b"some \x93words\x94"),
    "comments and CDATA": report().replace(b"<count>1<", b"<count><!-- 9 --><![CDATA[1]]><"),
    "blanks around values": report().replace(b"<count>1<", b"<count>\n 1\n<").replace(
        b"<source_ip>", b"<source_ip>\t"),
    "capitals": report().replace(b"<domain>example.com", b"<domain>Example.COM").replace(
        b"<dkim>pass", b"<dkim>Pass"),
    "an IPv4 address within IPv6": report(record("::ffff:192.0.2.1")),
    "seconds with a fraction": report(begin=f"{BEGIN}.5", end=f"{BEGIN + DAY - 1}.0"),
    "a signature that says that there is none": report(record(signatures=[
        ("example.com", "s1", "pass"), ("example.com", "", "none")])),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_ways_to_write_it(name):
    found, records = read(WRITTEN[name])
    assert (found.domain, found.begin, found.end) == ("example.com", BEGIN, BEGIN + DAY - 1)
    assert records == [("192.0.2.1", 1, True, True, [("example.com", "s1", "pass")])]


@pytest.mark.parametrize("size", [1, 7, 256, 4096])
def test_pieces_of_any_size(size):
    xml = report(*[record(f"192.0.2.{number}", number) for number in range(1, 100)])
    found = []
    aggregate.Reader(lambda report: found.append, NOW).read(
        xml[start:start + size] for start in range(0, len(xml), size))
    assert found == read(xml)[1] and len(found) == 99


def test_missing_parts():
    """A missing result is not a pass; an organization is known by its address."""
    xml = report().replace(b"<dkim>pass</dkim>", b"", 1).replace(
        b"<org_name>receiver.example</org_name>", b"").replace(b"<p>none</p>", b"")
    found, records = read(xml)
    assert (found.organization, found.policy) == ("receiver.example", "")
    assert records == [("192.0.2.1", 1, False, True, [("example.com", "s1", "pass")])]


def test_odd_signatures():
    _, records = read(report(record(signatures=[
        ("example.com", "not a selector", "pass"), ("example.com", "s2", "hardfail")])))
    assert records[0][4] == [("example.com", "", "pass"), ("example.com", "s2", "fail")]
    _, records = read(report(record(signatures=[
        ("example.com", f"s{number}", "pass") for number in range(300)])))
    assert len(records[0][4]) == bounds.MOST_SIGNATURES


@pytest.mark.parametrize("method", ["stored", "deflated"])
@pytest.mark.parametrize("size", [1, 1000, 65536])
def test_zip(method, size):
    """Of the size of several buffers, in pieces of any size."""
    content = b"<" + bytes(range(256)) * 1000
    packed = aggregate_reports.zipped(content, method={"stored": 0, "deflated": 8}[method])
    pieces = [packed[start:start + size] for start in range(0, len(packed), size)]
    assert b"".join(packing.document(pieces)) == content


class Pipe(io.BytesIO):
    """A file in which zipfile can't go back."""

    def tell(self):
        raise OSError


def test_zip_with_the_checksum_behind_the_content():
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("report.xml", report())
    packed = pipe.getvalue()
    at = packed.index(packing.DESCRIPTOR)
    assert b"".join(packing.document([packed])) == report()
    without_signature = packed[:at] + packed[at + 4:]
    assert b"".join(packing.document([without_signature])) == report()
    changed = packed[:at + 4] + bytes([packed[at + 4] ^ 1]) + packed[at + 5:]
    with pytest.raises(bounds.Refused, match="damaged zip"):
        b"".join(packing.document([changed]))


def test_gzip_bytes_after_it():
    assert b"".join(packing.document([gzip.compress(report()), b"\0" * 100])) == report()


@pytest.mark.parametrize("name", aggregate_reports.WRAPPED)
@pytest.mark.parametrize("form", [7489, 9990])
def test_added(reports, name, form):
    wrapped = aggregate_reports.WRAPPED[name](report(record(count=7), form=form))
    assert reports.added(wrapped) == "1 report added, of 7 messages\n"
    assert reports.sums()["domains"][0]["messages"] == 7
    path = reports.admin.directory / "file"
    path.write_bytes(wrapped)
    assert "1 report had been added before" in reports.add(path).stdout


def parts(message):
    lines = [line + b"\n" for line in message.split(b"\n")]
    return [(kind, b"".join(content)) for kind, content in mail_parts.Parts(iter(lines))]


def test_parts_within_parts():
    message = (b"Content-Type: MULTIPART/mixed; charset=x; BOUNDARY=a\n\nabove\n--a\n"
               b"Content-Type: multipart/alternative; boundary=\"a b\\\"c\"\n\n--a b\"c\n\none\n"
               b"--a b\"c\nContent-Type: text/html\n\ntwo\n--a b\"c--\nafter\n--a  \n"
               b"Content-Type:\n application/gzip\nContent-Transfer-Encoding: quoted-printable\n\n"
               b"th=72ee=\n!\n--a--\nbelow\n--a\nno part\n")
    assert parts(message) == [(b"text/plain", b"one\n"), (b"text/html", b"two\n"),
                              (b"application/gzip", b"three!\n")]


@pytest.mark.parametrize("message, kinds", [
    (b"Content-Type: multipart/mixed; boundary=a\n\n--a\nX: y\n", [b"text/plain"]),
    (b"Content-Type: multipart/mixed; boundary=a\n\n--a\n--a\n--a--\n", [b"text/plain"] * 2),
    (b"Content-Type: multipart/mixed; boundary=a\n\n--a\n"
     b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--a\n\ny\n",
     [b"text/plain", b"text/plain"]),
    (b"Content-Type: multipart/mixed\n\n--a\n", [b"multipart/mixed"]),
    (b"", [b"text/plain"]),
], ids=["cut in a header", "empty parts", "one that does not end", "no boundary", "nothing"])
def test_odd_parts(message, kinds):
    assert [kind for kind, _ in parts(message)] == kinds


def test_base64_in_lines_of_any_length():
    data = bytes(range(256)) * 500
    text = base64.b64encode(data)
    for length in 1, 76, 4999, len(text):
        lines = [text[start:start + length] + b" \r\n" for start in range(0, len(text), length)]
        assert b"".join(mail_parts.base64_decoded(lines)) == data
