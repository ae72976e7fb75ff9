# SPDX-License-Identifier: MIT
"""Workers: what a connection does to one is nothing to the others."""

import ast
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from lib.verifyd import prefork
from tests.support import resident
from tests.support.processes import is_running

RETRY = 1

# Each connection says what becomes of its worker.
SERVER = """
import errno, os, resource, signal, socket, sys, time
sys.path.insert(0, {root!r})
from lib import maillog
from lib.errors import SettingTrouble
from lib.growth import in_addresses
from lib.verifyd import prefork
prefork.LONGEST, prefork.IDLE, prefork.MOST_CONNECTIONS = {longest}, 1, {most}
prefork.RETRY = {retry}
generation, grown, fork = 0, [], os.fork

def fork_if_allowed():
    if os.path.exists({no_more!r}):
        raise BlockingIOError(errno.EAGAIN, "no more processes")
    return fork()

os.fork = fork_if_allowed

if {late}:      # workers begin after their parent's end
    parent, restrict = os.getpid(), prefork.restrict

    def restrict_as_an_orphan():
        while os.getppid() == parent:
            time.sleep(0.02)
        restrict()

    prefork.restrict = restrict_as_an_orphan

def serve(connection):
    word = connection.recv(100)
    if word == b"loop":
        while True:
            pass
    elif word == b"one long step":
        pow(3, 10 ** 9)
    elif word == b"crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif word == b"exit":
        os._exit(3)
    elif word == b"raise":
        raise ValueError("of this message")
    elif word == b"memory":
        bytearray((2 << 30) - 1)    # more than it may have
    elif word == b"some memory":
        bytearray(128 << 20)
    elif word == b"addresses":
        connection.send(b"%d" % in_addresses())
        return
    elif word == b"limits":
        connection.send(repr([resource.getrlimit(getattr(resource, "RLIMIT_" + name))
                              for name in ("AS", "CORE", "NPROC", "NOFILE")]).encode())
        return
    elif word == b"grow":
        grown.append(b"x" * (20 << 20))
    elif word == b"fork":
        os.fork()
    elif word == b"slow":
        connection.send(b"begun")
        connection.recv(100)
    connection.send(b"%d %d" % (generation, os.getpid()))

def prepare():
    global generation
    generation += 1
    if os.path.exists({trouble!r}):
        raise SettingTrouble("this is no setting")
    return serve

if {by_syslog}:     # as under systemd: descriptor 2 is a socket, and the lines go to syslog
    import syslog
    log = os.open({log_path!r}, os.O_WRONLY | os.O_APPEND)
    syslog.syslog = lambda priority, text: os.write(log, text.encode() + os.linesep.encode())
    os.dup2(socket.socketpair()[0].detach(), 2)

listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listening.bind({path!r})
listening.listen(20)
prefork.Workers(listening, {number}, prepare).run()
"""


class Running(resident.Place):
    """longest: seconds for a connection, so many that a busy machine does not matter

    late: workers begin after their parent's end; by_syslog: descriptor 2 is a socket
    """

    def __init__(self, number=2, most=10_000, longest=120, prefix=(), late=False, by_syslog=False):
        self.number, self.most, self.longest, self.prefix = number, most, longest, prefix
        self.late, self.by_syslog = late, by_syslog

    def __enter__(self):
        super().__enter__()
        self.trouble = self.directory + "/trouble"
        self.no_more = self.directory + "/no-more-processes"
        self.log_path = self.directory + "/log"
        code = SERVER.format(root=resident.ROOT, path=self.path, number=self.number,
                             most=self.most, longest=self.longest, trouble=self.trouble,
                             no_more=self.no_more, late=self.late, retry=RETRY,
                             by_syslog=self.by_syslog, log_path=self.log_path)
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([*self.prefix, sys.executable, "-c", code],
                                            stderr=log)
        resident.until_true(lambda: "are ready" in self.log())
        return self

    def log(self):
        with open(self.log_path, encoding="ascii") as file:
            return file.read()

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()
        super().__exit__(*exception)

    def connect(self):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(resident.LONGEST_WAIT)
        connection.connect(self.path)
        return connection

    def say(self, word):
        """-> the answer, b"" for none."""
        with self.connect() as connection, contextlib.suppress(BrokenPipeError,
                                                               ConnectionResetError):
            connection.send(word)
            return connection.recv(100)
        return b""

    def wait_for_answer(self, start):
        """Waits until a connection is answered so: one that comes to a worker as it ends is not."""
        resident.until_true(lambda: self.say(b"hello").startswith(start))

    def workers(self):
        return resident.children(self.process.pid)

    def wait_for_a_new_worker(self, before):
        """Waits until one of two workers is replaced.  Returns the two.

        A worker that has exited is listed until its parent collects it, so two lists differ.
        """
        now = set()

        def is_replaced():
            nonlocal now
            now = self.workers()
            return len(now) == 2 and len(now & before) == 1

        resident.until_true(is_replaced, lambda: f"{before} became {now}\n{self.log()}")
        return now


TOO_LONG = "was killed by signal 14"

# word -> what the log says
FATAL = {
    b"loop": TOO_LONG,
    b"one long step": TOO_LONG,
    b"crash": "was killed by signal 11",
    b"exit": "failed",
    b"raise": "ValueError: of this message",
    b"memory": "MemoryError",
}


@pytest.mark.parametrize("word", FATAL)
def test_only_its_worker_goes(word):
    with Running(longest=1 if FATAL[word] == TOO_LONG else 120) as running:
        before = running.workers()
        assert running.say(word) == b""
        resident.until_true(lambda: FATAL[word] in running.log())
        running.wait_for_a_new_worker(before)
        for _ in range(4):
            running.wait_for_answer(b"1 ")


def test_others_are_served_meanwhile():
    with Running() as running, running.connect() as hanging:
        hanging.send(b"slow")
        assert hanging.recv(100) == b"begun"
        for _ in range(20):
            assert running.say(b"hello").startswith(b"1 ")
        hanging.send(b"go on")
        assert hanging.recv(100).startswith(b"1 ")


# The second is Linux's where longs have 32 bits and time_t has 64.
@pytest.mark.parametrize("option", [socket.SO_RCVTIMEO, pytest.param(
    66, marks=pytest.mark.skipif(sys.platform != "linux", reason="needs Linux"))])
def test_an_idle_worker_does_not_wait_for_ever(monkeypatch, option):
    monkeypatch.setattr(socket, "SO_RCVTIMEO", option)
    monkeypatch.setattr(prefork, "IDLE", 1)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        prefork.limit_waits(listening)
        with pytest.raises(BlockingIOError):
            listening.accept()


def limits(running):
    """Returns the (soft, hard) limits of a worker: memory, core, processes, descriptors."""
    return ast.literal_eval(running.say(b"limits").decode())


def test_limits():
    with Running() as running:
        memory, *others = limits(running)
        assert others == [(0, 0), (0, 0), (32, 32)]
        assert memory[0] == memory[1]
        assert 128 << 20 < memory[0] - int(running.say(b"addresses")) <= 256 << 20


@pytest.mark.skipif(not shutil.which("prlimit"), reason="needs prlimit")
def test_lower_limits_stay():
    with Running(prefix=("prlimit", "--as=209715200", "--nofile=20")) as running:
        assert limits(running) == [(200 << 20,) * 2, (0, 0), (0, 0), (20, 20)]


def test_a_worker_has_the_memory_for_a_message():
    """Whatever its Python has reserved before: a free-threaded one takes 1 GiB."""
    with Running() as running:
        assert running.say(b"some memory").startswith(b"1 ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may have any number of processes")
def test_no_new_processes():
    with Running() as running:
        assert running.say(b"fork") == b""
        resident.until_true(lambda: "BlockingIOError" in running.log())


@pytest.mark.parametrize("by_syslog", [False, True])
def test_no_process_for_a_worker(by_syslog):
    """The other one goes on, and the log says so once; then there are two again."""
    with Running(by_syslog=by_syslog) as running:
        open(running.no_more, "wb").close()
        assert running.say(b"crash") == b""
        resident.until_true(lambda: "no more processes; 1 of 2 go on" in running.log())
        for _ in range(4):
            running.wait_for_answer(b"1 ")
        time.sleep(3 * RETRY)
        assert running.process.poll() is None and len(running.workers()) == 1
        os.unlink(running.no_more)
        resident.until_true(lambda: "all 2 workers run again" in running.log())
        assert len(running.workers()) == 2
        assert running.log().count("unable to start a worker") == 1


def test_no_process_for_any_worker():
    """Clients would wait in vain; where nobody listens, they verify on their own."""
    with Running(number=1) as running:
        open(running.no_more, "wb").close()
        assert running.say(b"crash") == b""
        assert running.process.wait(resident.LONGEST_WAIT) != 0
        assert "Trouble: unable to start a worker: no more processes" in running.log()


def test_workers_are_renewed_now_and_then():
    with Running(number=1, most=5) as running:
        told = [running.say(b"hello") for _ in range(20)]
        assert len(set(told)) == 4
        assert "failed" not in running.log() and "killed" not in running.log()


def test_a_worker_that_has_grown_is_renewed():
    """What a message has left it with is given back."""
    with Running() as running:
        before = running.workers()
        _, process = map(int, running.say(b"grow").split())
        assert process in before
        assert process not in running.wait_for_a_new_worker(before)
        running.wait_for_answer(b"1 ")
        assert "failed" not in running.log() and "killed" not in running.log()


SIGNALS = [signal.SIGCHLD, signal.SIGALRM, signal.SIGTERM, signal.SIGHUP]


INHERITED = {
    "ignored": f"[signal.signal(number, signal.SIG_IGN) for number in {list(map(int, SIGNALS))}]",
    "blocked": f"signal.pthread_sigmask(signal.SIG_BLOCK, {list(map(int, SIGNALS))})"}


@pytest.mark.parametrize("how", INHERITED)
def test_signals_that_were_ignored_or_blocked_at_the_start(how):
    """As whoever starts it may have them."""
    prefix = [sys.executable, "-c", f"import os, signal, sys; {INHERITED[how]}; "
              "os.execv(sys.argv[1], sys.argv[1:])"]
    with Running(longest=1, prefix=prefix) as running:
        workers = running.workers()
        for word in b"crash", b"loop":
            assert running.say(word) == b""
            workers = running.wait_for_a_new_worker(workers)
        running.process.send_signal(signal.SIGHUP)
        resident.until_true(lambda: "read again" in running.log())
        running.wait_for_answer(b"2 ")
        running.process.terminate()
        assert running.process.wait(resident.LONGEST_WAIT) == 0


def test_term_finishes_what_has_begun():
    with Running() as running, running.connect() as connection:
        connection.send(b"slow")
        assert connection.recv(100) == b"begun"
        running.process.terminate()
        resident.until_true(lambda: len(running.workers()) == 1)
        connection.send(b"go on")
        assert connection.recv(100).startswith(b"1 ")
        assert running.process.wait(resident.LONGEST_WAIT) == 0
        with pytest.raises(ConnectionRefusedError):
            running.connect()


def test_hangup():
    with Running() as running, running.connect() as connection:
        before = running.workers()
        connection.send(b"slow")
        assert connection.recv(100) == b"begun"
        running.process.send_signal(signal.SIGHUP)
        resident.until_true(lambda: "read again" in running.log())
        running.wait_for_answer(b"2 ")
        resident.until_true(lambda: len(running.workers() & before) == 1)
        assert running.say(b"hello").startswith(b"2 ")
        connection.send(b"go on")
        assert connection.recv(100).startswith(b"1 ")
        resident.until_true(lambda: not running.workers() & before)
        with open(running.trouble, "wb"):
            running.process.send_signal(signal.SIGHUP)
        resident.until_true(lambda: "nothing is changed: this is no setting" in running.log())
        assert running.say(b"hello").startswith(b"2 ")


def test_workers_do_not_outlive_their_parent():
    with Running() as running:
        workers = running.workers()
        assert len(workers) == 2
        running.process.kill()
        running.process.wait()
        resident.until_true(lambda: not any(map(is_running, workers)))


def test_a_worker_that_first_runs_after_its_parent_s_end():
    """On a busy machine a parent may be killed before a new worker has its first turn."""
    with Running(late=True) as running:
        workers = running.workers()
        running.process.kill()
        running.process.wait()
        resident.until_true(lambda: not any(map(is_running, workers)))
