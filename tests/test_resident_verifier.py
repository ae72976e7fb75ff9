# SPDX-License-Identifier: MIT
"""The resident verifier: the same bytes as without it, and mail passes whatever it does."""

import grp
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import threading

import pytest

from lib import incoming, lookups, message, resident_exchange, resident_verifier
from lib.resident_exchange import NoAnswer
from tests import (
    dns_server, queue_driver, resident, test_corpus, test_corpus_end_to_end, test_key_cache,
    test_queue_program as one_shot, verifying)

GOOD = one_shot.GOOD
ZONE = {
    verifying.NAME: one_shot.RECORD,
    "bad._domainkey.example.com": ["v=DKIM1; p=AAAA"],
    "revoked._domainkey.example.com": ["v=DKIM1; p="],
    "fails._domainkey.example.com": {"rcode": "SERVFAIL"},
    "dead._domainkey.example.com": {"timeout": True},
    "_domainkey.strict.example": ["o=-"],
}


@pytest.fixture(scope="module")
def dns():
    with dns_server.DnsServer(ZONE) as server:
        yield server


@pytest.fixture(scope="module")
def server(dns):
    with resident.Resident(dns.address) as running:
        yield running


@pytest.fixture
def host(tmp_path, dns):
    host = queue_driver.Host(tmp_path)
    host.environment.update(DKVERIFY="-", DNSCACHEIP=dns.address)
    return host


class TestSameAsOneShot:
    UNSURE = {"F"}      # the DNS can't tell: the server does not either

    @pytest.mark.parametrize("letter", one_shot.MESSAGES)
    def test_letters(self, host, server, letter):
        text = one_shot.MESSAGES[letter]
        for letters, way in (("-", "smtpd"), ("-", "qfilter"), (letter, "smtpd")):
            host.environment.update(DKVERIFY=letters, DKREASON="yes")
            without, having = resident.run_both(host, server.path, text, way)
            resident.assert_same(without, having)
            assert having.log.endswith(b"; resident\n") == (letter not in self.UNSURE), having

    @pytest.mark.parametrize("name", one_shot.ODD_MESSAGES)
    def test_odd_messages(self, host, server, name):
        text = one_shot.ODD_MESSAGES[name]
        without, having = resident.run_both(host, server.path, text)
        resident.assert_same(without, having)
        too_long = len(text) > 1_000_000 and b"\n\n" not in text[:1_000_000]
        assert having.log.endswith(b"; resident\n") != too_long, having.log

    def test_false_fields_are_removed(self, host, server):
        text = one_shot.OTHERS.join(one_shot.FALSE) + GOOD + b"".join(one_shot.FALSE)
        without, having = resident.run_both(host, server.path, text)
        resident.assert_same(without, having)
        assert having.log.endswith(b"; resident\n")
        one_shot.below(having.queued["message"], one_shot.OTHERS * 3 + GOOD
                       + b"".join(one_shot.FALSE))

    @pytest.mark.parametrize("settings", [
        {"DKPOLICY": "yes"}, {"DKRSAMIN": "4096"}, {"DKAUTHSERVID": "other.example"}])
    def test_settings(self, host, server, settings):
        """They are those of the connection, not the server's."""
        host.environment.update(settings)
        unsigned = b"From: a@strict.example\n\ntext\n"
        for text in (GOOD, unsigned):
            without, having = resident.run_both(host, server.path, text)
            resident.assert_same(without, having)
            assert having.log.endswith(b"; resident\n")

    def test_large_message(self, host, server):
        """It is not worth it."""
        text = b"From: a@example.com\n\n" + b"text\n" * (resident_exchange.LARGEST_MESSAGE // 5)
        resident.assert_same(*resident.run_both(host, server.path, text))
        assert b"verify.sock" not in host.smtpd(text).log


class Switched(dns_server.DnsServer):
    """Its zone is that of one message after the other."""

    def switch(self, zone):
        self.zone = {name.lower().rstrip("."): value for name, value in zone.items()}


def test_the_corpus():
    """What is sure of each message, as without the server."""
    entries = test_corpus.entries()
    if not entries:
        pytest.skip("no corpus here")
    sure = 0
    with Switched({}) as dns, resident.Resident(dns.address) as running:
        for entry in entries:
            dns.switch(test_corpus_end_to_end.zone(entry))
            text = test_corpus_end_to_end.as_stored(entry)
            header, body = message.split([text])
            expected = incoming.own_report(header, body, resident.TERMS, dns.address, 2)
            try:
                report = resident.ask(running.path, text)
            except NoAnswer:
                assert "temperror" in expected.words, entry["id"]
                continue
            sure += 1
            assert (report.letter, report.fields, report.domains) == (
                expected.letter, expected.fields, expected.domains), entry["id"]
            assert report.removable(header) == expected.removable(header)
            assert without_time(report.words) == without_time(expected.words)
    assert sure > len(entries) * 0.8


def without_time(words):
    return words.rpartition("; dns ")[0]


def send(path, packet, fds, wait=True):
    """-> what the server answers to a client of another kind."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(20)
        connection.connect(path)
        try:
            socket.send_fds(connection, [packet], fds)
            return connection.recv(100) if wait else None
        except (BrokenPipeError, ConnectionResetError):
            return b""


REQUEST = resident_exchange.request(resident.TERMS)


def test_bad_clients(dns):
    """They get no answer; the worker goes on, and keeps no descriptor."""
    with resident.Resident(dns.address, "--workers", "1") as running, \
            open(os.devnull, "rb") as device, open(__file__, "rb") as file, \
            open(running.directory + "/large", "wb+") as large, socket.socket() as other:
        large.truncate(resident_exchange.LARGEST_MESSAGE + 1)
        pipe = os.pipe()
        worker, = running.workers()
        resident.until_true(lambda: len(descriptors(worker)) == 4)     # 0 to 2, and the socket
        for packet, fds in ((b"", []), (b"x", [file.fileno()]), (REQUEST, []),
                            (REQUEST, [file.fileno()] * 3), (REQUEST, [device.fileno()]),
                            (REQUEST, [other.fileno()]), (REQUEST, [pipe[0]]),
                            (REQUEST, [large.fileno()]), (b"2" + REQUEST[1:], [file.fileno()]),
                            (b"1 1024 2 x\n", [file.fileno()]), (REQUEST * 9, [file.fileno()]),
                            (b"1 x 0 x\n", [file.fileno()]), (b"1 1 0 a;b\n", [file.fileno()])):
            assert send(running.path, packet, fds) == b"", packet
        for _ in range(100):
            send(running.path, REQUEST, [file.fileno()], wait=False)
            assert send(running.path, REQUEST, [file.fileno(), file.fileno()]) == b""
            assert resident.ask(running.path, GOOD).letter == "A"
        assert running.workers() == {worker}
        resident.until_true(lambda: len(descriptors(worker)) == 4)
        for fd in pipe:
            os.close(fd)


def descriptors(process):
    return os.listdir(f"/proc/{process}/fd")


def test_answers_are_kept():
    with test_key_cache.Living({verifying.NAME: one_shot.RECORD}, (300,), (300, 300)) as dns, \
            resident.Resident(dns.address, "--workers", "1") as running:
        for _ in range(5):
            assert resident.ask(running.path, GOOD).letter == "A"
            assert resident.ask(running.path, verifying.dkim_signed(s="none")).letter == "D"
        assert sorted(name for _, name, _ in dns.asked) == [
            "none._domainkey.example.com", verifying.NAME]


@pytest.mark.parametrize("selector", ["fails", "dead"])
def test_what_is_temporary_is_left_to_the_client(server, selector):
    with pytest.raises(NoAnswer):
        resident.ask(server.path, verifying.dkim_signed(s=selector))
    server.wait_for(f"no answer: {selector}._domainkey.example.com: ")


def test_its_time_for_the_dns_is_less_than_the_client_waits(dns):
    spent = lookups.Lookups(dns.address, resident_verifier.DNS_SECONDS)
    for _ in range(4):
        assert spent.txt(b"dead._domainkey.example.com").status == "temporary"
    assert spent.spent < resident_exchange.PATIENCE


def test_hangup_reads_the_settings_anew(dns):
    with resident.Place() as qmail:
        check_hangup(dns, pathlib.Path(qmail.directory))


def check_hangup(dns, qmail):
    control = qmail / "control"
    control.mkdir()
    (control / "dnscacheip").write_text("127.0.0.1#1\n")
    with resident.Resident(None, "--workers", "2", qmail=qmail) as running:
        first = running.workers()
        with pytest.raises(NoAnswer):
            resident.ask(running.path, GOOD)
        (control / "dnscacheip").write_text("not an address\n")
        running.process.send_signal(signal.SIGHUP)
        running.wait_for("nothing is changed")
        assert running.workers() == first
        (control / "dnscacheip").write_text(dns.address + "\n")
        running.process.send_signal(signal.SIGHUP)
        running.wait_for("read again")
        resident.until_true(lambda: not running.workers() & first)
        assert len(running.workers()) == 2
        assert resident.ask(running.path, GOOD).letter == "A"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")
def test_rights_are_given_up(server):
    for process in {server.process.pid} | server.workers():
        with open(f"/proc/{process}/status", encoding="ascii") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        for line in ("Uid", "Gid"):
            assert "0" not in status[line].split()
        assert "0" not in status["Groups"].split()
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")
@pytest.mark.parametrize("user, words", [(None, "--user"), ("root", "is root"),
                                         ("no-such-user", "no user")])
def test_root_does_not_verify(dns, user, words):
    running = resident.Resident(dns.address, user="root")
    running.arguments = ["--user", user] if user else []
    with pytest.raises(AssertionError, match=words):
        with running:
            pass
    assert running.process.wait(10) == 111


# (what sh does in front of the server, what is said)
UNSAFE_PLACES = [
    ('chmod 1777 "${DKSERVER%/*}"; exec "$@"', "others can write to"),
    ('chmod 775 "${DKSERVER%/*}"; exec "$@"', "others can write to"),
    ('echo kept >"$DKSERVER"; "$@"; code=$?; cat "$DKSERVER" >&2; exit $code',
     "not a socket\nkept"),
]
if os.geteuid() == 0:
    UNSAFE_PLACES.append(('chown nobody "${DKSERVER%/*}"; exec "$@"', "others can write to"))


@pytest.mark.parametrize("before, words", UNSAFE_PLACES)
def test_unsafe_place(dns, before, words):
    """Others could take its place, or it would remove another's file."""
    running = resident.Resident(dns.address, prefix=["/bin/sh", "-c", before, "sh"])
    with pytest.raises(AssertionError, match=words):
        with running:
            pass
    assert running.process.wait(10) == 111


def filled(path, **values):
    """The text of a file of service/, its @NAMES@ filled in."""
    with open(os.path.join(resident.ROOT, "service", path), encoding="ascii") as file:
        text = file.read()
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    assert not re.search("@[A-Z]+@", text)
    return text


@pytest.mark.skipif(os.geteuid() != 0, reason="a service is root's")
def test_run_script(dns, host):
    """As supervise starts it; only its group gets as far as the socket."""
    with resident.Place() as place:
        launcher = place.directory + "/launcher"
        with open(launcher, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\nexec " + " ".join(
                [*host.python, resident.ROOT + "/lib/qmail_dk_verifyd.py"]) + ' "$@"\n')
        os.chmod(launcher, 0o755)
        directory = place.directory + "/run"
        path = directory + "/verify.sock"
        script = filled("qmail-dk-verifyd/run", LAUNCHER=launcher, USER="nobody", GROUP="daemon",
                        DIRECTORY=directory, SOCKET=path)
        with subprocess.Popen(
                ["sh", "-c", script], stdout=subprocess.PIPE,
                env={"PATH": os.defpath, "DKSERVER": path, "DNSCACHEIP": dns.address}) as running:
            try:
                assert b"are ready" in running.stdout.readline()
                state = os.stat(directory)
                assert (state.st_uid, state.st_gid) == (0, grp.getgrnam("daemon").gr_gid)
                assert state.st_mode & 0o777 == 0o750
                assert resident.ask(path, GOOD).letter == "A"
            finally:
                running.terminate()
                code = running.wait(20)
        assert code == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="a service is root's")
@pytest.mark.parametrize("emptied", [True, False])
def test_run_script_and_a_directory_of_others(tmp_path, emptied):
    """It gets the group only where it holds nothing, as one of an earlier start does."""
    directory = tmp_path / "run"
    directory.mkdir(0o711)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(directory / "verify.sock"))
    if not emptied:
        (directory / "other").write_text("")
    before = directory.stat()
    script = filled("qmail-dk-verifyd/run", LAUNCHER="/bin/true", USER="nobody", GROUP="daemon",
                    DIRECTORY=str(directory), SOCKET=str(directory / "verify.sock"))
    subprocess.run(["sh", "-c", script], check=True)
    after = directory.stat()
    if emptied:
        assert (after.st_mode & 0o777, after.st_gid) == (0o750, grp.getgrnam("daemon").gr_gid)
    else:
        assert (after.st_mode, after.st_gid) == (before.st_mode, before.st_gid)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd")
def test_systemd_knows_the_directives(tmp_path):
    unit = tmp_path / "qmail-dk-verifyd.service"
    unit.write_text(filled("qmail-dk-verifyd.service", LAUNCHER="/bin/true", USER="nobody",
                           GROUP="daemon", RUNTIME="qmail-dk"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True,
                          text=True)
    told = [line for line in done.stderr.splitlines() if unit.name in line]
    assert not told and "Unknown" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root, setpriv")
def test_reload_with_the_rights_that_the_unit_gives(server):
    """Those of CapabilityBoundingSet=, unless a + stands before the command."""
    unit = dict(re.findall(r"^(\w+)=(.*)", filled(
        "qmail-dk-verifyd.service", LAUNCHER="/bin/true", USER="nobody", GROUP="daemon",
        RUNTIME="qmail-dk"), re.MULTILINE))
    rights = unit["CapabilityBoundingSet"].lower().replace("cap_", "+").split()
    command = unit["ExecReload"].replace("$MAINPID", str(server.process.pid)).split()
    confined = ["setpriv", "--bounding-set", ",".join(["-all", *rights])]
    if command[0].startswith("+"):
        command[0], confined = command[0][1:], []
    before = server.workers()
    subprocess.run([*confined, *command], check=True)
    resident.until_true(lambda: server.workers() and not before & server.workers())


def test_a_log_that_is_full(dns):
    """It costs the lines, and nothing else."""
    running = resident.Resident(dns.address, "--workers", "1",
                                prefix=["/bin/sh", "-c", 'exec "$@" 2>/dev/full', "sh"])

    def answers():
        try:
            return resident.ask(running.path, GOOD).letter == "A"
        except NoAnswer:
            return running.process.poll() is not None
    running.start()
    try:
        resident.until_true(answers)
        for number in (signal.SIGKILL, signal.SIGHUP):
            before = running.workers()
            for process in before if number == signal.SIGKILL else [running.process.pid]:
                os.kill(process, number)
            resident.until_true(lambda: running.workers() - before)
        resident.until_true(answers)
    finally:
        running.__exit__()


def test_killed_workers(dns):
    """Every message is answered rightly or not at all, and all are replaced."""
    source = random.Random(5)
    messages = {"A": GOOD, "B": GOOD + b"x\n", "C": verifying.MESSAGE}
    told = []

    def client(number):
        for turn in range(30):
            letter = "ABC"[(number + turn) % 3]
            try:
                told.append(resident.ask(running.path, messages[letter]).letter == letter)
            except NoAnswer:
                told.append(None)

    with resident.Resident(dns.address, "--workers", "3") as running:
        threads = [threading.Thread(target=client, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        killed = set()
        for _ in range(5):
            alive = sorted(running.workers() - killed)
            if alive:
                victim = source.choice(alive)
                os.kill(victim, signal.SIGKILL)
                killed.add(victim)
            threads[0].join(0.15)
        for thread in threads:
            thread.join(60)
        assert len(told) == 180 and False not in told
        assert told.count(True) > 60
        resident.until_true(lambda: len(running.workers() - killed) == 3)
        assert resident.ask(running.path, GOOD).letter == "A"
