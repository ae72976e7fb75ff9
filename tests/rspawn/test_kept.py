# SPDX-License-Identifier: MIT
"""Signed messages that are kept for further recipients: how many, how long, and when not."""

import os
import resource
import shutil
import socket
import subprocess
import time

import pytest

from lib.rspawn import dispatcher, signed_messages, wire, worker_main
from lib.signing import outbound
from tests.support import rspawn_driver
from tests.support.dispatching import FakeDelivery, add, kept, signing      # noqa: F401
from tests.support.resident_signer import DELIVERED, host, wait_until      # noqa: F401
from tests.support.rspawn_driver import MESSAGE, command, kill, open_files, workers


def test_copies_in_memory_are_bounded(kept, monkeypatch):
    monkeypatch.setattr(signed_messages, "MOST_BYTES", 4_000_000)
    for number in range(10):
        add(kept, number, 1_000_000)
        add(kept, -number, 1_000_000, has_copy=False)
        assert kept.bytes <= 4_000_000
    assert [key for key in kept.messages if key > 0] == [6, 7, 8, 9]
    kept.make_room()
    assert kept.bytes == 0 and not kept.messages


@pytest.mark.parametrize("has_copy", [True, False])
def test_large_messages_are_kept_while_they_are_being_sent(kept, has_copy):
    """The disk would be full of them, or of the queue's, which are gone by name."""
    size = signed_messages.IN_MEMORY + 1
    add(kept, "nobody is sent it", size, has_copy)
    signed = signed_messages.SignedMessage(
        os.open(os.devnull, os.O_RDONLY), os.open(os.devnull, os.O_RDONLY) if has_copy else None,
        size, [], {}, 60)
    kept.begun(signed)
    kept.add("large", signed)
    assert kept.get("large") is signed and list(kept.messages) == ["large"]
    kept.begun(signed)
    kept.ended(signed)
    assert kept.get("large") is signed
    kept.ended(signed)
    assert not kept.messages
    with pytest.raises(OSError):
        os.fstat(signed.original)


def test_large_message_to_many_is_signed_once(host):
    """As long as its copy lies on the disk for one of them anyway."""
    host.add(5, MESSAGE + b"A line of a large message.\n" * 80_000)
    place = host.directory / "place"
    place.mkdir()
    host.environment["TMPDIR"] = str(place)
    host.program("remote", """#!/bin/sh
cat >"$SCRATCH/sent/$3"
case $3 in first*) until [ -e "$SCRATCH/go on" ]; do sleep 0.05; done ;; esac
printf 'r\\0Kok\\n\\0'
""")
    host.age()
    with host.ours() as running:
        running.send(command(1, recipient=b"first@example.net"))
        wait_until(lambda: (host.directory / "sent" / "first@example.net").exists())
        assert running.deliver(2, recipient=b"second@example.net") == DELIVERED
        (host.directory / "go on").touch()
        assert running.answers(1) == [(1, DELIVERED)]
        assert not [path for path in open_files(running.process.pid).values()
                    if path.startswith((str(place), str(host.mess)))]
    first, second = host.tags("first@example.net"), host.tags("second@example.net")
    assert first["b"] == second["b"]


@pytest.mark.parametrize("descriptors, most", [
    (100, 12), (256, 32), (512, 64), (100_000, 64), (resource.RLIM_INFINITY, 64), (7, 0)])
def test_how_many_are_kept(monkeypatch, descriptors, most):
    """A quarter of what may be open, at two for each."""
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (descriptors, 100_000))
    assert signed_messages.most_kept() == signed_messages.Kept().most == most


def test_what_is_kept_leaves_descriptors(host):
    """One message after the other, more than the limit: none has to wait for a minute."""
    with host.ours(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE,
                                                         (100, 100))) as running:
        for number in range(100, 220):
            host.add(number, MESSAGE + b"%d\n" % number)
            assert running.deliver(1, b"0/%d" % number) == DELIVERED


@pytest.mark.parametrize("left", range(12))
@pytest.mark.parametrize("worker_is_there", [True, False])
def test_what_is_kept_is_dropped_where_descriptors_run_out(host, left, worker_is_there):
    """Wherever that is: at the message, the process that signs, its copy, the report."""
    with host.ours() as running:
        for number in range(100, 120):
            host.add(number, MESSAGE + b"%d\n" % number)
            assert running.deliver(1, b"0/%d" % number) == DELIVERED
        host.add(120, MESSAGE + b"the last\n")
        if not worker_is_there:
            (worker,) = workers(running)
            kill(running, worker)
        limit = len(open_files(running.process.pid)) + left
        resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
        assert running.deliver(1, b"0/120") == DELIVERED
        assert host.sent().endswith(b"the last\n")


@pytest.mark.parametrize("kept_before, attempts, outcome", [
    (True, 2, "start"), (True, 1, b"Zqmail-rspawn: it is full (#4.3.0)\n"),
    (False, 1, b"Zqmail-rspawn: it is full (#4.3.0)\n")])
def test_second_attempt_without_what_is_kept(host, signing, monkeypatch, kept_before, attempts,
                                             outcome):
    """It is the last, and there is none where nothing was kept."""
    signer, answers, _ = signing
    replies = [wire.Reply("it is full", None, [], {}, 0, True)] * (
        2 if kept_before and attempts == 1 else 1)
    replies.append(wire.Reply("", None, [], {}, 60))

    class Worker:
        def __init__(self):
            self.process_id = self.job = self.deadline = None
            self.socket, self.other = socket.socketpair()

        def send(self, descriptor, envelope_sender):
            pass

        def receive(self):
            return replies.pop(0)
    monkeypatch.setattr(dispatcher, "Worker", Worker)
    if kept_before:
        add(signer.kept, "another", 1000)
    signer.sign(FakeDelivery(host.mess / "0" / "5"))
    (worker,) = signer.workers[False]
    while worker.job is not None:
        signer.answered(worker)
    assert answers == [outcome] and "another" not in signer.kept.messages


def test_signatures_get_old(tmp_path):
    kept = signed_messages.Kept()
    fd = os.open("/dev/null", os.O_RDONLY)
    kept.add("key", signed_messages.SignedMessage(fd, None, 0, [], {}, 0))
    assert kept.get("key") is None and not kept.messages


@pytest.mark.parametrize("expire, lifetime", [("", 60), ("100", 10), ("900000", 60)])
def test_kept_for_a_tenth_of_its_validity_at_most(expire, lifetime):
    settings = signed_messages.NotedSettings({"DKIMEXPIRE": expire})
    assert worker_main.lifetime(settings) == lifetime


@pytest.mark.parametrize("seconds", [1, 2])
@pytest.mark.parametrize("changed", ["control/dkimcanon", "keys/example.com/s1",
                                     "keys/example.com/default"])
def test_a_change_within_a_step_of_the_clock_is_seen(host, monkeypatch, changed, seconds):
    """Where a file system has such steps, and an inode number may be another file's soon."""
    step = seconds * 10 ** 9
    monkeypatch.setattr(signed_messages, "stamp", lambda state: (
        state.st_dev, 0, state.st_mode, 0, 0, state.st_ctime_ns // step * step))
    path = host.directory / changed
    host.environment["DKSIGN"] = f"{host.directory}/keys/%/default"
    (host.control / "dkimcanon").write_bytes(b"relaxed/simple\n")
    settings = signed_messages.NotedSettings(host.environment)
    settings.control = str(host.control)
    for _ in range(3):
        change(path)
        files = noted(host, settings)
        change(path)
        assert not holds(files)


def change(path):
    """Makes it anew with other times, no more."""
    if path.is_symlink():
        new = path.with_name("new")
        new.symlink_to(os.readlink(path))
        os.replace(new, path)
    else:
        path.write_bytes(path.read_bytes())


def noted(host, settings):
    settings.files = {}
    message = os.open(host.mess / "0" / "5", os.O_RDONLY)
    outbound.sign_message(message, b"joe@example.com", settings, time.time)
    os.close(message)
    return settings.files


def holds(files):
    signed = signed_messages.SignedMessage(None, None, 0, [], files, 60)
    return signed.holds()


def test_what_is_older_than_a_step_of_the_clock_is_kept(host):
    settings = signed_messages.NotedSettings(host.environment)
    settings.control = str(host.control)
    (host.control / "dkimcanon").write_bytes(b"relaxed/simple\n")
    assert not holds(noted(host, settings))
    host.age()
    files = noted(host, settings)
    assert len(files) > 5 and holds(files)
    (host.control / "dkimcanon").write_bytes(b"simple/relaxed\n")
    assert not holds(files)


@pytest.mark.root
@pytest.mark.skipif(not all(map(shutil.which, ("unshare", "mkfs.ext2"))),
                    reason="needs unshare, mkfs.ext2")
def test_a_setting_rewritten_within_a_second_on_a_file_system_of_whole_seconds(host, tmp_path):
    image = tmp_path / "image"
    with open(image, "wb") as file:
        file.truncate(2_000_000)
    subprocess.run(["mkfs.ext2", "-q", "-I", "128", image], check=True, capture_output=True)
    command = ["unshare", "--mount", "sh", "-c",
               'mount -o loop "$1" "$2" && shift 2 && exec "$@"', "sh", image, host.control]
    with rspawn_driver.Running([*command, *host.ours_command()], host.environment) as running:
        if not running.first:
            pytest.skip("needs a loop device")
        path = f"/proc/{running.process.pid}/root{host.control}/dkimcanon"
        for turn in range(6):
            setting = ("relaxed/simple", "simple/relaxed")[turn % 2]
            with open(path, "r+" if turn else "w", encoding="ascii") as file:
                file.write(setting + "\n")
            assert os.stat(path).st_ctime_ns % 10 ** 9 == 0
            assert running.deliver(1) == DELIVERED
            assert host.tags()["c"] == setting


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
