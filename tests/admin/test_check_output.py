# SPDX-License-Identifier: MIT
"""How check shows what it found: by domain, the worst first, and little with --quiet."""

import os

from lib.admin.findings import Finding, counts, grouped
from tests.support.administrator import DOMAIN, records
from tests.support.checked_host import host      # noqa: F401

FOUND = [Finding("ok", "resolver", "answers"), Finding("ok", "a", "1", domain="a.example"),
         Finding("warn", "b", "2", domain="b.example"), Finding("ok", "b", "3", "", "b.example"),
         Finding("FAIL", "c", "4", domain="c.example"), Finding("warn", "host", "5"),
         Finding("warn", "b", "6", domain="b.example")]


def test_groups():
    assert [(domain, [finding.text for finding in group]) for domain, group in grouped(FOUND)] == [
        ("c.example", ["4"]), ("", ["5", "answers"]), ("b.example", ["2", "6", "3"]),
        ("a.example", ["1"])]
    assert grouped(FOUND[1:2]) == [("a.example", FOUND[1:2])]
    assert counts(FOUND) == "1 FAIL, 3 warn, 3 ok"


def two_domains(host):
    """Gives the host a domain whose record is missing."""
    other = "other.example"
    made = records(host.keygen("s1", domain=other))
    host.zone.update({other: ["v=spf1 -all"], f"_dmarc.{other}": [
        f"v=DMARC1; p=none; rua=mailto:a@{other}"]})
    return other, made


def test_by_domain(host):
    other, _ = two_domains(host)
    done = host.run("check")
    blocks = [block.splitlines() for block in done.stdout.split("\n\n")]
    assert [block[0] for block in blocks] == [f"{other}:", "this host:", f"{DOMAIN}:"]
    for block in blocks:
        levels = [line[:4] for line in block[1:]]
        assert levels == sorted(levels, key=["FAIL", "warn", "ok  "].index)
    assert blocks[0][1].startswith(f"FAIL s1._domainkey.{other}: is not in the DNS")
    assert done.returncode == 2


def test_quiet(host):
    other, made = two_domains(host)
    done = host.run("check", "--quiet")
    lines = done.stdout.splitlines()
    assert done.returncode == 2 and not [line for line in lines if line.startswith("ok")]
    of_root = os.geteuid() == 0     # otherwise there is something to say of each key: its owner
    assert f"{other}:" in lines and (f"{DOMAIN}:" in lines) != of_root
    failed = [line for line in lines if line.startswith("FAIL")]
    assert lines[-1].startswith(f"{len(failed)} FAIL, ") and lines[-1].endswith(" ok")
    assert {finding["level"] for finding in host.all_findings("--quiet")} == {"FAIL", "warn"}


def test_quiet_where_all_is_well(host):
    """Only what receives mail is looked at, and nothing does here: cron has nothing to mail."""
    done = host.run("check", "--quiet", "--rspawn")
    assert (done.returncode, done.stdout) == (0, "")
