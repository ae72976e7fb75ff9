# SPDX-License-Identifier: MIT
"""benchmarks/run prints its table and draws it.  What the figures are is nobody's business here."""

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree

import pytest

from tests.support import rspawn_driver

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SIZES = ("small", "1 MB", "2 MB")
RECORDS = 200           # of DMARC reports
REPORTS = f"reports, {RECORDS} records"
DOMAINS = 20
CHECKING = f"checking, {DOMAINS} domains, answers after 50 ms"
LOG = "log, 5 MB"
TITLES = [f"{verb}, {size}" for size in SIZES
          for verb in ("signing", "verifying", "delivering")]
ALONE = list(TITLES)            # without qmail-send or qmail-smtpd
REAL = [f"{way}, {size}" for way in ("list through qmail-send", "inbound through qmail-smtpd")
        for size in ("small", "100 KB")]
TITLES += [*REAL, REPORTS, CHECKING, LOG]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """-> (the lines of the table, the chart's path)."""
    path = tmp_path_factory.mktemp("chart") / "chart.svg"
    done = subprocess.run(
        [sys.executable, f"{CHECKOUT}/benchmarks/run", "--quick", "--chart", path],
        capture_output=True, text=True, check=True, timeout=600)
    assert done.stderr == ""
    return done.stdout.splitlines(), path


@pytest.fixture
def targets(monkeypatch):
    """The module of benchmarks/."""
    monkeypatch.syspath_prepend(f"{CHECKOUT}/benchmarks")
    import targets
    return targets


def sections(table):
    """{title: {name of a row: whether it has figures}}."""
    found = {}
    for line in table:
        if line in TITLES:
            rows = found[line] = {}
        elif found and line[:42].strip():
            rows[line[:42].strip()] = bool(line[43:51].strip(" -"))     # -0.01 is a figure
    return found


def test_says_where_the_figures_come_from(run):
    table, _ = run
    assert "Python 3." in table[0] and "OpenSSL" in table[0]


def test_prints_a_row_for_each_program(run):
    found = sections(run[0])
    assert list(found) == TITLES
    for title in ALONE[::3]:
        assert found[title]["signer"]
        assert {"Mail::DKIM", "dkim.sign(), DKIM only",
                "opendkim-testmsg, rsa-sha1"} < found[title].keys()
    assert found["signing, small"]["signer, no key"]
    assert found["signing, small"]["bare interpreter, -IS -c pass"]
    for title in ALONE[1::3]:
        assert {"verifier", "Mail::DKIM", "dkimverify, DKIM only"} < found[title].keys()
    assert found["verifying, small"]["verifier, DKVERIFY unset"]
    assert found[REPORTS] == {"reports add": True, "reports": True, "reports --html": True,
                              "parsedmarc, silent": bool(shutil.which("parsedmarc"))}
    can_serve = not os.getuid() and not any("needs port 53" in line for line in run[0])
    assert found[CHECKING] == dict.fromkeys(("check", "check, no trials"), can_serve)
    assert found[LOG] == {"log": True, "log --since": True,
                          "mawk, only counts what is signed": bool(shutil.which("mawk"))}


def test_delivers_where_it_can(run):
    for title in ALONE[2::3]:
        assert sections(run[0])[title] == dict.fromkeys(
            (f"{way}, {kind}" for kind in ("a message each", "one message to all")
             for way in ("stock", "one-shot", "resident")), bool(rspawn_driver.original()))


def test_measures_a_real_qmail_where_it_can(run, monkeypatch):
    monkeypatch.syspath_prepend(f"{CHECKOUT}/benchmarks")
    import real_host
    obstacle = real_host.obstacle(os.path.realpath(sys.executable))
    for title in REAL:
        rows = sections(run[0])[title]
        assert {name for name in rows if name.startswith(("stock, ", "resident, "))}
        assert any(rows.values()) == (not obstacle)
        assert not obstacle or sum(line.endswith(obstacle) for line in run[0]) >= len(rows)


def test_gives_a_verdict_for_each_target_whose_rows_have_figures(run, targets):
    table = sections(run[0])
    having = [f"{target.bound} {target.limit:g} {target.unit}: "
              for target in targets.all_targets("2 MB", RECORDS, DOMAINS, 5)
              if table[target.section].get(target.row)]
    assert len(having) >= 8
    for words in having:
        assert any(words in line for line in run[0])


def test_draws_what_it_prints(run):
    table, path = run
    texts = [element.text for element in xml.etree.ElementTree.parse(path).iter(
        "{http://www.w3.org/2000/svg}text")]
    for title, rows in sections(table).items():
        assert title in texts
        assert rows.keys() < set(texts)
