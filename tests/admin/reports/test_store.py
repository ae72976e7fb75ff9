# SPDX-License-Identifier: MIT
"""The database of qmail-dk reports: each report once, whole, and none lost."""

import gzip
import os
import resource
import sqlite3
import subprocess
import time

import pytest

from lib.admin.reports import store
from tests.support import aggregate_reports
from tests.support.administrator import Administrator, admin        # noqa: F401
from tests.support.aggregate_reports import BEGIN, DAY, record, report
from tests.support.install_driver import NOBODY, directory      # noqa: F401

ADDED = "1 report added, of 1 message\n"
TWICE = "0 reports added, of 0 messages\n1 report had been added before\n"


@pytest.fixture
def reports(admin):
    return aggregate_reports.Reports(admin)


def total(reports):
    return sum(domain["messages"] for domain in reports.sums()["domains"])


@pytest.mark.parametrize("change, added", [
    ({}, False), ({"policy": "reject"}, False), ({"form": 9990}, False),
    ({"organization": "another.example"}, True), ({"identifier": "r2"}, True),
    ({"begin": BEGIN - 1}, True), ({"end": BEGIN + DAY}, True), ({"domain": "a.example.com"}, True),
], ids=lambda value: str(value))
def test_the_same_report_counts_once(reports, change, added):
    assert reports.added(report()) == ADDED
    assert reports.added(report(**change)) == (ADDED if added else TWICE)
    assert total(reports) == 1 + added


def test_domains(reports):
    """Those with a key here, those below them, and those that are named."""
    others = "1 report not kept, on domains without a key here: {}; --domain accepts one\n"
    for domain in "example.net", "notexample.com", "com.example":
        said = reports.added(report(domain=domain))
        assert said == "0 reports added, of 0 messages\n" + others.format(domain)
    assert reports.added(report(domain="a.b.example.com")) == ADDED
    assert reports.added(report(domain="example.net"), "--domain", "Example.NET.") == ADDED
    assert reports.add("--domain", "x/y", stdin=report()).returncode == 100
    names = [row["domain"] for row in reports.sums()["domains"]]
    assert names == ["a.b.example.com", "example.net"]


def test_many_other_domains(reports):
    directory = reports.admin.directory / "files"
    directory.mkdir()
    for number in range(8):
        (directory / f"{number}").write_bytes(report(domain=f"d{number}.example"))
    (directory / "more").write_bytes(report(domain="d7.example", identifier="r2"))
    assert reports.add(directory).stdout.splitlines()[1] == (
        "9 reports not kept, on domains without a key here: d7.example, d0.example, d1.example, "
        "d2.example, d3.example and 3 more; --domain accepts one")


def test_keys_that_can_not_be_seen(reports):
    """A user who may not look there has to name the domains; nothing is dropped."""
    if os.geteuid() == 0:
        reports.admin.environment["DKSIGN"] = "/nowhere/%/default"
    else:
        reports.admin.keys.chmod(0)
    try:
        done = reports.add(stdin=report())
        assert done.returncode == 111 and "remedy: name the domains by --domain" in done.stderr
        assert reports.added(report(), "--domain", "example.com") == ADDED
    finally:
        reports.admin.keys.chmod(0o755)


def test_files(reports):
    place = reports.admin.directory / "mail"
    for name in "Maildir/new", "Maildir/cur", "Maildir/tmp", "tmp":
        (place / name).mkdir(parents=True)
    for number, name in enumerate([
            "Maildir/new/1", "Maildir/cur/2:2,S", "Maildir/tmp/3", "tmp/4.gz", "5.xml"]):
        (place / name).write_bytes(report(identifier=f"r{number}"))
    (place / "Maildir/new/6").write_bytes(b"Subject: no report\n\nHello.\n")
    (place / "link").symlink_to(place / "5.xml")
    done = reports.add(place)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "4 reports added, of 4 messages\n"


def test_a_file_that_is_no_good(reports):
    """The others are added."""
    bad, good = reports.admin.directory / "bad\x1b", reports.admin.directory / "good"
    bad.write_bytes(b"Subject: no report\n\nHello.\n")
    good.write_bytes(report())
    done = reports.add(bad, good)
    assert (done.returncode, done.stdout) == (1, ADDED)
    assert done.stderr == f"qmail-dk: {reports.admin.directory}/bad\\x1b: nothing added: " \
        "there is no aggregate report in it\n"
    done = reports.add(reports.admin.directory / "none")
    assert done.returncode == 111 and done.stderr.endswith("none: No such file or directory\n")


def test_a_pipe_that_brings_one_byte_first(reports):
    process = subprocess.Popen(
        [str(reports.admin.command), "reports", "add", "--database", reports.database],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=reports.admin.environment, bufsize=0)
    content = gzip.compress(report())
    process.stdin.write(content[:1])
    time.sleep(0.5)     # it has read that
    process.stdin.write(content[1:])
    process.stdin.close()
    assert (process.stdout.read().decode(), process.wait()) == (ADDED, 0)


def test_several_deliveries_at_once(reports):
    """The first of them make the database."""
    command = [str(reports.admin.command), "reports", "add", "--database", reports.database]
    processes = []
    for number in range(24):
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, env=reports.admin.environment)
        processes.append((process, report(record(count=10), identifier=f"r{number // 2}")))
    for process, content in processes:
        process.stdin.write(content)
        process.stdin.close()
    said = [(process.stdout.read(), process.wait()) for process, _ in processes]
    added = b"1 report added, of 10 messages\n"
    assert sorted(said) == [(TWICE.encode(), 0)] * 12 + [(added, 0)] * 12
    assert total(reports) == 120


@pytest.fixture
def large():
    """A report that is written before it is read to its end."""
    return report(*[record(f"10.{number >> 8}.{number & 255}.1")
                    for number in range(3 * store.MOST_HELD)])


def test_a_large_report(reports, large):
    assert reports.added(large) == "1 report added, of 15,000 messages\n"
    assert total(reports) == 15_000
    assert reports.added(large) == TWICE
    cut = large[:-100].replace(b"<report_id>r1", b"<report_id>r2")
    assert "not XML" in reports.add(stdin=cut).stderr
    assert total(reports) == 15_000
    assert reports.added(large.replace(b"<report_id>r1", b"<report_id>r2")).startswith("1 report")


def failed(reports, stdin=None, **options):
    """Adds a report, which must be tried again.  Returns the line that is said."""
    done = reports.add(stdin=stdin or report(identifier="r9"), **options)
    assert (done.returncode, done.stdout) == (111, ""), done
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"qmail-dk: {reports.database}: ") and "; remedy: " in line
    return line


def test_locked(reports, monkeypatch):
    reports.added(report())
    other = sqlite3.connect(reports.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(store, "WAIT", 0.1)
    opened = store.Store(str(reports.database), True)
    with pytest.raises(store.StoreTrouble, match="locked; remedy: it is tried again"):
        opened.addition(a_report()).__enter__().write()
    opened.close()
    assert total(reports) == 1      # who reads does not wait
    other.execute("COMMIT")
    assert reports.added(report(identifier="r2")) == ADDED


def a_report():
    from lib.admin.reports.aggregate import Report
    return Report("a", "b", BEGIN, BEGIN + 1, "example.com", "none")


def test_full(reports, large):
    reports.added(report())
    at = reports.database.stat().st_size + 8192

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (at, at))

    failed(reports, large.replace(b"<report_id>r1", b"<report_id>r9"), preexec_fn=limit)
    assert total(reports) == 1
    assert reports.added(large.replace(b"<report_id>r1", b"<report_id>r9")).startswith("1 report")


@pytest.mark.parametrize("damage", [
    b"garbage" * 1000, b"SQLite format 3\0" + b"\xff" * 5000, b"\0" * 8192])
def test_damaged(reports, damage):
    reports.database.write_bytes(damage)
    assert "remedy: move it away" in failed(reports)
    assert reports.database.read_bytes() == damage
    done = reports.admin.run("reports", "--database", reports.database)
    assert done.returncode == 111 and len(done.stderr.splitlines()) == 1


def test_a_damaged_page(reports, large):
    reports.added(large)
    content = bytearray(reports.database.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    reports.database.write_bytes(content)
    assert "malformed" in failed(reports)


def test_another_database(reports):
    other = sqlite3.connect(reports.database)
    other.executescript("CREATE TABLE reports (a)")
    other.close()
    before = reports.database.read_bytes()
    assert "is not a database of reports" in failed(reports)
    assert reports.database.read_bytes() == before


def test_a_newer_version(reports):
    reports.added(report())
    other = sqlite3.connect(reports.database)
    other.execute("PRAGMA user_version = 99")
    other.close()
    assert "another version" in failed(reports)


def test_no_directory(reports):
    reports.place.rmdir()
    assert "No such file or directory" in failed(reports)


def test_permissions(reports):
    reports.added(report())
    assert reports.database.stat().st_mode & 0o777 == 0o600


@pytest.fixture
def shared(directory):
    """Reports whose directory belongs to another user, and can be entered by him."""
    reports = aggregate_reports.Reports(Administrator(directory))
    os.chown(reports.place, NOBODY, NOBODY)
    return reports


@pytest.mark.root
def test_root_works_as_the_owner_of_the_directory(shared):
    """So the user who adds reports can still write, and leads root nowhere."""
    reports = shared
    assert reports.added(report()) == ADDED
    assert reports.database.stat().st_uid == NOBODY
    reports.show()
    assert {path.stat().st_uid for path in reports.place.iterdir()} == {NOBODY}
    secret = reports.admin.directory / "secret"
    reports.database.rename(secret)
    os.chown(secret, 0, 0)
    for path in reports.place.iterdir():
        path.unlink()
    reports.database.symlink_to(secret)
    assert "remedy: see that" in failed(reports)
    assert reports.admin.run("reports", "--database", reports.database).returncode == 111


@pytest.mark.root
def test_read_only(shared):
    shared.added(report())
    for path in shared.place.iterdir():
        path.chmod(0o400)
    shared.place.chmod(0o555)
    assert "Permission denied; remedy: see that its directory exists" in failed(shared)
