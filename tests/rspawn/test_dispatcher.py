# SPDX-License-Identifier: MIT
"""The processes that sign, when they die, hang or lack something."""

import errno
import os
import resource
import shutil
import signal
import socket
import threading
import time

import pytest

from lib import growth
from lib.qmail import spool
from lib.rspawn import signed_messages, wire, worker as signing_worker, worker_main
from lib.signing import key_files
from tests.support import rspawn_driver
from tests.support.dispatching import (      # noqa: F401
    FakeDelivery, kept, signing, wait_for_answers,
)
from tests.support.processes import is_running, resident_size
from tests.support.resident_signer import DELIVERED, host, wait_until      # noqa: F401
from tests.support.rspawn_driver import (
    MESSAGE, command, files_opened_by_us, kill, open_files, workers,
)


def test_idle_worker_that_is_killed_costs_nothing(host):
    with host.ours() as running:
        for number in range(6, 10):
            assert running.deliver(1) == DELIVERED
            for worker in workers(running):
                kill(running, worker)
            host.add(number, MESSAGE + b"%d\n" % number)
            assert running.deliver(2, b"0/%d" % number) == DELIVERED


@pytest.mark.parametrize("idle, kept", [(0, False), (600, True)])
def test_idle_worker_forgets_the_keys(monkeypatch, idle, kept):
    """It ends when the other side closes; that side waits, but not for what is not to be."""
    ours, workers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    monkeypatch.setattr(wire, "SOCKET", workers.detach())
    monkeypatch.setattr(worker_main, "IDLE", idle)
    monkeypatch.setattr(key_files, "keep_loaded", False)
    monkeypatch.setattr(key_files, "in_use", {b"a key file": None})

    def close():
        end = time.monotonic() + (0.3 if kept else rspawn_driver.LONGEST_WAIT)
        while key_files.in_use and time.monotonic() < end:
            time.sleep(0.01)
        ours.close()
    closing = threading.Thread(target=close)
    closing.start()
    worker_main.serve()
    closing.join()
    assert bool(key_files.in_use) == kept


def test_busy_worker_that_is_killed_costs_one_deferral(host):
    with host.ours() as running:
        assert running.deliver(1) == DELIVERED
        (worker,) = workers(running)
        os.kill(worker, signal.SIGSTOP)
        host.add(6)
        running.send(b"".join(command(number, b"0/6") for number in range(10)))
        running.wait_until_idle()   # the worker has its job, the other deliveries wait for it
        os.kill(worker, signal.SIGKILL)
        answers = sorted(words for _, words in running.answers(10))
        assert answers == [DELIVERED] * 9 + [b"Zqmail-rspawn: the signing process died (#4.3.0)\n"]


def test_worker_that_has_grown_is_replaced(host):
    """A header of many fields leaves it with tens of MiB; no delivery sees that it goes.

    Less with older glibc, where it takes two such messages, with musl, whose malloc() returns
    more to the system, and with objects of 32 bits.
    """
    host.add(6, MESSAGE.replace(b"\n\n", b"\n" + b"a:\n" * 340_000 + b"\n", 1))
    with host.ours() as running:
        assert running.deliver(1) == DELIVERED
        (worker,) = workers(running)
        for number in range(10, 13):
            assert running.deliver(1, host.add(number)) == DELIVERED
        assert workers(running) == [worker]
        too_much = resident_size(worker) + growth.MOST
        for _ in range(4):
            assert running.deliver(1, b"0/6") == DELIVERED
            assert host.tags()["d"] == "example.com"
            wait_until(lambda: worker not in workers(running)
                       or resident_size(worker) < too_much)
            if worker not in workers(running):
                break
        else:
            pytest.skip("this C library's malloc() keeps less than growth.MOST")
        for number in range(20, 23):
            assert running.deliver(1, host.add(number)) == DELIVERED
        assert len(workers(running)) == 1


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
        if os.geteuid() == 0:       # with keys in memory, it is closed to all others
            # It closes the message after its reply, so perhaps after the delivery.
            wait_until(lambda: list(files_opened_by_us(worker)) == [0, 1, 2, wire.SOCKET])
            files = open_files(worker)
            assert [files[number] for number in range(3)] == ["/dev/null"] * 3
        running.process.kill()
        assert running.process.stdout.read() == b""
        wait_until(lambda: not is_running(worker))


def test_no_descriptor_is_left_open_and_what_is_kept_is_bounded(host):
    with host.ours() as running:
        assert running.deliver(1) == DELIVERED
        before = len(open_files(running.process.pid))
        most = signed_messages.most_kept()
        for number in range(100, 100 + most + 20):
            host.add(number, MESSAGE + b"%d\n" % number)
            assert running.deliver(1, b"0/%d" % number) == DELIVERED
        assert len(open_files(running.process.pid)) == before + 2 * (most - 1)


SCARCE = [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT]
OTHERS = [errno.EACCES, errno.EIO, errno.EFBIG]


@pytest.mark.parametrize("setting", ["defer", "unsigned"])
@pytest.mark.parametrize("call", ["open", "memfd_create", "write"])
@pytest.mark.parametrize("error", [*SCARCE, *OTHERS], ids=errno.errorcode.get)
def test_worker_says_what_it_lacks(host, signing, monkeypatch, error, call, setting):
    """Then there may be more of it for the second attempt."""
    def fails(*arguments, **options):
        raise OSError(error, os.strerror(error))
    monkeypatch.setitem(host.environment, "DKONERROR", setting)
    monkeypatch.setattr(os, "environ", host.environment)
    monkeypatch.setattr(spool.posix, call, fails)
    if call == "memfd_create":
        monkeypatch.setattr(spool, "unlinked_file", fails)
    message = os.open(host.mess / "0" / "5", os.O_RDONLY)
    try:
        reply = worker_main.sign(message, b"joe@example.com")
    finally:
        monkeypatch.undo()
        os.close(message)
    assert reply.copy is None and reply.scarce == (error in SCARCE)
    assert bool(reply.trouble) == (setting == "defer")


@pytest.mark.root
@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare")
def test_large_messages_in_a_small_place(host):
    """One after the other: each finds the room that the one before has left."""
    place = host.directory / "small"
    place.mkdir()
    host.environment["TMPDIR"] = str(place)
    command = ["unshare", "--mount", "sh", "-c",
               'mount -t tmpfs -o size=6m tmpfs "$1" && shift && exec "$@"', "sh", place]
    with rspawn_driver.Running([*command, *host.ours_command()], host.environment) as running:
        if not running.first:
            pytest.skip("needs the right to mount")
        for number in range(10, 15):
            host.add(number, MESSAGE + b"%d, of 4 MB.\n" % number * 300_000)
            assert running.deliver(1, b"0/%d" % number) == DELIVERED
            assert host.sent().startswith(b"DKIM-Signature: ")


def test_copy_that_gets_lost_on_the_way_is_not_sent_unsigned():
    """Where no descriptor is left, the system drops what a socket brings."""
    worker = object.__new__(signing_worker.Worker)
    worker.socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with worker.socket, other:
        wire.Reply("", os.open(os.devnull, os.O_RDONLY), [], {}, 60).send(other)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
        try:
            reply = worker.receive()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert reply.copy is None and "no descriptor is left" in reply.trouble
