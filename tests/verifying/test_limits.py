# SPDX-License-Identifier: MIT
"""The limits that SECURITY names: the figures that stand there, each at its edge."""

import base64
import os
import re
import signal
import socket
import struct

import pytest

from lib import crypto, growth, settings
from lib.admin.log import lines, sums
from lib.admin.reports import bounds
from lib.errors import KeyTrouble
from lib.lookup import cache, resolver, wire_format
from lib.mail import message, signature_field
from lib.qmail import queue, spool
from lib.rspawn import dispatcher, signed_messages
from lib.signing import key_files
from lib.verifyd import prefork
from lib.verifying import dkim, dkimpy, examination, exchange, key_record
from tests.support import rspawn, signing, verifying

# line of SECURITY -> figures there, as they are in the code
FIGURES = {
    "header that is signed": {"1 MB": (message.HEADER_LIMIT, 1 << 20),
                              "65000 bytes": (message.FIELD_LIMIT, 65000)},
    "header that is looked at, inbound": {"1 MB": (message.HEADER_LIMIT, 1 << 20)},
    "signatures of a message, verified": {"10,": (examination.MOST_SIGNATURES, 10)},
    "a signature field": {"16384 bytes": (signature_field.LONGEST_FIELD, 16384)},
    "RSA keys": {"1024 (": (crypto.RSA_LEAST, 1024), "8192 bits": (crypto.RSA_MOST, 8192),
                 "2**32": (2 ** dkimpy.EXPONENT_MOST, 2 ** 32)},
    "records at a name": {"3 key records": (key_record.MOST_RECORDS, 3)},
    "the DNS": {"(20 s)": (settings.DEFAULTS["DKTIMEOUT"], "20"), "8 aliases": (
        resolver.ALIASES, 8), "256 records": (wire_format.MOST_RECORDS, 256),
        "127 pointers": (wire_format.MOST_POINTERS, 127)},
    "clocks": {"10 hours": (dkim.CLOCK_SKEW, 36000)},
    "a reason shown or replied": {"255 bytes": (queue.REASON_LONGEST, 255)},
    "memory": {"1 MB": (spool.IN_MEMORY, 1 << 20)},
    "a message with DMARC reports": {
        "48 MiB": (bounds.LARGEST_INPUT, 48 << 20), "100 parts": (bounds.MOST_PARTS, 100),
        "64 MiB": (bounds.LARGEST_XML, 64 << 20), "100,000": (bounds.MOST_RECORDS, 100_000),
        "4,000,000": (bounds.MOST_ELEMENTS, 4_000_000)},
    "a log that is read": {"16384 bytes": (lines.LONGEST, 16384),
                           "4000 names": (2 * sums.MOST, 4000)},
    "key files": {"64 KB": (key_files.LONGEST_KEY_FILE, 65536),
                  "8 links": (key_files.MOST_LINKS, 8)},
}


def security():
    """The table of limits: {what: text}."""
    table = (rspawn.CHECKOUT / "SECURITY").read_text().partition("\nLimits\n")[2]
    table = table.partition("\nKnown limits\n")[0].replace("\n" + " " * 39, " ")
    return dict(re.findall(r"^  (\S.*?)  +(\S.*)$", table, re.MULTILINE))


@pytest.mark.parametrize("what", FIGURES)
def test_figures(what):
    said = security()[what]
    for figure, (found, meant) in FIGURES[what].items():
        assert figure in said and found == meant


# Of the resident programs: (file, words there) -> figure, as it is in the code.
RESIDENT = {
    ("doc/high-volume", "Large messages, over 1 MB"): (dispatcher.LARGE, 1 << 20),
    ("man/qmail-rspawn-dk.8", "those over 1 MB"): (dispatcher.LARGE, 1 << 20),
    ("doc/high-volume", "signed messages, of 32 MiB together"): (
        signed_messages.MOST_BYTES, 32 << 20),
    ("doc/high-volume", "are kept for a minute"): (signed_messages.LONGEST, 60),
    ("doc/high-volume", "or verifies grow by 8 MiB, 2 of which"): (growth.MOST, 8 << 20),
    ("doc/high-volume", "by 8 MiB, 2 of which are cached keys"): (cache.MOST_BYTES, 2 << 20),
    ("doc/high-volume", "asked for again for five seconds"): (cache.TEMPORARY, 5),
    ("man/qmail-dk-verifyd.8", "messages over 8 MB"): (
        exchange.LARGEST_MESSAGE, 8 << 20),
}


@pytest.mark.parametrize("path, words", RESIDENT)
def test_figures_of_the_resident_programs(path, words):
    found, meant = RESIDENT[path, words]
    assert words in (rspawn.CHECKOUT / path).read_text() and found == meant


# Messages

FROM = b"From: alice@example.com\n"


def header_of(size):
    """A header of size bytes, no field of it long."""
    field = b"X: " + b"x" * 1020 + b"\n"
    count, rest = divmod(size - len(FROM), len(field))
    header = FROM + field * (count - 1)
    return header + b"X: " + b"y" * (rest + 1020) + b"\n"


@pytest.mark.parametrize("size, signed", [((1 << 20) - 1, True), (1 << 20, True),
                                          ((1 << 20) + 1, False)])
def test_header_of_1_mb(tmp_path, size, signed):
    header = header_of(size)
    assert len(header) == size
    text = header + b"\nHello.\n"
    handed_on = signing.Signer(tmp_path).sign(text)
    assert handed_on.endswith(text) and (handed_on != text) == signed
    assert verifying.examine(text, {}).letter == ("C" if signed else "G")


@pytest.mark.parametrize("size, signed", [(65000, True), (65001, False)])
def test_field_of_65000_bytes(tmp_path, size, signed):
    field = b"Subject: " + b"x" * (size - 10) + b"\n"
    assert len(field) == size
    text = FROM + field + b"\nHello.\n"
    handed_on = signing.Signer(tmp_path).sign(text)
    assert handed_on.endswith(text) and (handed_on != text) == signed


@pytest.mark.parametrize("length, shown", [(320, True), (321, False)])
def test_what_is_shown_of_a_tag(length, shown):
    result = verifying.only(verifying.dkim_signed(a="x" * length))
    assert result.algorithm == "x" * length * shown


# Keys

@pytest.mark.parametrize("links", [1, 7, 8, 9, 39])
def test_8_links(tmp_path, links):
    """link1 -> link2 -> ... -> s1"""
    (tmp_path / "s1").write_bytes(signing.key("rsa.pem"))
    for number in range(links):
        (tmp_path / f"link{number + 1}").symlink_to(
            f"link{number + 2}" if number + 1 < links else "s1")
    try:
        (selector, *_), = key_files.key_files(b"example.com", f"{tmp_path}/link1")
        assert selector == b"s1"
    except KeyTrouble as trouble:
        assert "too many links" in str(trouble) and links > 8
    else:
        assert links <= 8


@pytest.mark.parametrize("size, good", [(65536, True), (65537, False)])
def test_key_file_of_64_kb(tmp_path, size, good):
    """What is behind is not read: a key whose end is there is no key."""
    pem = signing.key("rsa.pem").rstrip(b"\n")
    (tmp_path / "s1").write_bytes(b"x" * (size - len(pem) - 1) + b"\n" + pem)
    files = key_files.key_files(b"example.com", f"{tmp_path}/s1")
    assert len(files[0][2]) == 65536
    try:
        key_files.load(b"example.com", files)
    except KeyTrouble:
        assert not good
    else:
        assert good


def test_keys_in_memory_are_bounded(monkeypatch):
    """A host of many domains has more than a process is to hold."""
    monkeypatch.setattr(key_files, "keep_loaded", True)
    monkeypatch.setattr(key_files, "in_use", {})
    most = 0
    for number in range(200):
        seed = base64.b64encode(bytes((number,)) * 32)
        for _ in range(2):
            loaded, = key_files.load(b"example.com", [(b"s1", b"/s1", seed, 0o640)])
            assert key_files.in_use[seed] is loaded.private_key
            most = max(most, len(key_files.in_use))
        assert loaded.private_key.public_key() == crypto.load_private_key(seed).public_key()
    assert most == 32


def test_keys_in_memory_stay_there_while_there_is_room(monkeypatch):
    monkeypatch.setattr(key_files, "keep_loaded", True)
    monkeypatch.setattr(key_files, "in_use", {})
    files = [(b"s1", b"/s1", base64.b64encode(bytes((number,)) * 32), 0o640)
             for number in range(32)]
    first, second = [[loaded.private_key for loaded in key_files.load(b"example.com", files)]
                     for _ in range(2)]
    assert first == second and len(set(map(id, first))) == 32


# Resident programs

def test_a_worker_serves_10_000_connections(monkeypatch):
    """Whatever leaks in it does not leak for long.  (SIGTERM and the clock are left alone.)"""
    served, timers = [], []
    monkeypatch.setattr(prefork, "next_connection", lambda *_: open(os.devnull, "rb"))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(signal, "setitimer", lambda _, seconds: timers.append(seconds))
    with socket.socket() as listening:
        prefork.work(listening, served.append, os.getppid())
        waits = listening.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16)
    assert len(served) == 10_000
    assert timers == [3, 0] * 10_000        # while it waits, its time does not run
    # A parent that was killed is noticed after so many seconds.
    assert struct.unpack_from("@l", waits) == (5,)


def test_a_worker_that_fails_is_not_replaced_at_once(monkeypatch):
    """Where all of them do, that would take all of a processor."""
    slept = []
    monkeypatch.setattr(prefork.time, "sleep", slept.append)
    monkeypatch.setattr(prefork.maillog, "tell", lambda line: None)
    with socket.socket() as listening:
        workers = prefork.Workers(listening, 2, lambda: None)
    workers.serving, workers.leaving = {1, 2, 3}, {4}
    for process, status, sleeps in ((1, 0, 0), (2, 1 << 8, 1), (3, signal.SIGKILL, 2),
                                    (4, signal.SIGKILL, 2)):
        workers.forget(process, status)
        assert len(slept) == sleeps
    assert not workers.serving | workers.leaving and set(slept) == {0.1}


class StillWorker:
    """Takes a message, and does not answer."""

    def __init__(self):
        self.process_id = self.job = self.deadline = None
        self.socket, self.other = socket.socketpair()

    def send(self, descriptor, envelope_sender):
        pass


class Message:
    """What resident_signer needs of a delivery; the file is of so many bytes, all of them holes."""

    sender = b"joe@example.com"

    def __init__(self, path, size):
        with open(path, "wb") as file:
            file.truncate(size)
        self.message = os.open(path, os.O_RDONLY)
        self.state = os.fstat(self.message)


@pytest.fixture
def signer(monkeypatch):
    """A Signer whose workers do not answer; told: what became of the deliveries."""
    monkeypatch.setattr(dispatcher, "Worker", StillWorker)
    told, watched = [], {}
    signer = dispatcher.Signer(
        lambda delivery, signed: told.append("start"),
        lambda delivery, words: told.append(words), watched.__setitem__, watched.pop)
    signer.told = told
    return signer


def at_work(signer):
    """How many messages of each kind are being signed: [small, large]."""
    return [sum(worker.job is not None for worker in signer.workers[large])
            for large in (False, True)]


def test_messages_are_signed_at_once(signer, tmp_path):
    """As many as there are processors, 2 at least and 8 at most; others wait.

    Large ones have processes of their own.
    """
    processes = max(2, min(os.cpu_count(), 8))
    for number in range(12):
        signer.sign(Message(tmp_path / f"small{number}", 1 << 20))
        assert at_work(signer) == [min(number + 1, processes), 0]
    for number in range(12):
        signer.sign(Message(tmp_path / f"large{number}", (1 << 20) + 1))
        assert at_work(signer) == [processes, min(number + 1, processes)]
    assert not signer.told


# bytes of a message -> seconds that it is waited for
PATIENCE = {100: 60, 10_000_000: 70, 1_000_000_000: 1060}


@pytest.mark.parametrize("size", PATIENCE)
def test_patience_grows_with_the_size(signer, tmp_path, monkeypatch, size):
    now = 1000.0
    monkeypatch.setattr(dispatcher.time, "monotonic", lambda: now)
    signer.sign(Message(tmp_path / "message", size))
    now += PATIENCE[size] - 0.5
    signer.tick()
    assert sum(at_work(signer)) == 1 and not signer.told
    now += 1
    signer.tick()
    assert sum(at_work(signer)) == 0
    assert signer.told == [b"Zqmail-rspawn: the signing process does not answer (#4.3.0)\n"]
