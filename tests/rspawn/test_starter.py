# SPDX-License-Identifier: MIT
"""Programs that are started by threads, and without them: the same, but for who waits."""

import errno
import os
import resource
import shutil
import signal
import sys

import pytest

from lib.rspawn import starter

SAYS = b"""
echo "$0 $*; $WORD"; cat; echo error >&2
"""


@pytest.fixture(params=["threads", "no threads"])
def made(request, monkeypatch):
    """-> a Starter, and the list to which it appends when a program is not started."""
    if request.param == "no threads":
        monkeypatch.setattr(starter.Starter, "start_threads", lambda self: 0)
    failed = []
    found = starter.Starter({"WORD": "\udcff", "PATH": os.environ["PATH"]}, [signal.SIGCHLD],
                            [signal.SIGXFSZ], lambda: failed.append(True))
    assert bool(found.threads) == (request.param == "threads")
    return found, failed


def output(found, path, arguments):
    """What a program writes that gets "input", and its wait status; an OSError's number."""
    message, given = os.pipe()
    report, written = os.pipe()
    os.write(given, b"input\n")
    os.close(given)
    found.start("it", path, arguments, (message, written))
    subject, process_id, error = found.next_result()
    os.close(message)
    os.close(written)
    assert subject == "it" and not found.in_progress
    with open(report, "rb") as file:
        text = file.read()
    return error or (text, os.waitpid(process_id, 0)[1])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning",
                            "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("dies", ["before our code", "in our code"])
def test_threads_that_die_at_their_start_are_not_counted_on(monkeypatch, dies):
    """For lack of memory, which Python tells nobody, or only descriptor 2."""
    if dies == "before our code":
        monkeypatch.setattr(starter._thread, "start_new_thread", lambda function, arguments: 1)
    else:
        monkeypatch.setattr(starter.Spawn, "file_actions", lambda self: bytes(1 << 62))
    monkeypatch.setattr(starter, "LONGEST_START", 0.1)
    found = starter.Starter({}, [], [], lambda: None)
    assert not found.threads
    assert output(found, "/bin/sh", [b"sh", b"-c", b"cat"]) == (b"input\n", 0)


def test_starts_a_program(made):
    found, failed = made
    text, status = output(found, "/bin/sh", [b"sh", b"-c", SAYS, b"qmail-remote", b"a", b"\xfe"])
    assert text == b"qmail-remote a \xfe; \xff\ninput\nerror\n" and status == 0
    assert not failed


def test_signals_are_as_the_original_qmail_rspawn_has_them(made):
    """By a program that does not change them, as a shell does.  32 and 33 are the C library's."""
    text, _ = output(made[0], shutil.which("grep"), [
        b"grep", b"-E", b"^Sig(Blk|Ign)", b"/proc/self/status"])
    blocked, ignored = (int(line[-8:], 16) for line in text.split(b"\n")[:2])
    assert blocked == 1 << signal.SIGCHLD - 1
    assert ignored & 1 << signal.SIGPIPE - 1 and not ignored & 1 << signal.SIGXFSZ - 1


@pytest.mark.parametrize("path, arguments, number", [
    ("/nonexistent", [b"x"], errno.ENOENT), ("/", [b"x"], errno.EACCES),
    ("/bin/true", [b"x", b"y" * 200_000], errno.E2BIG)])
def test_says_why_not(made, path, arguments, number):
    found, failed = made
    assert output(found, path, arguments) == number
    assert len(failed) <= 1 and bool(failed) == bool(found.threads)


def test_lacks_descriptors(made):
    """dup2() in the program that is to be, of a number that no file may have."""
    found, _ = made
    assert output(found, "/bin/true", [b"x"])[1] == 0
    found.start("it", "/bin/true", [b"x"], (resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1))
    assert found.next_result() == ("it", None, errno.EBADF)


def test_path_with_a_null_byte(made):
    found, _ = made
    with pytest.raises(ValueError):
        found.start("it", "/bin/true\0", [b"x"], (0, 1))
    assert not found.in_progress


def test_results_come_as_they_are_there(made):
    found, _ = made
    with open(os.devnull, "r+b") as null:
        for number in range(50):
            found.start(number, "/bin/true", [b"x"], (null.fileno(), null.fileno()))
        found.release()
        seen = {}
        while found.in_progress:
            for subject, process_id, error in found.results_so_far():
                seen[subject] = os.waitpid(process_id, 0)[1], error
    assert seen == dict.fromkeys(range(50), (0, 0))


def test_any_error_of_a_thread_is_a_result(monkeypatch):
    """And the thread goes on."""
    def fails(self, *arguments):
        raise next(errors)
    errors = iter([MemoryError(), RuntimeError("a bug"), OSError(errno.EAGAIN, "no process")])
    monkeypatch.setattr(starter.Spawn, "__call__", fails)
    found = starter.Starter({}, [], [], lambda: None)
    numbers = []
    for _ in range(3):
        found.start("it", "/bin/sh", [b"sh"], (0, 1))
        numbers.append(found.next_result()[1:])
    assert numbers == [(None, errno.ENOMEM), (None, errno.ENOMEM), (None, errno.EAGAIN)]


def test_without_ctypes_there_are_no_threads(monkeypatch):
    monkeypatch.setitem(sys.modules, "lib.c_library", None)
    assert starter.Starter({}, [], [], None).threads == 0


def test_what_could_not_be_asked_for_is_not_waited_for(made, monkeypatch):
    found, _ = made

    def no_memory(*arguments, **options):
        raise MemoryError
    monkeypatch.setattr(starter.process, "fsencode", no_memory)
    monkeypatch.setattr(os, "posix_spawn", no_memory)
    with pytest.raises(MemoryError):
        found.start("it", "/bin/true", [b"true"], (0, 1))
    assert not found.in_progress
