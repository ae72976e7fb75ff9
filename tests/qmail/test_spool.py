# SPDX-License-Identifier: MIT
"""What is said where there is no room, or no place, for the copy of a message."""

import errno
import os
import resource
import signal

import pytest

from lib import maillog
from lib.errors import SpoolTrouble
from lib.qmail import spawn, spool
from lib.rspawn import deliveries

needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")


def trouble(function, *arguments):
    with pytest.raises(SpoolTrouble) as caught:
        function(*arguments)
    return str(caught.value)


@needs_proc
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_named():
    fd = os.open("/dev/full", os.O_WRONLY)
    try:
        said = trouble(spool.write, fd, b"x")
    finally:
        os.close(fd)
    assert said == ("unable to write a copy of the message in /dev: No space left on device; "
                    "remedy: make room there, or let TMPDIR name another directory")


@needs_proc
@pytest.mark.parametrize("size, where", [(spool.IN_MEMORY, "in memory"),
                                         (spool.IN_MEMORY + 1, "in {}")])
def test_a_limit_is_named(tmp_path, size, where):
    """In a child, whose limit it is."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            spool.write(spool.anonymous_file(size, lambda: str(tmp_path)), b"x" * 2000)
        except SpoolTrouble as said:
            os.write(write_end, str(said).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with open(read_end, encoding="ascii") as said:
        assert said.read() == (
            f"unable to write a copy of the message {where.format(tmp_path)}: File too large; "
            "remedy: raise the limit on the size of files (ulimit -f, softlimit -f)")
    os.waitpid(child, 0)


def test_no_directory_serves(tmp_path):
    said = trouble(spool.anonymous_file, spool.IN_MEMORY + 1, lambda: str(tmp_path / "none"))
    assert said.startswith(f"no place for a copy of the message: {tmp_path}/none: No such file")
    assert "; remedy: " in said and "TMPDIR" in said


@pytest.mark.parametrize("words, line", [
    (spawn.UNABLE_TO_FORK, "deferred: qmail-spawn unable to fork. (#4.3.0)"),
    (spawn.UNABLE_TO_PIPE, "deferred: qmail-spawn unable to create pipe. (#4.3.0)"),
    (spawn.deferral("no memory"), "deferred: no memory (#4.3.0)"),
    (deliveries.words_for_start("/x", OSError(errno.E2BIG, "")),
     "bounced: Unable to run qmail-remote."),
])
def test_a_delivery_that_was_not_started_has_a_line(monkeypatch, words, line):
    """Whatever kept it from that."""
    said = []
    monkeypatch.setattr(maillog, "warn", said.append)
    rspawn = deliveries.Rspawn.__new__(deliveries.Rspawn)
    monkeypatch.setattr(rspawn, "forget", lambda delivery: None, raising=False)
    monkeypatch.setattr(rspawn, "answer", lambda number, words: None, raising=False)
    rspawn.give_up(type("Delivery", (), {"number": 1}), words)
    assert said == [line]
