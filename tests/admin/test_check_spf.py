# SPDX-License-Identifier: MIT
"""What check says of a domain's SPF record."""

import pytest

from lib.admin import check_spf
from tests.support.records_by_name import finder

HERE, ELSEWHERE = "203.0.113.25", "203.0.113.77"
NAMES = {"mx.example.net A": [HERE], "other.example A": [ELSEWHERE], "example.com MX": [
    "mx.example.net"], "example.net TXT": [f"v=spf1 ip4:{HERE} -all"],
    **{f"n{number}.example.net TXT": ["v=spf1 ip4:198.51.100.1 -all"] for number in range(12)}}
MANY = " ".join(f"include:n{number}.example.net" for number in range(11))

# TXT records of example.com -> (level, words) of each finding, this host being at HERE.
RECORDS = {
    (f"v=spf1 ip4:{HERE} -all",): [("ok", "fail for others (-all of "),
                                   ("ok", f"pass for this host's address {HERE}")],
    ("google-site-verification=x", f"v=spf1 ip4:{HERE} ~all"): [
        ("ok", "softfail for others"), ("ok", "pass for this host")],
    ("v=spf1 mx -all",): [("ok", "fail for others"), ("ok", "pass for this host")],
    ("v=spf1 redirect=example.net",): [("ok", "fail for others (-all of example.net)"),
                                       ("ok", "pass for this host")],
    ("v=spf1 include:example.net -all",): [("ok", "fail for others"), ("ok", "pass for this")],
    ("some text",): [("warn", "there is none")],
    (): [("warn", "there is none")],
    "timeout": [("warn", "can't be evaluated now (TXT of example.com: timeout)")],
    (f"v=spf1 ip4:{HERE}",): [("warn", "says nothing of hosts that it does not name"),
                              ("ok", "pass for this host")],
    (f"v=spf1 ip4:{HERE} ?all",): [("warn", "says nothing of"), ("ok", "pass for this host")],
    ("v=spf1 +all",): [("warn", "lets every host send"), ("ok", "pass for this host")],
    (f"v=spf1 ip4:{ELSEWHERE} -all",): [("ok", "fail for others"), (
        "FAIL", f"fail for this host's address {HERE}")],
    (f"v=spf1 ip4:{ELSEWHERE} ~all",): [("ok", "softfail for others"), (
        "warn", f"softfail for this host's address {HERE}")],
    (f"v=spf1 ip4:{HERE} -all", "v=spf1 -all"): [("FAIL", "(2 SPF records of example.com)")],
    (f"v=spf1 ipv4:{HERE} -all",): [("FAIL", "term 1: an unknown mechanism")],
    (f"v=spf1 {MANY} -all",): [("FAIL", "more than 10 terms need look-ups")],
    (f"v=spf1 ip4:{HERE} {MANY} -all",): [("warn", "more than 10 terms need look-ups"),
                                          ("ok", "pass for this host")],
    ("v=spf1 a:x.example a:y.example a:z.example -all",): [
        ("FAIL", "more than 2 terms find nothing")],
}


@pytest.mark.parametrize("texts", RECORDS, ids=str)
def test_record(texts):
    zone = NAMES if texts == () else {
        **NAMES, "example.com TXT": texts if isinstance(texts, str) else list(texts)}
    found = check_spf.findings("example.com", [HERE], "mx.example.net", finder(zone))
    assert [finding.level for finding in found] == [level for level, _ in RECORDS[texts]]
    for finding, (level, words) in zip(found, RECORDS[texts]):
        assert words in finding.text and finding.subject == "SPF of example.com"
        assert bool(finding.remedy) == (level != "ok")


@pytest.mark.parametrize("helo", ["", "\udcff\udcfe"], ids=ascii)
def test_an_unknown_address_is_not_looked_for(helo):
    """And control/me may hold anything."""
    zone = {"example.com TXT": [f"v=spf1 ip4:{ELSEWHERE} -all"]}
    (finding,) = check_spf.findings("example.com", [], helo, finder(zone))
    assert (finding.level, finding.text) == ("ok", "fail for others (-all of example.com)")


@pytest.mark.parametrize("addresses, terms", [
    ([], "v=spf1 mx ~all"), ([HERE], f"v=spf1 ip4:{HERE} ~all"),
    ([HERE, "2001:db8::25"], f"v=spf1 ip4:{HERE} ip6:2001:db8::25 ~all")])
def test_the_record_of_the_remedy_lets_this_host_send(addresses, terms):
    (finding,) = check_spf.findings("example.com", addresses, "", finder(NAMES))
    assert f'"{terms}"' in finding.remedy
    zone = {**NAMES, "example.com TXT": [terms]}
    assert {finding.level for finding in check_spf.findings(
        "example.com", addresses, "", finder(zone))} == {"ok"}


@pytest.mark.parametrize("text, words", [
    (f"v=spf1 {MANY} -all", "name addresses by ip4: and ip6:"),
    ("v=spf1 a:x.example a:y.example a:z.example -all", "take the names out of it"),
    (f"v=spf1 ip4:{ELSEWHERE} -all", f"add ip4:{HERE} to the record, before"),
    ("v=spf1 ?all", "let it end in ~all or -all")])
def test_remedies(text, words):
    found = check_spf.findings("example.com", [HERE], "", finder(
        {**NAMES, "example.com TXT": [text]}))
    assert any(words in finding.remedy for finding in found), found
