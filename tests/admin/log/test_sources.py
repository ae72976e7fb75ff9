# SPDX-License-Identifier: MIT
"""qmail-dk log: which files it reads, and what it says of those it can't."""

import gzip
import os
import tempfile
import time

import pytest

from lib.admin import account, log_verb, start_scripts
from lib.admin.log import reading, sources
from tests.support.administrator import admin       # noqa: F401
from tests.support.read_log import CLASSIC, SIGNED, TAI64N, VERIFIED, Log

LINE = (CLASSIC + "qmail-remote-dk[4711]: " + SIGNED + "\n").encode()
OTHER = (TAI64N + "qmail-qfilter-verify: " + VERIFIED + "\n").encode()


@pytest.fixture
def log(admin):
    return Log(admin)


def signed(sums):
    return sum(row["messages"] for row in sums["keys"]["rows"])


def verified(sums):
    return sum(row["messages"] for row in sums["verdicts"]["rows"])


@pytest.fixture
def multilog(log):
    """A directory as multilog, svlogd and s6-log leave it: five lines."""
    directory = log.admin.directory / "smtpd"
    directory.mkdir()
    for name in ("@400000006b0c538b0a0b0c0d.s", "@400000006b0c538b0a0b0c0e.u", "current"):
        (directory / name).write_bytes(OTHER)
    (directory / "current").write_bytes(OTHER * 3)
    for name in ("state", "lock", "newstate", "@400000006b0c538b0a0b0c0f.t", "config"):
        (directory / name).write_bytes(OTHER)
    return directory


def test_several(log, multilog):
    log.write(LINE, LINE)
    (log.admin.directory / "mail.log.2.gz").write_bytes(gzip.compress(LINE * 5))
    sums = log.sums(log.path, log.admin.directory / "mail.log.2.gz", multilog)
    assert (signed(sums), verified(sums)) == (7, 5)
    assert len(sums["files"]) == 5


def test_a_file_named_twice_counts_once(log, multilog):
    log.write(LINE, LINE)
    link = log.admin.directory / "link"
    link.symlink_to(log.path)
    assert signed(log.sums(log.path, link, log.path)) == 2
    assert verified(log.sums(multilog, multilog / "current", multilog)) == 5


def test_standard_input(log):
    for text in (LINE * 3, gzip.compress(LINE) + gzip.compress(LINE * 2)):
        assert "3 signed" in log.admin.succeed("log", "-", stdin=text)
    assert "0 signed" in log.admin.succeed("log", "-")


def test_gzip_of_several_members(log):
    log.path.write_bytes(b"".join(gzip.compress(LINE[:50]) + gzip.compress(LINE[50:])
                                  for _ in range(3)) + b"\0" * 100_000)
    assert signed(log.sums()) == 3
    log.path.write_bytes(gzip.compress((LINE + b"x" * 500 + b"\n") * 20_000, 1))
    assert signed(log.sums()) == 20_000


def test_while_it_is_rotated(multilog):
    """multilog renames the current file between two of our steps; nothing counts twice."""
    read = reading.Reading()
    seen = set()
    files = sources.files(str(multilog))
    read.read(sources.opened(next(files), seen))
    os.rename(multilog / "current", multilog / "@400000006b0c538b0a0b0c10.s")
    (multilog / "current").write_bytes(OTHER)
    for path in files:
        source = sources.opened(path, seen)
        if source:
            read.read(source)
    assert read.sums.verdicts.total() == 5


# What makes a file that can't be read -> (words, lines that are read of it)
def missing(path):
    path.unlink()


def directory(path):
    path.unlink()
    path.mkdir()


def fifo(path):
    path.unlink()
    os.mkfifo(path)


def packed(program, start):
    def change(path):
        path.write_bytes(start + b"rest")
    change.__name__ = program
    return change


def cut_gzip(path):
    noise = os.urandom(100_000)
    path.write_bytes(gzip.compress(b"x\n" + LINE * 4 + noise)[:-90_000])


def damaged_gzip(path):
    path.write_bytes(gzip.compress(LINE * 4) + b"rubbish behind it")


def wrong_sum(path):
    data = gzip.compress(LINE * 4)
    path.write_bytes(data[:-8] + b"\0" * 8)


UNREADABLE = [
    (missing, "there is no such file", 0), (directory, "so {} is no directory of multilog", 0),
    (fifo, "it is not a file", 0), (packed("xzcat", b"\xfd7zXZ\0"), "xzcat {} | qmail-dk log -", 0),
    (packed("bzcat", b"BZh9"), "it is packed", 0),
    (packed("zstdcat", b"\x28\xb5\x2f\xfd"), "it is packed", 0),
    (cut_gzip, "it is cut short: the rest is missing", 4),
    (damaged_gzip, "it is damaged", 4), (wrong_sum, "it is damaged", 0),
]


@pytest.mark.parametrize("change, words, lines", UNREADABLE,
                         ids=lambda value: getattr(value, "__name__", None))
def test_unreadable(log, change, words, lines):
    """One line, and the others are read."""
    good = log.write(LINE, name="good")
    bad = log.write(LINE, name="bad")
    change(bad)
    page = log.admin.directory / "page.html"
    for arguments in ((bad, good), (good, bad)):
        done = log.admin.run("log", *arguments)
        assert done.returncode == 1 and f"sent: {1 + lines} signed" in done.stdout
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"qmail-dk: {bad}") and words.format(bad) in line
    done = log.admin.run("log", bad, "--html", page)
    assert done.returncode == 1 and page.exists() == bool(lines)
    assert bool(log.admin.run("log", bad).stdout) == bool(lines)


@pytest.mark.root
def test_no_right_to_read(capsys):
    """A file that is closed to this user is named; the others of its directory are read."""
    if os.getuid():
        pytest.skip("needs to be root, which gives its rights up")
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        for name, mode in (("current", 0o644), ("@1.s", 0), ("@2.s", 0o644)):
            path = f"{directory}/{name}"
            with open(path, "wb") as file:
                file.write(OTHER)
            os.chmod(path, mode)
        read = reading.Reading()
        with account.eyes_of(account.Account(65534, 65534)):
            assert log_verb.read_all(read, [directory], sources) == 1
    assert read.sums.verdicts.total() == len(read.names) == 2
    assert capsys.readouterr().err == f"qmail-dk: {directory}/@1.s: Permission denied\n"


def test_a_page_that_can_not_be_written(log):
    log.write(LINE)
    for path in ("/nonexistent/page.html", log.admin.directory):
        assert str(path) in log.admin.refused("log", log.path, "--html", path)


@pytest.mark.parametrize("arguments, words", [
    (["--json", "--html", "x"], "not allowed with"), (["--nothing"], "unrecognized arguments"),
    (["--since"], "expected one argument")])
def test_misuse(log, arguments, words):
    assert words in log.admin.refused("log", *arguments)


# The lines of log/run -> directories, from that of the script
LOGGERS = {
    "exec multilog t ./main": ["main"],
    "exec setuidgid qmaill /usr/bin/multilog t n20 ./main '-*' '+* x' ./refused": ["main"],
    "exec setuidgid qmaill multilog t s1000 \\\n  n20 /var/log/qmail/smtpd 2>&1":
        ["/var/log/qmail/smtpd"],
    "if command -v multilog >/dev/null; then\nexec multilog t './main'\nfi\n"
    "exec chpst svlogd -tt .": ["main", "."],
    "exec s6-log -b n20 s1000000 T /var/log/smtpd": ["/var/log/smtpd"],
    "# multilog t ./main\nexec multilog t $LOGDIR": [],
    "exec splogger smtpd": [],
}


@pytest.mark.parametrize("text", LOGGERS)
def test_directories_of_services(tmp_path, monkeypatch, text):
    monkeypatch.setattr(start_scripts, "PLACES", (f"{tmp_path}/service/*/run",))
    for name, run in (("qmail", "exec qmail-start ./Mailbox"),
                      ("smtpd", "exec tcpserver 0 smtp /var/qmail/bin/qmail-smtpd"),
                      ("off", "# exec tcpserver 0 smtp qmail-smtpd")):
        directory = tmp_path / "service" / name / "log"
        directory.mkdir(parents=True)
        (directory.parent / "run").write_text(f"#!/bin/sh\n{run}\n")
        (directory / "run").write_text(f"#!/bin/sh\n{text}\n")
    own = f"{tmp_path}/service/smtpd/log"
    assert start_scripts.log_directories("/var/qmail") == [
        os.path.normpath(os.path.join(own, name)) for name in LOGGERS[text]]


def test_usual_places(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "SYSLOG", (f"{tmp_path}/mail.log", f"{tmp_path}/maillog"))
    with pytest.raises(sources.RequestTrouble, match="journalctl"):
        sources.usual([f"{tmp_path}/main"], None)
    now = time.time()
    for name, days in (("mail.log", 0), ("mail.log.1", 1), ("mail.log.2.gz", 8),
                       ("mail.log-20261101", 3), ("other", 0), ("main", 0)):
        (tmp_path / name).write_bytes(LINE)
        os.utime(tmp_path / name, (now - days * 86400,) * 2)
    found = [f"{tmp_path}/{name}" for name in ("mail.log.1", "mail.log-20261101", "mail.log",
                                              "main")]
    assert sources.usual([f"{tmp_path}/main"], None) == found[2:]
    assert sorted(sources.usual([f"{tmp_path}/main"], now - 4 * 86400)) == sorted(found)


def test_no_arguments(log):
    """Says which files it has read; on a host without a log, what to do."""
    done = log.admin.run("log")
    if done.returncode == 100:
        assert done.stderr.startswith("qmail-dk: there is no log in the usual places; remedy: ")
    else:
        assert done.stdout.partition(": ")[2].startswith("/") or done.stderr
