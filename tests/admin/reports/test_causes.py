# SPDX-License-Identifier: MIT
"""What qmail-dk reports says that reports mean, and which kind it takes messages for."""

import pytest

from lib.admin import key_places
from lib.admin.reports import causes as reports_causes
from tests.support import aggregate_reports
from tests.support.administrator import admin       # noqa: F401
from tests.support.aggregate_reports import BEGIN, DAY, record, report

OURS = ("example.com", "s1", "pass")
BROKEN = ("example.com", "s1", "fail")
OTHERS = ("list.example", "x", "pass")


@pytest.fixture
def reports(admin):
    return aggregate_reports.Reports(admin)


def causes(reports, *of):
    """Adds reports, each (day before today, records, other arguments), and returns the causes."""
    directory = reports.admin.directory / "files"
    directory.mkdir()
    for number, (day, records, *said) in enumerate(of):
        arguments = {"identifier": f"r{number}", "begin": BEGIN - day * DAY,
                     **(said[0] if said else {})}
        (directory / str(number)).write_bytes(report(*records, **arguments))
    assert reports.add(directory).returncode == 0
    return reports.sums()["causes"]


KINDS = {
    "ours": [("pass", "pass", [OURS]), ("pass", "pass", [OURS, BROKEN, OTHERS]),
             ("pass", "pass", [])],
    "forwarded": [("pass", "fail", [OURS]), ("pass", "fail", [OURS, OTHERS])],
    "ours, not signed": [("fail", "pass", []), ("fail", "pass", [OTHERS])],
    "ours, signature broken": [("fail", "pass", [BROKEN]), ("fail", "pass", [BROKEN, OTHERS])],
    "signature broken on the way": [("fail", "fail", [BROKEN]), ("fail", "fail", [
        ("mail.example.com", "s", "permerror"), OTHERS])],
    "forged or forgotten": [("fail", "fail", []), ("fail", "fail", [OTHERS]), ("fail", "fail", [
        ("notexample.com", "s", "pass"), ("", "", "fail")])],
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds(reports, kind):
    records = [record(f"192.0.2.{number}", 10 ** number, *of)
               for number, of in enumerate(KINDS[kind])]
    reports.added(report(*records))
    sums = reports.sums()
    total = sum(10 ** number for number in range(len(records)))
    (domain,) = sums["domains"]
    assert domain["by_sender"] == {**dict.fromkeys(KINDS, 0), kind: total}
    column = ("dkim" if kind in ("ours", "forwarded")
              else "spf_only" if kind.startswith("ours") else "neither")
    assert [domain[name] for name in ("messages", "dkim", "spf_only", "neither")] == [
        total, *(total * (name == column) for name in ("dkim", "spf_only", "neither"))]
    assert [(sender["address"], sender["what"], sender["messages"]) for sender in sums["senders"]
            ] == [(f"192.0.2.{number}", kind, 10 ** number)
                  for number in reversed(range(len(records)))]


def good(count=1000, selector="s1", receiver="receiver.example"):
    return record("192.0.2.1", count, signatures=[("example.com", selector, "pass")])


def other(selector, result="fail", count=10, address="192.0.2.1"):
    """A record of a message from a host of ours whose signature fails."""
    return record(address, count, "fail", "pass", [("example.com", selector, result)])


ED = [OURS, ("example.com", "ed1", "neutral")]
NEW = [("example.com", "s2", "pass")]

# Name: (reports as in causes(), level of the one cause, words of it).
FOUND = {
    "a host that signs nothing": (
        [(0, [good(), record("192.0.2.7", 30, "fail", "pass", [])])], "warn",
        ["192.0.2.7 (30) sent 30 messages that pass by SPF only", "qmail-dk why example.com"]),
    "many hosts that sign nothing": (
        [(0, [record(f"192.0.2.{number}", number, "fail", "pass", [])
              for number in range(1, 8)])], "warn",
        ["192.0.2.7 (7), 192.0.2.6 (6), 192.0.2.5 (5) and others sent 28 messages"]),
    "a key that was withdrawn too early": (
        [(5, [good()]), (3, [good(selector="s2"), other("s1", count=7)]),
         (2, [good(selector="s2"), other("s1", "permerror", 5)], {"organization": "Yahoo"})],
        "FAIL", ["12 messages signed as s1 failed at 2 receivers after ", "withdrawn",
                 "--only former"]),
    "a key that was withdrawn, of forwarded mail": (
        [(5, [good()]), (3, [good(selector="s2"), record(
            "198.51.100.9", 3, "fail", "fail", [("example.com", "s1", "permerror")])])],
        "FAIL", ["3 messages signed as s1 failed at 1 receiver after "]),
    "a record that nobody finds": (
        [(0, [other("s1"), other("s1", "permerror")])], "FAIL",
        ["no receiver found a signature as selector s1 good: 20 messages",
         "qmail-dk check example.com"]),
    "a relay that changes mail": (
        [(0, [good()]), (0, [good(100), other("s1", count=50)], {"organization": "Yahoo"})], "warn",
        ["Yahoo found 50 of 150 signatures as selector s1 broken", "qmail-dk verify"]),
    "Ed25519": (
        [(0, [record(count=9, signatures=ED)]),
         (0, [record(signatures=ED)], {"organization": "Yahoo"})], "ok",
        ["Yahoo, receiver.example counted the signature as selector ed1 as failed", "harmless"]),
    "Ed25519 that another receiver knows": (
        [(0, [record(count=9, signatures=[OURS, ("example.com", "k", "fail")])]),
         (0, [record(signatures=[OURS, ("example.com", "k", "pass")])],
          {"organization": "Yahoo"})], "ok",
        ["receiver.example counted the signature as selector k as failed", "harmless"]),
    "a second signature that nobody finds good": (
        [(0, [record(count=9, signatures=[OURS, ("example.com", "k", "permerror")])])], "warn",
        ["counted the signature as selector k as failed", "qmail-dk check example.com"]),
    "a list that breaks signatures": (
        [(0, [good(), record("203.0.113.7", 12, "fail", "fail", [BROKEN, OTHERS])])], "warn",
        ["203.0.113.7 (12) passed on 12 messages whose signature had been broken",
         "doc/lists-and-forwards"]),
    "forged": (
        [(0, [good(), record("203.0.113.7", 12, "fail", "fail", [])])], "ok",
        ["12 messages have no signature of the domain and fail SPF: forged",
         "qmail-dk reports example.com --names"]),
    "p=none for long": (
        [(100, [good()]), (1, [good()])], "warn",
        ["p=none in all reports for 1", "all 1,000 messages of the last 90 passed",
         "go on to p=quarantine"]),
}


@pytest.mark.parametrize("name", FOUND)
def test_causes(reports, name):
    of, level, words = FOUND[name]
    (cause,) = causes(reports, *of)
    assert (cause["level"], cause["subject"]) == (level, "example.com")
    said = f"{cause['text']}; remedy: {cause['remedy']}"
    assert [text for text in words if text not in said] == []
    assert said in reports.show() or not cause["remedy"]


# Reports from which nothing follows.
NOTHING = {
    "all is well": [(0, [good()])],
    "a key change": [(5, [good()]), (3, [good(selector="s2")])],
    "a key change, and a list that was slow": [
        (5, [good()]), (3, [good(selector="s2"), record(
            "203.0.113.7", 1, "pass", "fail", [("example.com", "s2", "pass"), BROKEN])])],
    "a policy that was stricter": [(100, [good()]), (50, [good()], {"policy": "reject"}),
                                   (1, [good()])],
    "p=none for some weeks": [(80, [good()]), (1, [good()])],
    "p=none long ago": [(300, [good()]), (1, [good()], {"policy": "quarantine"})],
    "forwarded mail": [(0, [good(), record("203.0.113.7", 12, "pass", "fail", [OURS])])],
    "few of many": [(0, [good(100_000), other("s1", count=10)])],
}


@pytest.mark.parametrize("name", NOTHING)
def test_no_cause(reports, name):
    assert causes(reports, *NOTHING[name]) == []


def test_p_none_but_not_all_passes(reports):
    """Forged mail passes nowhere, so the administrator decides."""
    found = causes(reports, (100, [good()]), (1, [good(), record(
        "203.0.113.7", 1, "fail", "fail", [])]))
    assert ["p=none" in cause["text"] for cause in found] == [False]


def test_selectors_that_keygen_makes():
    assert key_places.PREFIXES["ed25519"] == reports_causes.ED25519


def test_the_worst_comes_first(reports):
    found = causes(reports, (0, [
        record("203.0.113.7", 12, "fail", "fail", []), other("s9"),
        record("192.0.2.7", 30, "fail", "pass", []), record(signatures=ED)]))
    assert [cause["level"] for cause in found] == ["FAIL", "warn", "ok", "ok"]


def test_only_the_days_that_are_asked_for(reports):
    assert causes(reports, (40, [record("192.0.2.7", 30, "fail", "pass", [])]), (0, [good()])) == []
    found = reports.sums("--days", "60")
    assert [cause["level"] for cause in found["causes"]] == ["warn"]
    assert found["domains"][0]["messages"] == 1030
