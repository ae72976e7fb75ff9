# SPDX-License-Identifier: MIT
"""qmail-dk reports --html: a page that needs nothing else, in a real browser."""

import html
import html.parser
import json
import re
import xml.etree.ElementTree

import pytest

from lib.admin.reports import charts, summary
from tests.support import aggregate_reports, chromium
from tests.support.administrator import admin       # noqa: F401
from tests.support.aggregate_reports import BEGIN, DAY, record, report

PHONE = 360             # CSS pixels, of a small one
ORGANIZATION = "&quot;A&quot; &amp; B' onload=alert(1)"

# A page that shows the page in a frame of a width, and writes down what is seen there.
FRAME = """<iframe src="page.html" width="{width}" height="800" style="border: 0"></iframe>
<script>
const frame = document.querySelector("iframe");
frame.onload = () => {{
    const page = frame.contentDocument, all = (what) => [...page.querySelectorAll(what)];
    const box = (element) => element.getBoundingClientRect();
    const size = (element) => parseFloat(frame.contentWindow.getComputedStyle(element).fontSize)
        * (element.ownerSVGElement ? box(element.ownerSVGElement).width / 360 : 1);
    document.body.append("seen:" + JSON.stringify({{
        width: page.documentElement.scrollWidth,
        bars: all("svg rect").filter((bar) => box(bar).width && box(bar).height).length,
        smallest: Math.min(...all("svg text, p, li, td, th").map(size)),
        outside: all("svg text").filter((text) =>
            box(text).right > box(text.ownerSVGElement).right + 1 || box(text).left < 0).map(
            (text) => text.textContent),
        colours: new Set(all("svg rect").map((bar) =>
            frame.contentWindow.getComputedStyle(bar).fill)).size,
        overlapping: all("svg").flatMap((drawing) => {{
            const texts = [...drawing.querySelectorAll("text")];
            return texts.filter((one, number) => texts.slice(number + 1).some((other) =>
                box(one).left < box(other).right && box(other).left < box(one).right
                && box(one).top < box(other).bottom - 4
                && box(other).top < box(one).bottom - 4)).map((one) => one.textContent);
        }}),
        attributes: all("*").flatMap((element) => element.getAttributeNames()).filter(
            (name) => name.startsWith("on"))}}));
}};
</script>"""


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


class Resources(html.parser.HTMLParser):
    """Collects what a page would load, and all of its text."""

    def __init__(self, text):
        super().__init__()
        self.resources, self.elements, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, name, attributes):
        self.elements.append(name)
        self.resources += [value for key, value in attributes
                           if key in ("src", "href", "srcset", "data", "action", "xlink:href")]

    def handle_data(self, data):
        self.texts.append(data)


def test_needs_nothing_else(reports):
    text = reports.page.read_text()
    found = Resources(text)
    assert found.resources == [] and "script" not in found.elements and "link" not in found.elements
    assert not re.search(r"url\(|@import|https?://", text)
    assert "default-src 'none'" in text


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
    frame = reports.page.with_name("frame.html")
    frame.write_text(FRAME.format(width=width))
    said = chromium.document(reports.admin.directory, frame)
    seen = json.loads(html.unescape(re.search(r"seen:(\{.*?\})</body>", said)[1]))
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
    assert (done.returncode, len(done.stderr.splitlines())) == (111, 1)
    assert [path.name for path in reports.admin.directory.glob("*.new")] == []
