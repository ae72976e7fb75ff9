# SPDX-License-Identifier: MIT
"""qmail-dk reports: the table, JSON, and the names of hosts."""

import json
import sys

import pytest

from lib.admin.tables import cut, share
from tests.support import aggregate_reports, rspawn
from tests.support.administrator import admin       # noqa: F401
from tests.support.aggregate_reports import BEGIN, DAY, record, report
from tests.support.dns_server import DnsServer

OURS = ("example.com", "s1", "pass")
ED = ("example.com", "ed1", "neutral")

# qmail-dk with a Python that was built where SQLite was not.
WITHOUT_SQLITE = """
import sys
sys.modules["_sqlite3"] = None
sys.path.insert(0, "{}")
from lib import qmail_dk
sys.exit(qmail_dk.main(sys.argv[1:]))
"""


@pytest.fixture
def reports(admin):
    """A database with reports on two domains."""
    reports = aggregate_reports.Reports(admin)
    (admin.keys / "example.net").mkdir()
    reports.added(report(
        record("192.0.2.1", 9000, signatures=[OURS, ED]),
        record("192.0.2.7", 500, "fail", "pass", []),
        record("203.0.113.7", 80, "pass", "fail"),
        *[record(f"2001:db8::{number:x}", 1, "fail", "fail", []) for number in range(1, 30)]))
    reports.added(report(record("192.0.2.1", 20, signatures=[("example.net", "s1", "pass")]),
                         domain="example.net", organization="Another Receiver With A Long Name"))
    return reports


TABLE = """\
2 reports of the last 30 days, from 2 receivers; the last of {}

domain                                    messages      DKIM  SPF only   neither
example.com                                  9,609    94.5 %     5.2 %     0.3 %
example.net                                     20     100 %         -         -

signatures that failed                  receiver                    failed        of
ed1._domainkey.example.com              receiver.example             9,000     9,000  beside one that passed

senders                                   messages
192.0.2.1                                    9,000  ours: example.com
192.0.2.7                                      500  ours, not signed: example.com
203.0.113.7                                     80  forwarded: example.com
192.0.2.1                                       20  ours: example.net
2001:db8::1                                      1  forged or forgotten: example.com
"""     # noqa: E501


def day():
    import time
    return time.strftime("%Y-%m-%d", time.gmtime(BEGIN))


def test_table(reports):
    said = reports.show()
    assert said.startswith(TABLE.format(day()))
    assert "\nothers                                          21\n\nwhat it means\nwarn" in said
    assert "\x1b" not in said


def test_one_domain(reports):
    said = reports.show("Example.com")
    assert "example.net" not in said and "ours: " not in said
    assert said.count("forged or forgotten\n") == 29 and "others" not in said
    assert reports.show("example.org").startswith("no reports of the last 30 days")
    reports.added(report(record("192.0.2.1", 3), domain="a.example.com"))
    assert "\na.example.com " in reports.show("example.com")


def test_json_has_all_of_it(reports):
    sums = reports.sums()
    assert (sums["reports"], sums["receivers"], sums["until"] >= sums["since"]) == (2, 2, True)
    assert sums["domains"][1] == {
        "domain": "example.net", "messages": 20, "dkim": 20, "spf_only": 0, "neither": 0,
        "by_sender": {"ours": 20, "forwarded": 0, "ours, not signed": 0,
                      "ours, signature broken": 0, "signature broken on the way": 0,
                      "forged or forgotten": 0}}
    assert sums["signatures"][0] == {
        "domain": "example.com", "selector": "ed1", "receiver": "receiver.example",
        "messages": 9000, "failed": 9000, "beside": 9000, "direct": 0}
    assert len(sums["senders"]) == 33 and sums["other_senders"] == 0
    assert {"level", "subject", "text", "remedy", "domain"} == set(sums["causes"][0])


def test_names(reports):
    """Names that could not be shown, or that nobody knows, are left out."""
    zone = {"1.2.0.192.in-addr.arpa": {"PTR": ["MAIL.example.com"]},
            "7.2.0.192.in-addr.arpa": {"PTR": ["evil\x1b[2J.example"]},
            "7.113.0.203.in-addr.arpa": {"rcode": "SERVFAIL"}}
    with DnsServer(zone) as server:
        reports.admin.environment["DNSCACHEIP"] = server.address
        said = reports.show("--names")
    assert "9,000  ours: example.com (mail.example.com)\n" in said
    assert "  500  ours, not signed: example.com\n" in said
    assert "   80  forwarded: example.com\n" in said


def test_nothing_yet(admin):
    path = admin.directory / "none.sqlite"
    assert admin.succeed("reports", "--database", path) == (
        "no reports have been added; doc/reports says how they get here\n")
    assert not path.exists()


@pytest.mark.parametrize("arguments", [(), ("add",)])
def test_a_python_without_sqlite(admin, arguments):
    program = admin.directory / "program.py"
    program.write_text(WITHOUT_SQLITE.format(rspawn.CHECKOUT))
    admin.command.write_text(admin.command.read_text().replace(
        f"{rspawn.CHECKOUT}/lib/qmail_dk.py", str(program)))
    done = admin.run("reports", *arguments)
    assert (done.returncode, done.stdout) == (111, ""), done
    assert done.stderr.startswith(f"qmail-dk: {sys.executable} has no SQLite: ")
    assert "; remedy: " in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments, words", [
    (["--days", "0"], "--days is a number from 1 to 36500"), (["--days", "x"], "invalid int"),
    (["add"], "'add' is not a domain name"), (["a.example", "b.example"], "unrecognized"),
    (["--json", "--html", "x"], "not allowed with"), (["--nothing"], "unrecognized")])
def test_misuse(reports, arguments, words):
    done = reports.admin.run("reports", "--database", reports.database, *arguments)
    assert (done.returncode, done.stdout) == (100, "")
    assert words in done.stderr and len(done.stderr.splitlines()) == 1


def test_days(reports):
    reports.added(report(record(count=5), identifier="old", begin=BEGIN - 60 * DAY))
    assert json.loads(reports.show("--json", "--days", "300"))["domains"][0]["messages"] == 9614
    assert json.loads(reports.show("--json"))["domains"][0]["messages"] == 9609


@pytest.mark.parametrize("part, whole, text", [
    (0, 10, "-"), (10, 10, "100 %"), (1, 10 ** 9, "0.1 %"), (10 ** 9 - 1, 10 ** 9, "99.9 %"),
    (1, 3, "33.3 %"), (0, 0, "-")])
def test_shares(part, whole, text):
    """All and nothing are what they say."""
    assert share(part, whole) == text


def test_columns():
    assert cut("abc", 6) == "abc   "
    assert cut("abcdefgh", 6) == "ab... " and cut("a\x1bb", 10) == "a\\x1bb    "
