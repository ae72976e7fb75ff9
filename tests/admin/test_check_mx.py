# SPDX-License-Identifier: MIT
"""What check says of the way in which a domain's mail can be answered."""

import pytest

from lib.admin import check_mx
from lib.lookup.answer import Answer
from tests.support.records_by_name import finder

# Records of example.com -> (level, words).
RECORDS = {
    "MX": ({"example.com MX": ["mx.example.net"]}, ("ok", "is there")),
    "A": ({"example.com A": ["203.0.113.25"]}, ("ok", "the domain's own address takes its mail")),
    "AAAA": ({"example.com AAAA": ["2001:db8::1"]}, ("ok", "the domain's own address")),
    "only TXT": ({"example.com TXT": ["v=spf1 -all"]}, ("warn", "nobody can answer its mail")),
    "nothing": ({}, ("warn", "nobody can answer its mail")),
    "no answer": ({"example.com MX": "SERVFAIL"}, ("warn", "no answer: SERVFAIL")),
}


@pytest.mark.parametrize("name", RECORDS)
def test_records(name):
    zone, (level, words) = RECORDS[name]
    (finding,) = check_mx.findings("example.com", finder(zone))
    assert (finding.level, finding.subject) == (level, "MX of example.com")
    assert words in finding.text and bool(finding.remedy) == (level == "warn")


def test_a_domain_that_takes_no_mail():
    """RFC 7505 section 3."""
    (finding,) = check_mx.findings("example.com", lambda name, kind: Answer("found", [(0, b".")]))
    assert finding.level == "warn" and "takes no mail" in finding.text
