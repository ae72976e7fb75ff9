# SPDX-License-Identifier: MIT
"""The processes that sign, when they die or hang, and what is kept of what they signed."""

import os
import resource
import signal
import socket
import sys
import threading
import time

import pytest

from lib import keys, resident_signer, signed_messages, signing_worker
from tests import rspawn, rspawn_driver
from tests.rspawn_driver import MESSAGE, command, open_files, workers
from tests.test_resident_rspawn import DELIVERED, host, wait_until     # noqa: F401


def test_idle_worker_that_is_killed_costs_nothing(host):
    with host.ours() as running:
        for number in range(6, 10):
            assert running.deliver(1) == DELIVERED
            for worker in workers(running):
                os.kill(worker, signal.SIGKILL)
                wait_until(lambda: not os.path.exists(f"/proc/{worker}"))
            host.add(number, MESSAGE + b"%d\n" % number)
            assert running.deliver(2, b"0/%d" % number) == DELIVERED


@pytest.mark.parametrize("idle, kept", [(0, False), (60, True)])
def test_idle_worker_forgets_the_keys(monkeypatch, idle, kept):
    ours, workers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    monkeypatch.setattr(signing_worker, "SOCKET", workers.detach())
    monkeypatch.setattr(signing_worker, "IDLE", idle)
    monkeypatch.setattr(keys, "keep_loaded", False)
    monkeypatch.setattr(keys, "in_use", {b"a key file": None})
    closing = threading.Timer(0.3, ours.close)
    closing.start()
    signing_worker.serve()
    assert bool(keys.in_use) == kept


def test_busy_worker_that_is_killed_costs_one_deferral(host):
    with host.ours() as running:
        assert running.deliver(1) == DELIVERED
        (worker,) = workers(running)
        os.kill(worker, signal.SIGSTOP)
        host.add(6)
        running.send(b"".join(command(number, b"0/6") for number in range(10)))
        running.wait_until_read()
        time.sleep(0.1)     # the worker has its job, the other deliveries wait for it
        os.kill(worker, signal.SIGKILL)
        answers = sorted(words for _, words in running.answers(10))
        assert answers == [DELIVERED] * 9 + [b"Zqmail-rspawn: the signing process died (#4.3.0)\n"]


class FakeDelivery:
    """What resident_signer needs of a delivery."""

    def __init__(self, path):
        self.message = os.open(path, os.O_RDONLY)
        self.state = os.fstat(self.message)
        self.sender = b"joe@example.com"


@pytest.fixture
def signing(host, monkeypatch):
    """-> (a Signer, list of what became of its deliveries, {descriptor: callback})."""
    monkeypatch.setattr(sys, "argv", [str(rspawn_driver.PROGRAM)])
    monkeypatch.setattr(sys, "executable", rspawn.PYTHON)
    monkeypatch.setattr(os, "environ", host.environment)
    answers, watched = [], {}
    return resident_signer.Signer(
        lambda delivery, signed: answers.append("start"),
        lambda delivery, words: answers.append(words), watched.__setitem__, watched.pop
    ), answers, watched


def wait_for_answers(answers, watched, count):
    while len(answers) < count:
        for callback in list(watched.values()):
            callback()


def test_large_messages_share_a_process_while_there_are_any(host, signing, monkeypatch):
    signer, answers, watched = signing
    start, started = signing_worker.start, []
    monkeypatch.setattr(signing_worker, "start",
                        lambda descriptor: started.append(start(descriptor)) or started[-1])
    for number in (6, 7):
        host.add(number, MESSAGE + b"A line of a large message.\n" * 40_000)
        signer.sign(FakeDelivery(host.mess / "0" / str(number)))
        wait_for_answers(answers, watched, number - 5)
        assert answers[-1] == "start"
    for key in list(signer.kept.messages):
        signer.kept.drop(key)
    assert signer.is_busy()     # so that tick() will be called
    signer.tick()
    assert not signer.is_busy() and not watched
    (process,) = started
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0


def test_worker_that_hangs_costs_one_deferral(host, signing):
    signer, answers, watched = signing
    path = host.mess / "0" / "5"
    signer.sign(FakeDelivery(path))
    signer.sign(FakeDelivery(path))
    (worker,) = signer.workers[False]
    os.kill(worker.process_id, signal.SIGSTOP)
    signer.tick()
    assert answers == []
    worker.deadline = time.monotonic()
    signer.tick()
    assert answers == [b"Zqmail-rspawn: the signing process does not answer (#4.3.0)\n"]
    assert os.waitpid(worker.process_id, 0)[1] == signal.SIGKILL
    (worker,) = signer.workers[False]       # has the second delivery
    wait_for_answers(answers, watched, 2)
    assert answers[1] == "start"
    signer.dismiss(worker)
    os.waitpid(worker.process_id, 0)


def test_workers_hold_nothing_that_outlives_qmail_rspawn(host):
    with host.ours() as running:
        running.deliver(1)
        (worker,) = workers(running)
        files = open_files(worker)
        assert [files.pop(number) for number in range(3)] == ["/dev/null"] * 3
        assert list(files) == [signing_worker.SOCKET]
        running.process.kill()
        assert running.process.stdout.read() == b""
        wait_until(lambda: not os.path.exists(f"/proc/{worker}"))


def test_no_descriptor_is_left_open_and_what_is_kept_is_bounded(host):
    with host.ours() as running:
        assert running.deliver(1) == DELIVERED
        before = len(open_files(running.process.pid))
        for number in range(100, 100 + signed_messages.MOST + 20):
            host.add(number, MESSAGE + b"%d\n" % number)
            assert running.deliver(1, b"0/%d" % number) == DELIVERED
        assert len(open_files(running.process.pid)) == before + 2 * (signed_messages.MOST - 1)


def test_large_copies_kept_are_bounded(tmp_path):
    kept = signed_messages.Kept()
    if not kept.keeps:
        pytest.skip("needs /proc")
    size = signed_messages.MOST_BYTES // 4
    for number in range(10):
        copy = os.open(tmp_path, os.O_TMPFILE | os.O_RDWR)
        kept.add(number, signed_messages.SignedMessage(
            os.dup(copy), copy, size * 5 if number == 9 else size, [], {}, 60))
        assert list(kept.messages) == ([9] if number == 9 else
                                       list(range(max(0, number - 3), number + 1)))
    assert kept.bytes == size * 5
    kept.drop(9)
    assert kept.bytes == 0


def test_signatures_get_old(tmp_path):
    kept = signed_messages.Kept()
    fd = os.open("/dev/null", os.O_RDONLY)
    kept.add("key", signed_messages.SignedMessage(fd, None, 0, [], {}, 0))
    assert kept.get("key") is None and not kept.messages


@pytest.mark.parametrize("expire, lifetime", [("", 60), ("100", 10), ("900000", 60)])
def test_kept_for_a_tenth_of_its_validity_at_most(expire, lifetime):
    settings = signed_messages.NotedSettings({"DKIMEXPIRE": expire})
    assert signing_worker.lifetime(settings) == lifetime


def test_without_proc_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(signed_messages, "OPEN_AGAIN", "/nonexistent/")
    copy = os.open(tmp_path, os.O_TMPFILE | os.O_RDWR)
    signed = signed_messages.SignedMessage(os.dup(copy), copy, 0, [], {}, 60)
    os.close(signed.open_copy())
    kept = signed_messages.Kept()
    kept.add("key", signed)
    assert not kept.messages
    with pytest.raises(OSError):
        os.fstat(copy)


def test_no_other_message_gets_the_inode_number_of_one_that_is_kept(host):
    """On file systems with stamps of whole seconds it might else be sent in its place."""
    with host.ours() as running:
        assert running.deliver(1) == DELIVERED
        path = host.mess / "0" / "5"
        path.unlink()
        assert f"{path} (deleted)" in open_files(running.process.pid).values()


def test_copy_that_gets_lost_on_the_way_is_not_sent_unsigned():
    """Where no descriptor is left, the system drops what a socket brings."""
    worker = object.__new__(signing_worker.Worker)
    worker.socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with worker.socket, other:
        signing_worker.Reply("", os.open(os.devnull, os.O_RDONLY), [], {}, 60).send(other)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
        try:
            reply = worker.receive()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert reply.copy is None and "no descriptor is left" in reply.trouble
