# SPDX-License-Identifier: MIT
"""qmail-dk reports add, with what strangers send: one line, exit 0, and nothing is kept."""

import gzip
import io
import struct
import zipfile
import zlib

import pytest

from tests.support import aggregate_reports
from tests.support.administrator import admin       # noqa: F401
from tests.support.aggregate_reports import BEGIN, DAY, mailed, record, report, zipped

MOST_MEMORY = 64        # MiB

ENTITIES = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
BILLION_LAUGHS = (f'<!DOCTYPE feedback [<!ENTITY e0 "ha">{ENTITIES}]>'
                  "<feedback>&e9;</feedback>").encode()


@pytest.fixture
def reports(admin):
    return aggregate_reports.Reports(admin)


def packed(pieces):
    """Returns gzip of the pieces (bytes), which may be too many for memory."""
    engine = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    return b"".join([engine.compress(piece) for piece in pieces] + [engine.flush()])


def flooded(start, piece, times, end=b""):
    """Returns gzip of start, many times a piece of about a KiB, and an end."""
    count = 1024 // len(piece) + 1
    return packed([start, *(piece * count for _ in range(times // count + 1)), end])


def names(count):
    return packed([b"<feedback>", *(b"<a%d/>" % number for number in range(count))])


def archive(*members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as written:
        for name, content in members:
            written.writestr(name, content)
    return file.getvalue()


def encrypted(data):
    return data[:6] + struct.pack("<H", 1) + data[8:]


def counted(value):
    return report(record(count=value))


MIB = b" " * 2 ** 20
CUT = gzip.compress(report())[:-20]
MANY = b"Content-Type: multipart/mixed; boundary=a\n\n" + b"--a\n\nx\n" * 200_000

# Name of the attack: (what arrives, bytes or a function that returns them; words of the line).
HOSTILE = {
    "DOCTYPE": (report(start="<!DOCTYPE feedback>"), "DOCTYPE"),
    "external entity": (report("&x;", start=(
        '<!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/passwd">]>')), "DOCTYPE"),
    "billion laughs": (BILLION_LAUGHS, "DOCTYPE"),
    "billion laughs, mailed": (mailed(gzip.compress(BILLION_LAUGHS)), "DOCTYPE"),
    "undeclared entity": (report().replace(b"some words", b"&nbsp;"), "undefined entity"),
    "gzip bomb": (lambda: flooded(report()[:60], MIB, 200), "more than 64 MiB"),
    "gzip bomb, mailed": (lambda: mailed(flooded(report()[:60], MIB, 200)), "more than 64 MiB"),
    "zip bomb": (lambda: zipped(report()[:60] + MIB * 80), "more than 64 MiB"),
    "gzip in gzip": (gzip.compress(gzip.compress(report())), "not XML"),
    "100 MB": (lambda: b"From: a@b.example\n\n" + b"x" * 76 * 1_400_000, "more than 48 MiB"),
    "100 MB in a line": (lambda: b"<" + b"x" * 100_000_000, "more than"),
    "100 MB of text": (lambda: flooded(b"<feedback><report_metadata><org_name>", b"x", 60 << 20),
                       "255 characters"),
    "100 MB of text in pieces": (
        lambda: flooded(b"<feedback><report_metadata><org_name>", b"<!---->x", 60 << 17),
        "255 characters"),
    "a comment without end": (lambda: flooded(b"<feedback><!--", b"x", 60 << 20), "256 KiB"),
    "an endless tag": (lambda: flooded(b"<feedback ", b"a='b' ", 5 << 20), "256 KiB"),
    "an endless instruction": (lambda: flooded(b"<?x ", b"x", 60 << 20), "256 KiB"),
    "UTF-8 that is none": (report().replace(b"receiver", b"\xffeceiver"), "not well-formed"),
    "another encoding": (report(start='<?xml version="1.0" encoding="utf-16"?>'), "encoding"),
    "an unusual encoding": (report(start='<?xml version="1.0" encoding="rot13"?>'), "encoding"),
    "an encoding of another kind": (report(start='<?xml version="1.0" encoding="zlib"?>'),
                                    "encoding"),
    "deep nesting": (lambda: b"<feedback>" + b"<a>" * 1_000_000, "32 elements within"),
    "a million names": (lambda: names(1_000_000), "1000 names"),
    "a million attributes": (lambda: packed([b"<feedback>", *(
        b"<a b%d=''/>" % number for number in range(1_000_000))]), "1000 names"),
    "a million rows": (lambda: packed([report()[:-12], *[record().encode() * 100] * 10_000]),
                       "more than"),
    "a million small rows": (lambda: flooded(
        report()[:-12], b"<record><row><source_ip>::1</source_ip><count>1</count></row></record>",
        1_000_000), "more than 100000 records"),
    "ten million elements": (lambda: flooded(b"<feedback>", b"<a/>", 10_000_000),
                             "4000000 elements"),
    "ten million empty rows": (lambda: flooded(report()[:-12], b"<record/>", 5_000_000), "count"),
    "a negative count": (counted(-1), "count"),
    "a huge count": (counted(10 ** 30), "count"),
    "a count that is none": (counted("x"), "count"),
    "a count of other digits": (counted("\u0663"), "count"),
    "huge counts": (report(*[record(count=9 * 10 ** 9)] * 3), "more messages than"),
    "HTML in the organization": (report(organization="&lt;script&gt;alert(1)&lt;/script&gt;"),
                                 "organization"),
    "controls in the organization": (report(organization="a&#x202e;b"), "organization"),
    "no organization": (report(organization=""), "organization"),
    "a domain that is none": (report(domain="../../etc"), "domain"),
    "an address that is none": (report(record("192.0.2.1; DROP TABLE")), "source_ip"),
    "a zone in an address": (report(record("fe80::1%eth0")), "source_ip"),
    "the future": (report(begin=BEGIN + 400 * DAY), "date_range"),
    "the past": (report(begin=1), "date_range"),
    "an end before the begin": (report(end=BEGIN - 1), "date_range"),
    "a range of a year": (report(begin=BEGIN - 365 * DAY, end=BEGIN), "date_range"),
    "records before the rest": (b"<feedback>" + record().encode(), "domain"),
    "no records": (report("<!-- -->"), "without records"),
    "a path in a zip": (zipped(report(), "../../../etc/cron.d/x"), "path"),
    "an absolute path in a zip": (zipped(report(), "/etc/passwd"), "path"),
    "a Windows path in a zip": (zipped(report(), "..\\x.xml"), "path"),
    "two files in a zip": (archive(("a.xml", report()), ("b.xml", report())), "one file"),
    "an encrypted zip": (encrypted(zipped(report())), "encrypted"),
    "an empty zip": (archive(), "no aggregate report"),
    "a damaged zip": (zipped(report(), method=zipfile.ZIP_STORED).replace(b"<count>1", b"<count>2"),
                      "damaged"),
    "a damaged gzip": (gzip.compress(report())[:-8] + b"\0" * 8, "damaged"),
    "a cut gzip": (CUT, "too early"),
    "a cut zip": (zipped(report())[:200], "too early"),
    "a cut header of a zip": (zipped(report())[:20], "too early"),
    "a cut report": (report()[:-30], "not XML"),
    "two reports in one": (report() * 2, "junk after"),
    "damaged base64": (mailed(b"\x1f\x8b\x08x").replace(b"H4sIeA", b"H4sIe"), "damaged"),
    "a cut mail": (mailed(gzip.compress(report()))[:700], "nothing added"),
    "many parts": (MANY, "100 parts"),
    "a header without end": (b"X: y\n" * 100_000, "256 KiB"),
    "multiparts within each other": (b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n)
        for n in range(100_000)), "no aggregate report"),
    "an mbox": (b"From a@b.example Thu Jan  1 00:00:00 2026\nSubject: x\n\ny\n", "mbox"),
    "HTML": (mailed(b"<html><body>", "text/html", "8bit"), "no aggregate report"),
    "XHTML": (b"<html xmlns='http://www.w3.org/1999/xhtml'><head/></html>", "no aggregate"),
    "other XML": (mailed(b"<?xml version='1.0'?><svg/>", "image/svg+xml", "8bit"), "no aggregate"),
    "plain mail": (b"From: a@b.example\nSubject: hello\n\n<- look at this\n", "no aggregate"),
    "nothing": (b"", "no aggregate report"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(reports, name):
    content, words = HOSTILE[name]
    content = content() if callable(content) else content
    done, memory = reports.measured(["reports", "add", "--database", reports.database], content)
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert line.startswith("qmail-dk: standard input: nothing added: ") and words in line
    assert line.isprintable() and len(line) < 120
    assert done.stdout == "0 reports added, of 0 messages\n"
    assert memory <= MOST_MEMORY
    assert reports.show().startswith("no reports of the last 30 days")
    assert reports.sums()["domains"] == []
