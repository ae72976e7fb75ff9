# SPDX-License-Identifier: MIT
"""What check and status say of the memory of those that sign, and of room for large messages."""

import os
import resource
import subprocess
import sys

import pytest

from lib import settings
from lib.admin import check_sending, running as admin_running
from lib.qmail import spool
from tests.support.memory import ADVISED

MB = 1_000_000

needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/limits"), reason="needs /proc")

# A free-threaded Python signed with 52 MiB of addresses, but not with 51.
MORE = 33 * MB if "t" in sys.abiflags else 0
LIMITS = {
    ("RLIMIT_AS", 12 * MB + MORE): "FAIL", ("RLIMIT_AS", 66 * MB + MORE): "warn",
    ("RLIMIT_AS", ADVISED): "ok", ("RLIMIT_DATA", 4 * MB): "FAIL",
    ("RLIMIT_DATA", 40 * MB + MORE): "warn", ("RLIMIT_DATA", ADVISED): "ok",
}


@needs_proc
@pytest.mark.parametrize("limit", LIMITS, ids=str)
def test_memory(limit):
    kind, value = limit
    with subprocess.Popen(
            ["/bin/sh", "-c", "echo; read line"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            preexec_fn=lambda: resource.setrlimit(getattr(resource, kind),
                                                  (value, value))) as process:
        process.stdout.readline()
        running = admin_running.Rspawn(process.pid, {}, None)
        ((level, subject, text, remedy, _),) = check_sending.memory_findings(running)
    assert level == LIMITS[limit] and subject == f"qmail-rspawn (process {process.pid})"
    assert level == "ok" or (f"may take {value} bytes of memory" in text
                             and f"softlimit -m {ADVISED} " in remedy)
    assert ("mail is deferred" in text) == (level == "FAIL")
    assert check_sending.memory_findings(running) == []         # it has ended
    assert check_sending.memory_findings(None) == []


# free MB of the place -> level
ROOM = {0: "FAIL", 10: "FAIL", 50: "warn", 500: "ok"}


class State:
    f_frsize = 4096

    def __init__(self, megabytes):
        self.f_bavail = (megabytes << 20) // self.f_frsize


@pytest.mark.parametrize("megabytes", ROOM)
def test_room(monkeypatch, megabytes):
    monkeypatch.setattr(os, "statvfs", lambda path: State(megabytes))
    ((level, subject, text, remedy, _),) = room()
    assert (level, subject) == (ROOM[megabytes], spool.DIRECTORIES[0])
    assert text.startswith(f"has {megabytes} MB free") and ("deferred" in text) == (level != "ok")
    assert level == "ok" or remedy.startswith("make room there, or let TMPDIR")


def room(environment=None):
    return check_sending.room_findings(settings.Settings(environment or {}))


def test_the_place_is_the_signers(tmp_path, monkeypatch):
    """TMPDIR; else the first of the usual ones that can be written to."""
    ((_, subject, *_),) = room({"TMPDIR": str(tmp_path)})
    assert subject == str(tmp_path) or os.geteuid() == 0
    assert room({"TMPDIR": "relative"}) == []       # it is among the findings on settings
    monkeypatch.setattr(spool, "DIRECTORIES", (str(tmp_path / "none"), "/tmp"))
    ((_, subject, *_),) = room()
    assert subject == "/tmp"


def test_nowhere_to_write(tmp_path):
    ((level, subject, text, *_),) = room({"TMPDIR": str(tmp_path / "none")})
    assert (level, subject) == ("FAIL", str(tmp_path / "none"))
    assert ("can't be written to by qmail-remote's user, so mail over 1048576 bytes is deferred"
            in text)
