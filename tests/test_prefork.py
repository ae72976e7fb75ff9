# SPDX-License-Identifier: MIT
"""Workers: what a connection does to one is nothing to the others."""

import contextlib
import os
import signal
import socket
import subprocess
import sys

import pytest

from tests import resident

# Each connection says what becomes of its worker.
SERVER = """
import os, signal, socket, sys, time
sys.path.insert(0, {root!r})
from lib import maillog, prefork
from lib.errors import SettingTrouble
prefork.LONGEST, prefork.IDLE, prefork.MOST_CONNECTIONS = 1, 1, {most}
generation = 0

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
    elif word == b"fork":
        os.fork()
    elif word == b"slow":
        connection.send(b"begun")
        time.sleep(0.7)
    connection.send(b"%d %d" % (generation, os.getpid()))

def prepare():
    global generation
    generation += 1
    if os.path.exists({trouble!r}):
        raise SettingTrouble("this is no setting")
    return serve

listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listening.bind({path!r})
listening.listen(20)
prefork.Workers(listening, {number}, prepare).run()
"""


class Running(resident.Place):
    def __init__(self, number=2, most=10_000):
        self.number, self.most = number, most

    def __enter__(self):
        super().__enter__()
        self.trouble = self.directory + "/trouble"
        self.log_path = self.directory + "/log"
        code = SERVER.format(root=resident.ROOT, path=self.path, number=self.number,
                             most=self.most, trouble=self.trouble)
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([sys.executable, "-c", code], stderr=log)
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
        connection.settimeout(20)
        connection.connect(self.path)
        return connection

    def say(self, word):
        with self.connect() as connection:
            connection.send(word)
            with contextlib.suppress(ConnectionResetError):
                return connection.recv(100)
            return b""

    def workers(self):
        return resident.children(self.process.pid)


# word -> what the log says
FATAL = {
    b"loop": "was killed by signal 14",
    b"one long step": "was killed by signal 14",
    b"crash": "was killed by signal 11",
    b"exit": "failed",
    b"raise": "ValueError: of this message",
    b"memory": "MemoryError",
}


@pytest.mark.parametrize("word", FATAL)
def test_only_its_worker_goes(word):
    with Running() as running:
        before = running.workers()
        assert running.say(word) == b""
        resident.until_true(lambda: FATAL[word] in running.log())
        resident.until_true(lambda: len(running.workers()) == 2
                            and len(running.workers() & before) == 1)
        for _ in range(4):
            assert running.say(b"hello").startswith(b"1 ")


def test_others_are_served_meanwhile():
    with Running() as running, running.connect() as hanging:
        hanging.send(b"loop")
        for _ in range(20):
            assert running.say(b"hello").startswith(b"1 ")
        with contextlib.suppress(ConnectionResetError):
            assert hanging.recv(100) == b""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may have any number of processes")
def test_no_new_processes():
    with Running() as running:
        assert running.say(b"fork") == b""
        resident.until_true(lambda: "BlockingIOError" in running.log())


def test_workers_are_renewed_now_and_then():
    with Running(number=1, most=5) as running:
        told = [running.say(b"hello") for _ in range(20)]
        assert len(set(told)) == 4
        assert "failed" not in running.log() and "killed" not in running.log()


def test_term_finishes_what_has_begun():
    with Running() as running, running.connect() as connection:
        connection.send(b"slow")
        assert connection.recv(100) == b"begun"
        running.process.terminate()
        assert connection.recv(100).startswith(b"1 ")
        assert running.process.wait(20) == 0
        with pytest.raises(ConnectionRefusedError):
            running.connect()


def test_hangup():
    with Running() as running, running.connect() as connection:
        before = running.workers()
        connection.send(b"slow")
        assert connection.recv(100) == b"begun"
        running.process.send_signal(signal.SIGHUP)
        resident.until_true(lambda: "read again" in running.log())
        assert running.say(b"hello").startswith(b"2 ")
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


def is_running(process):
    try:
        with open(f"/proc/{process}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
