# SPDX-License-Identifier: MIT
"""qmail-dk log --html: a page that needs nothing else, in a real browser."""

import re

import pytest

from tests.support import web_pages
from tests.support.administrator import admin       # noqa: F401
from tests.support.read_log import Log
from tests.support.web_pages import PHONE, Resources, assert_needs_nothing_else

TO = "; host=mx.example.net sender=<joe@example.com> recipient=<jane@example.net>"
FROM = "; client=192.0.2.7 sender=<a@example.org> message-id=<1@example.org>"
LONG = "a-domain-with-a-name-of-many-letters." * 6 + "example"
SCRIPT = "<script>alert(1)</script>\" onload='alert(1)'"


@pytest.fixture
def log(admin):
    log = Log(admin)
    lines = []
    for number in range(40):
        lines += [f"qmail-remote-dk[5]: signed: dkim d=d{number}.example s=s2026a a=rsa-sha256" + TO
                  ] * (40 - number)
        lines.append(f"qmail-qfilter-verify: qp 1 rejected: bad (B); dkim=fail d=f{number}.example "
                     "s=s (it is wrong); dmarc=fail from=a.example p=reject (no); dns 0.001 s"
                     + FROM)
    lines += [f"qmail-remote-dk[5]: signed: dkim d={LONG} s={'s' * 60} a=rsa-sha256" + TO] * 9
    lines += [f"qmail-remote-dk[5]: warning: deferred: KeyTrouble: {SCRIPT}",
              "qmail-rspawn[5]: not signed: no key for b.example" + TO,
              "qmail-qfilter-verify: qp 1 accepted: good (A); dkim=pass d=g.example s=s; dns 0.001 "
              "s; resident",
              "qmail-qfilter-verify: qp 1 accepted: no key (F); dkim=temperror d=t.example s=s "
              "(the key can't be had now: timeout); dns 0.001 s"]
    log.write(*lines)
    log.page = admin.directory / "page.html"
    log.admin.succeed("log", log.path, "--html", log.page)
    return log


def test_needs_nothing_else(log):
    assert_needs_nothing_else(log.page.read_text())


def test_has_what_the_table_has(log):
    text = " ".join(" ".join(Resources(log.page.read_text()).texts).split())
    said = log.admin.succeed("log", log.path)
    for line in said.splitlines()[:3]:
        assert line[1:] in text
    for words in (SCRIPT, "d0.example s2026a", "b.example: no key", "f1.example",
                  "t.example: dkim: timeout", "the resident verifier", "and 16 more"):
        assert words in text


def test_bars_are_as_long_as_the_numbers_say(log):
    drawing = log.page.read_text().partition('aria-label="signed"')[2].partition("</svg>")[0]
    widths = [float(width) for width in re.findall(r'class="good".*?width="([\d.]+)"', drawing)]
    assert widths[:4] == [360, 351, 342, 333]


@pytest.mark.parametrize("width", [PHONE, 1200])
def test_in_a_browser(log, width):
    """It fits a phone's width; all text can be read; nothing in the log is a script."""
    seen = web_pages.seen(log.admin.directory, log.page, width)
    assert seen["width"] <= width
    assert seen["smallest"] >= 10.5
    assert (seen["outside"], seen["overlapping"], seen["attributes"]) == ([], [], [])
    assert seen["colours"] == 3
    assert seen["bars"] == log.page.read_text().count("<rect")
