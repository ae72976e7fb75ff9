# SPDX-License-Identifier: MIT
"""qmail-dk reports --html: a page that needs nothing else, in a real browser."""

import xml.etree.ElementTree

import pytest

from lib.admin.reports import charts, summary
from tests.support import aggregate_reports, web_pages
from tests.support.administrator import admin       # noqa: F401
from tests.support.aggregate_reports import BEGIN, DAY, record, report
from tests.support.web_pages import PHONE, Resources, assert_needs_nothing_else

ORGANIZATION = "&quot;A&quot; &amp; B' onload=alert(1)"


@pytest.fixture
def reports(admin):
    reports = aggregate_reports.Reports(admin)
    directory = admin.directory / "files"
    directory.mkdir()
    for day in range(20):
        for number, organization in enumerate([
                "receiver.example", ORGANIZATION, "Mail of Receivers " * 10]):
            (directory / f"{day}.{number}").write_bytes(report(
                record("192.0.2.1", 100 + day, signatures=[
                    ("example.com", "s1", "pass"), ("example.com", "ed20260101", "fail")]),
                record("192.0.2.7", 20, "fail", "pass", []),
                record("2001:db8:1234:5678:9abc:def0:1234:5678", 5 + day, "fail", "fail", [
                    ("example.com", "s" * 60, "fail")]),
                organization=organization, begin=BEGIN - day * DAY, identifier=f"r{day}"))
    assert reports.add(directory).returncode == 0
    reports.page = admin.directory / "page.html"
    reports.show("--html", reports.page)
    return reports


def test_needs_nothing_else(reports):
    assert_needs_nothing_else(reports.page.read_text())


def test_has_what_the_table_has(reports):
    text = " ".join(" ".join(Resources(reports.page.read_text()).texts).split())
    sums = reports.sums()
    (domain,) = sums["domains"]
    for words in ("example.com", f"{domain['messages']:,}", "60 reports of the last 30 days",
                  "192.0.2.7", "ours, not signed", "\"A\" & B' onload=alert(1)", "ed20260101"):
        assert words in text
    for cause in sums["causes"]:
        assert cause["text"] in text


def test_charts_show_the_numbers(reports):
    """The columns and bars are as long as the numbers say."""
    daily = {(day, kind): number for day in range(3) for kind, number in ((0, 10 * day), (5, 10))}
    drawn = xml.etree.ElementTree.fromstring(charts.columns(daily, 0, 2))
    heights = [(bar.get("class"), float(bar.get("height"))) for bar in drawn.iter("rect")]
    assert heights == [("bad", 40), ("good", 40), ("bad", 40), ("good", 80), ("bad", 40)]
    drawn = xml.etree.ElementTree.fromstring(charts.receivers([
        summary.Signatures("example.com", "s1", "a", 100, 40, 10, 0)]))
    assert [(bar.get("class"), float(bar.get("width"))) for bar in drawn.iter("rect")] == [
        ("good", 216), ("fair", 36), ("bad", 108)]
    drawn = xml.etree.ElementTree.fromstring(charts.senders([
        summary.Sender("example.com", "192.0.2.1", 0, 50),
        summary.Sender("example.com", "192.0.2.2", 5, 25)], {}))
    assert [float(bar.get("width")) for bar in drawn.iter("rect")] == [360, 180]


def test_long_times_are_drawn_in_few_columns():
    daily = {(day, 0): 1 for day in range(3650)}
    drawn = xml.etree.ElementTree.fromstring(charts.columns(daily, 0, 3649))
    bars = list(drawn.iter("rect"))
    assert 80 <= len(bars) <= charts.MOST_COLUMNS
    assert all(float(bar.get("height")) > 0 for bar in bars)


@pytest.mark.parametrize("width", [PHONE, 1200])
def test_in_a_browser(reports, width):
    """It fits a phone's width; all text can be read; nothing that a receiver said is a script."""
    seen = web_pages.seen(reports.admin.directory, reports.page, width)
    assert seen["width"] <= width
    assert seen["smallest"] >= 10.5
    assert (seen["outside"], seen["overlapping"], seen["attributes"]) == ([], [], [])
    assert seen["colours"] == 3
    assert seen["bars"] == reports.page.read_text().count("<rect")


def test_a_file_that_can_not_be_written(reports):
    done = reports.admin.run("reports", "--database", reports.database, "--html", "/none/x.html")
    assert (done.returncode, len(done.stderr.splitlines())) == (111, 1)
    directory = reports.admin.directory / "directory"
    directory.mkdir()
    done = reports.admin.run("reports", "--database", reports.database, "--html", directory)
    assert (done.returncode, len(done.stderr.splitlines())) == (100, 1)
    assert [path.name for path in reports.admin.directory.glob("*.new")] == []
