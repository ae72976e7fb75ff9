# SPDX-License-Identifier: MIT
"""What check says of a domain's DMARC record."""

import pytest

from lib.admin import check_dmarc
from tests.support.records_by_name import finder

GOOD = "v=DMARC1; p=reject; rua=mailto:dmarc@example.com"
ELSEWHERE = "v=DMARC1; p=none; rua=mailto:x@reports.example"
OF_EXAMPLE_ORG = {"_dmarc.example.org TXT": ["v=DMARC1; p=none; rua=mailto:a@example.org"]}


def own(*texts, **others):
    return {"_dmarc.example.com TXT": list(texts), **others}


# name -> (records, [(level, words)] of each finding on example.com)
ZONES = {
    "good": (own(GOOD), [("ok", "p=reject")]),
    "letters and blanks": (own("V = DMARC1 ;P=None;RUA=MAILTO:dmarc@example.com"),
                           [("ok", "p=none")]),
    "tags of RFC 7489": (own(GOOD + "; pct=100; fo=1; ri=86400"), [("ok", "p=reject")]),
    "a size": (own("v=DMARC1; p=none; rua=mailto:dmarc@example.com!10m"), [("ok", "p=none")]),
    "none": ({}, [("warn", "there is none, and large receivers want one")]),
    "timeout": ({"_dmarc.example.com TXT": "timeout"}, [("warn", "no answer: timeout")]),
    "several": (own(GOOD, GOOD), [("warn", "2 DMARC records: receivers use none of them")]),
    "beside another text": (own("x", GOOD), [("ok", "p=reject")]),
    "wrong version": (own("v=DMARC2; p=none"), [("warn", "no DMARC record: 'v=DMARC2; p=none'")]),
    "version not first": (own("p=none; v=DMARC1"), [("warn", "a TXT record there is no DMARC")]),
    "quoted twice": (own(f'"{GOOD}"'), [("warn", "a TXT record there is no DMARC")]),
    "at the domain": ({"example.com TXT": [GOOD]},
                      [("warn", "there is none, but example.com has one")]),
    "zone's name twice": ({"_dmarc.example.com.example.com TXT": [GOOD]},
                          [("warn", "but _dmarc.example.com.example.com has one")]),
    "no underscore": ({"dmarc.example.com TXT": [GOOD]},
                      [("warn", "but dmarc.example.com has one")]),
    "no p": (own("v=DMARC1; rua=mailto:a@example.com"), [("warn", "p= is missing")]),
    "odd p": (own("v=DMARC1; p=monitor; rua=mailto:a@example.com"),
              [("warn", "p=monitor is not one of: none quarantine reject")]),
    "odd alignment": (own(GOOD + "; adkim=strict"), [("warn", "adkim=strict is not one of: r s")]),
    "twice": (own(GOOD + "; p=none"), [("warn", "p= is empty, or there twice")]),
    "comma": (own("v=DMARC1; p=none, rua=mailto:a@example.com"),
              [("warn", "p=none, rua=mailto:a@example.com is not one of"),
               ("warn", "asks nobody for reports")]),
    "no tag": (own(GOOD + "; quarantine"), [("warn", "'quarantine' is no tag")]),
    "no rua": (own("v=DMARC1; p=none"), [("warn", "asks nobody for reports")]),
    "bare address": (own("v=DMARC1; p=none; rua=dmarc@example.com"),
                     [("warn", "rua= has 'dmarc@example.com', which is no mailto: address")]),
    "one of two": (own("v=DMARC1; p=none; rua=mailto:a@example.com, b@example.com"),
                   [("warn", "rua= has 'b@example.com', which is")]),
    "test mode": (own(GOOD + "; t=y"), [("warn", "t=y: receivers apply a weaker policy")]),
    "foreign": (own(ELSEWHERE),
                [("warn", "reports.example does not say that it takes reports")]),
    "foreign, agreed": (own(ELSEWHERE, **{
        "example.com._report._dmarc.reports.example TXT": ["v=DMARC1"]}), [("ok", "p=none")]),
    "foreign, agreed to another": (own(ELSEWHERE, **{
        "example.net._report._dmarc.reports.example TXT": ["v=DMARC1"]}),
        [("warn", "does not say that it takes")]),
    "foreign, not now": (own(ELSEWHERE, **{
        "example.com._report._dmarc.reports.example TXT": "SERVFAIL"}),
        [("warn", "no answer on example.com._report._dmarc.reports.example: SERVFAIL")]),
    "foreign, organization not known": (own(ELSEWHERE, **{
        "_dmarc.reports.example TXT": "SERVFAIL"}), [("warn", "no answer: _dmarc.reports")]),
    "below": (own("v=DMARC1; p=none; rua=mailto:a@in.example.com"), [("ok", "p=none")]),
    "escape": (own("v=DMARC1; p=\x1b[31m; rua=mailto:a@example.com"),
               [("warn", "p=\\x1b[31m is not")]),
}


@pytest.mark.parametrize("name", ZONES)
def test_record(name):
    zone, expected = ZONES[name]
    found = check_dmarc.findings("example.com", "example.com", finder(zone))
    assert [finding.level for finding in found] == [level for level, _ in expected], found
    for finding, (level, words) in zip(found, expected):
        assert words in finding.text and finding.subject == "_dmarc.example.com"
        assert bool(finding.remedy) == (level != "ok")


# (domain, adkim= of example.org's record, d= of its signatures) -> [(level, words)]
BELOW = {
    ("lists.example.org", "r", "example.org"): [("ok", "that of example.org applies (sp=none)")],
    ("lists.example.org", "s", "example.org"): [
        ("ok", "that of example.org applies"),
        ("warn", "adkim=s: the signatures have d=example.org, which does not count")],
    ("lists.example.org", "s", "lists.example.org"): [("ok", "that of example.org applies")],
    ("lists.example.org", "s", ""): [("ok", "that of example.org applies")],
    ("example.org", "s", "example.org"): [("ok", "p=none")],
}


@pytest.mark.parametrize("case", BELOW, ids=str)
def test_a_domain_below(case):
    domain, alignment, signer = case
    zone = {"_dmarc.example.org TXT": [
        f"v=DMARC1; p=none; adkim={alignment}; rua=mailto:a@example.org"]}
    found = check_dmarc.findings(domain, signer, finder(zone))
    assert [finding.level for finding in found] == [level for level, _ in BELOW[case]]
    for finding, (_, words) in zip(found, BELOW[case]):
        assert words in finding.text


def test_reports_within_an_organization():
    zone = {"_dmarc.lists.example.org TXT": ["v=DMARC1; p=none; rua=mailto:a@in.example.org"],
            **OF_EXAMPLE_ORG}
    (finding,) = check_dmarc.findings("lists.example.org", "example.org", finder(zone))
    assert (finding.level, finding.text) == ("ok", "p=none")
