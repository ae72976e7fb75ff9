# SPDX-License-Identifier: MIT
"""What the verifier takes from a resident server: an answer that is in order, or nothing."""

import _socket
import os
import random
import socket
import subprocess
import sys
import types

import pytest

from lib.mail import message
from lib.verifying import exchange
from lib.verifying.exchange import NoAnswer
from tests.support import verifier as one_shot
from tests.support.lies import ANSWER, LIES, OURS
from tests.support import dns_server, native, queue_driver, resident, verifying

GOOD = one_shot.GOOD


@pytest.fixture(params=native.LAUNCHERS)
def host(request, tmp_path):
    host = queue_driver.Host(tmp_path)
    host.native = () if request.param == "native" else None
    with dns_server.DnsServer({verifying.NAME: one_shot.RECORD}) as dns:
        host.environment.update(DKVERIFY="-", DNSCACHEIP=dns.address)
        yield host


def test_the_true_answer_is_believed():
    report = exchange.report_in(ANSWER, message.split([b"Subject: x\n\n"])[0],
                                resident.TERMS)
    assert (report.letter, report.words) == ("C", "good")


@pytest.mark.parametrize("lie", LIES)
def test_lies(host, lie):
    with resident.BadServer(lambda connection, packet, fds: connection.send(LIES[lie])) as bad:
        with pytest.raises(NoAnswer):
            resident.ask(bad.path, b"Subject: x\nFrom: a@example.com\n\n")
        assert bad.reached == 1


def test_damaged_answers():
    """Whatever comes, it is no answer, or has the two fields and nothing else."""
    source = random.Random(7)
    header = message.split([b"Subject: x\nFrom: a@example.com\n\n"])[0]
    believed = 0
    for _ in range(20_000):
        packet = bytearray(ANSWER)
        for _ in range(source.randint(1, 3)):
            start = source.randrange(len(packet) + 1)
            piece = bytes(packet[source.randrange(len(packet) + 1):][:source.randrange(30)])
            packet[start:start + source.choice((0, 0, 1, 5, 40))] = source.choice(
                (piece, b"", b"\n", b" ", b"0", bytes((source.randrange(256),))))
        try:
            report = exchange.report_in(bytes(packet), header, resident.TERMS)
        except NoAnswer:
            continue
        believed += 1
        assert OURS.fullmatch(report.fields), packet
        assert not report.removed and report.letter in "ABCDEFGHIJK"
    assert believed > 100


def close(connection, packet, fds):
    pass


def say_nothing(connection, packet, fds):
    """Until the other side has given up."""
    connection.recv(1)


def lie(connection, packet, fds):
    connection.send(LIES["a field below"])


# behaviour, type of the socket -> what the log says
BAD_SERVERS = {
    "slow": (say_nothing, socket.SOCK_SEQPACKET, b"timed out"),
    "not there to accept": (None, socket.SOCK_SEQPACKET, b"timed out"),
    "dies": (close, socket.SOCK_SEQPACKET, b"none was given"),
    "lies": (lie, socket.SOCK_SEQPACKET, b"other header fields"),
    "another kind": (close, socket.SOCK_STREAM, b"rotocol wrong type"),
}


@pytest.mark.parametrize("case", BAD_SERVERS)
def test_bad_server(host, case):
    behave, kind, words = BAD_SERVERS[case]
    with resident.BadServer(behave, kind) as bad:
        without, having = resident.run_both(host, bad.path, GOOD, patience=False)
        resident.assert_same(without, having)
        assert b"no answer of " + bad.path.encode() in having.log and words in having.log
        assert bad.reached == (behave is not None and kind == socket.SOCK_SEQPACKET)


# Listens as another user, and says of any message that it is good.
FOREIGN = """
import os, socket, sys
os.setuid(int(sys.argv[2]))
listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listening.bind(sys.argv[1])
listening.listen(5)
print(flush=True)
while True:
    connection = listening.accept()[0]
    connection.recv(1000)
    connection.send({answer!r})
"""


@pytest.mark.root
@pytest.mark.parametrize("server, client, believed", [
    (0, 0, True), (0, 12345, True), (12345, 12345, True), (12345, 0, False),
    (12345, 12346, False)])
def test_whose_server_it_is(server, client, believed):
    """Whoever can write above the socket could put his own there."""
    with resident.Place() as place:
        os.chmod(place.directory, 0o777)
        with subprocess.Popen([sys.executable, "-c", FOREIGN.format(answer=ANSWER), place.path,
                               str(server)], stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            os.chmod(place.path, 0o777)
            os.seteuid(client)
            try:
                assert resident.ask(place.path, b"Subject: x\n\n").letter == "C"
                assert believed
            except NoAnswer as reason:
                assert not believed and str(reason) == "the server is that of user number 12345"
            finally:
                os.seteuid(0)
                process.kill()


def test_one_time_for_all_of_an_exchange(monkeypatch):
    """What connecting has taken is not given once more to the answer."""
    now, timeouts = [1000.0], []

    class Slow:
        """A socket that takes a while to connect."""

        def __init__(self, *kind):
            self.settimeout = timeouts.append
            self.sendmsg = self.close = lambda *arguments: None
            self.getsockopt = lambda *arguments: bytes(12)

        def connect(self, path):
            now[0] += 0.75

        def recv(self, most):
            return b""

    monkeypatch.setattr(_socket, "socket", Slow)
    monkeypatch.setattr(exchange, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(exchange, "PATIENCE", 1.0)
    with open(__file__, "rb") as file:
        assert exchange.exchange("/nonexistent", file.fileno(), b"") == b""
    assert timeouts == [1.0, 0.25]


def test_full_server(host):
    with resident.BadServer(None, waiting=1) as bad:
        waiting = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(10)]
        with pytest.raises(BlockingIOError):
            for connection in waiting:
                connection.setblocking(False)
                connection.connect(bad.path)
        without, having = resident.run_both(host, bad.path, GOOD, patience=False)
        resident.assert_same(without, having)
        assert b"temporarily unavailable" in having.log
        for connection in waiting:
            connection.close()


def test_no_server(host):
    with resident.BadServer(None) as gone:
        gone.listening.close()
        without, having = resident.run_both(host, gone.path, GOOD)
        resident.assert_same(without, having)
        assert b"refused" in having.log
        os.unlink(gone.path)
        for path in (gone.path, gone.path + "/x", "-", "relative"):
            without, having = resident.run_both(host, path, GOOD)
            resident.assert_same(without, having)
            assert b"no answer" not in having.log       # none is meant to be there


def test_the_server_can_not_write(host):
    """What it gets is the message, to be read only; nor can it be opened anew for more."""
    seen = []

    def look(connection, packet, fds):
        with pytest.raises(OSError):
            os.write(fds[0], b"x")
        seen.append((packet, len(fds), os.pread(fds[0], 10000, 0),
                     os.fstat(fds[0]).st_mode & 0o177))

    with resident.BadServer(look) as bad:
        host.environment["DKSERVER"] = bad.path
        assert host.smtpd(GOOD).code == 0
    assert seen == [(b"3 1024 no mx.example.net off\n", 1, GOOD, 0)]


@pytest.mark.parametrize("path", ["", "no", "/none/verify.sock", "/etc/passwd/x", "/run/x\0"])
def test_no_server_is_there(tmp_path, path):
    """Whatever control/dkserver holds: then each message is verified on its own."""
    (tmp_path / "message").touch()
    with open(tmp_path / "message", "rb") as file:
        assert not exchange.is_there(path, file.fileno())
