# SPDX-License-Identifier: MIT
"""The lines of a tinydns data file: which are added and removed, and that no other changes."""

import pytest

from lib.admin.publishing import tinydns_lines
from lib.admin.publishing.record import Record

NAME = "s1._domainkey.example.com"
RECORD = Record(NAME, 600, "v=DKIM1; p=AB\\:\xe9")
OTHER = Record("s2._domainkey.example.com", 600, "v=DKIM1; p=CD")
LINE = rb"'s1._domainkey.example.com:v=DKIM1; p=AB\134\072\351:600:::qmail-dk" + b"\n"
OWN = LINE.replace(b":::qmail-dk", b"")


@pytest.mark.parametrize("content, expected", [
    (b"", LINE),
    (b"# c\n", b"# c\n" + LINE),
    (b"# no end of line", b"# no end of line\n" + LINE),
    (b"\xff\r\n\n \n", b"\xff\r\n\n \n" + LINE),
    (b"#" + LINE, b"#" + LINE + LINE),
    # There already: ours, the administrator's, in other words, among others.
    (LINE, LINE),
    (LINE.replace(b"600", b"60"), LINE.replace(b"600", b"60")),
    (OWN, OWN),
    (OWN.strip() + b" \t\n", OWN.strip() + b" \t\n"),
    (OWN.replace(b"s1._d", b"S1._D"), OWN.replace(b"s1._d", b"S1._D")),
    (OWN.replace(b".com:", b".com.:"), OWN.replace(b".com:", b".com.:")),
    (rb"'s1._domainkey.example.com:\166=DKIM1; p=A\B\\\72\351", None),
    (rb":s1._domainkey.example.com:16:\010v=DKIM1;\010 p=AB\134\072\351:600", None),
    (OWN + b"'example.com:x\n", None),
    # Of another name or type.
    (b"'s1._domainkey.example.org:x\n", b"'s1._domainkey.example.org:x\n" + LINE),
    (b"+s1._domainkey.example.com:192.0.2.1\n", b"+s1._domainkey.example.com:192.0.2.1\n" + LINE),
    (b":s1._domainkey.example.com:99:x\n", b":s1._domainkey.example.com:99:x\n" + LINE),
])
def test_adding(content, expected):
    added = tinydns_lines.with_records(content, [RECORD, RECORD])
    assert added == (content if expected is None else expected)
    assert tinydns_lines.with_records(added, [RECORD]) == added


@pytest.mark.parametrize("line", [
    b"'s1._domainkey.example.com:v=DKIM1; p=",
    b":s1._domainkey.example.com:16:\\001x",
    OWN.strip() + b"::lo",                          # for some clients only
    OWN.strip() + b":4000000000000000",             # for some time only
    LINE.strip().replace(b"AB", b"XY"),             # ours, with another text
])
def test_another_record_stands_in_the_way(line):
    """Nothing is added, not even what would be possible."""
    with pytest.raises(tinydns_lines.Conflict, match=f"line 2 has another TXT record of {NAME};"):
        tinydns_lines.with_records(b"# c\n" + line + b"\n", [OTHER, RECORD])


@pytest.mark.parametrize("content, expected", [
    (b"", b""),
    (LINE, b""),
    (b"# c\n" + LINE + b"+a:192.0.2.1", b"# c\n+a:192.0.2.1"),
    (LINE.strip(), b""),
    (LINE + b"x\n" + LINE, b"x\n"),
    (LINE.replace(b"600::", b"60:4000000000000000:"), b""),     # edited, the mark left
    (LINE.replace(b"AB", b"XY"), None),
    (LINE.replace(b"s1.", b"s2."), None),
    (b"#" + LINE, None),
    (b"-" + LINE[1:], None),
])
def test_removing(content, expected):
    removed = tinydns_lines.without_records(content, [RECORD])
    assert removed == (content if expected is None else expected)
    assert tinydns_lines.without_records(removed, [RECORD]) == removed


def test_lines_without_the_mark_stay():
    with pytest.raises(tinydns_lines.Conflict, match="line 3 was not written by qmail-dk"):
        tinydns_lines.without_records(b"# c\n" + LINE + OWN, [RECORD])
    assert tinydns_lines.without_records(OWN, [OTHER]) == OWN


def test_lines_that_are_sorted_stay_ours():
    content = tinydns_lines.with_records(b".example.com:192.0.2.1:a\n# c\n", [OTHER, RECORD])
    ordered = b"".join(sorted(content.splitlines(keepends=True)))
    assert tinydns_lines.without_records(ordered, [RECORD, OTHER]) == \
        b"# c\n.example.com:192.0.2.1:a\n"
