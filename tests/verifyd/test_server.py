# SPDX-License-Identifier: MIT
"""The resident verifier: the same bytes as without it, and mail passes whatever it does."""

import contextlib
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import threading

import pytest

from lib import crypto, maillog
from lib.errors import CryptoTrouble
from lib.mail import message
from lib.verifyd import server as resident_verifier
from lib.verifying import exchange, inbound
from lib.verifying.client import Client
from lib.verifying.exchange import NoAnswer
from lib.verifying.report import Terms
from tests.support import (
    corpus, dns_server, queue_driver, resident, verifier as one_shot, verifying,
)
from tests.support.resident_verifier import GOOD, ZONE, dns, host, server      # noqa: F401
from tests.support.rspawn_driver import files_opened_by_us


class TestSameAsOneShot:
    UNSURE = {"F"}      # the DNS can't tell: the server does not either

    @pytest.mark.parametrize("letter", one_shot.MESSAGES)
    def test_letters(self, host, server, letter):
        text = one_shot.MESSAGES[letter]
        for letters, way in (("-", "smtpd"), ("-", "qfilter"), (letter, "smtpd")):
            host.environment.update(DKVERIFY=letters, DKREASON="yes")
            without, having = resident.run_both(host, server.path, text, way)
            resident.assert_same(without, having)
            by_server = re.search(rb"; resident(; client=[^;]*)?\n\Z", having.log)
            assert bool(by_server) == (letter not in self.UNSURE), having

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
        text = b"From: a@example.com\n\n" + b"text\n" * (exchange.LARGEST_MESSAGE // 5)
        resident.assert_same(*resident.run_both(host, server.path, text))
        assert b"verify.sock" not in host.smtpd(text).log


class Switched(dns_server.DnsServer):
    """Its zone is that of one message after the other."""

    def switch(self, zone):
        self.zone = {name.lower().rstrip("."): value for name, value in zone.items()}


def test_the_corpus():
    """What is sure of each message, as without the server."""
    entries = corpus.entries()
    if not entries:
        pytest.skip("no corpus here")
    sure = 0
    with Switched({}) as dns, resident.Resident(dns.address) as running:
        for entry in entries:
            dns.switch(corpus.zone(entry))
            text = corpus.as_stored(entry)
            header, body = message.split([text])
            expected = inbound.own_report(header, body, resident.TERMS, dns.address, 2)
            try:
                report = resident.ask(running.path, text)
            except NoAnswer:
                assert "temperror" in expected.words, entry["id"]
                continue
            sure += 1
            assert (report.letter, report.fields, report.domains) == (
                expected.letter, expected.fields, expected.domains), entry["id"]
            assert report.removed == expected.removed
            assert without_time(report.words) == without_time(expected.words)
    assert sure > len(entries) * 0.8


def without_time(words):
    return words.rpartition("; dns ")[0]


def send(path, packet, fds, wait=True):
    """-> what the server answers to a client of another kind."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(resident.LONGEST_WAIT)
        connection.connect(path)
        try:
            socket.send_fds(connection, [packet], fds)
            return connection.recv(100) if wait else None
        except (BrokenPipeError, ConnectionResetError):
            return b""


REQUEST = exchange.request(resident.TERMS)

NO_REQUESTS = [b"2" + REQUEST[1:], REQUEST[:-1], b"3 1024 no x\n", b"3 1024 2 x off\n",
               b"3 x no x off\n", b"3 0 no x off\n", b"3 1 no a;b off\n", b"3 1 no  off\n",
               b"3 1 no x marks\n", b"3 1 no x off\n192.0.2.7\n", b"3 1 no x mark x\n",
               b"3 1 no x mark\n192.0.2.7", b"3 1 no x mark\n192.0.2.7\n" + b"a" * 901]


def test_bad_clients(dns):
    """They get no answer; the worker goes on, and keeps no descriptor."""
    with resident.Resident(dns.address, "--workers", "1") as running, \
            open(os.devnull, "rb") as device, open(__file__, "rb") as file, \
            open(running.directory + "/large", "wb+") as large, socket.socket() as other:
        large.truncate(exchange.LARGEST_MESSAGE + 1)
        pipe = os.pipe()
        worker, = running.workers()
        # 0 to 2, the socket, and the file that the workers share
        resident.until_true(lambda: len(files_opened_by_us(worker)) == 5)
        for packet, fds in ((b"", []), (b"x", [file.fileno()]), (REQUEST, []),
                            (REQUEST, [file.fileno()] * 3), (REQUEST, [device.fileno()]),
                            (REQUEST, [other.fileno()]), (REQUEST, [pipe[0]]),
                            (REQUEST, [large.fileno()]), (REQUEST * 9, [file.fileno()]),
                            *((request, [file.fileno()]) for request in NO_REQUESTS)):
            assert send(running.path, packet, fds) == b"", packet
        for _ in range(100):
            send(running.path, REQUEST, [file.fileno()], wait=False)
            assert send(running.path, REQUEST, [file.fileno(), file.fileno()]) == b""
            assert resident.ask(running.path, GOOD).letter == "A"
        assert running.workers() == {worker}
        resident.until_true(lambda: len(files_opened_by_us(worker)) == 5)
        for fd in pipe:
            os.close(fd)


def test_answers_are_kept():
    with dns_server.Living({verifying.NAME: one_shot.RECORD}, (300,), (300, 300)) as dns, \
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


REVERSE = "7.2.0.192.in-addr.arpa"
FAILS = {"rcode": "SERVFAIL"}

# SPF record, changes in the DNS -> SPF's result, None if it is left to the client
NAMES_OF_THE_CLIENT = {
    "its name": ("v=spf1 ptr -all", {}, "pass"),
    "no answer": ("v=spf1 ptr -all", {REVERSE: FAILS}, None),
    "no answer for the name's address": (
        "v=spf1 ptr -all", {"mail.example.com": FAILS}, None),
    "no answer, in a macro": ("v=spf1 exists:%{p}.example.com -all", {REVERSE: FAILS}, None),
    "no answer, but not needed": ("v=spf1 ptr ip4:192.0.2.7 -all", {REVERSE: FAILS}, "pass"),
}


@pytest.mark.parametrize("name", NAMES_OF_THE_CLIENT)
def test_a_failure_for_lack_of_the_clients_name_is_left_to_the_client(name):
    """It would refuse a message for good that passes when the name can be looked up."""
    record, changes, status = NAMES_OF_THE_CLIENT[name]
    terms = Terms(1024, False, b"mx.example.net", True,
                  Client(bytes((192, 0, 2, 7)), b"", b"a@example.com"))
    zone = {"example.com": [record], "_dmarc.example.com": ["v=DMARC1; p=reject"],
            REVERSE: {"PTR": ["mail.example.com"]}, "mail.example.com": {"A": ["192.0.2.7"]},
            **changes}
    with dns_server.DnsServer(zone) as dns, \
            resident.Resident(dns.address, "--workers", "1") as running:
        if status:
            assert f"spf={status} " in resident.ask(running.path, verifying.MESSAGE, terms).words
        else:
            with pytest.raises(NoAnswer):
                resident.ask(running.path, verifying.MESSAGE, terms)


def private_memory(process):
    """Bytes that a process shares with no other."""
    with open(f"/proc/{process}/smaps_rollup", encoding="ascii") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private_")) << 10


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="needs Linux 4.14")
def test_strangers_records_take_no_more_than_doc_high_volume_says():
    """Ten names in each message, two records of 3 kB at each: 9 MB in all."""
    names, field = iter(range(1500)), verifying.dkim_signed(s="x")[:-len(verifying.MESSAGE)]
    zone = {f"x{number}._domainkey.example.com": ["v=DKIM1; p=" + "A" * 3000] * 2
            for number in range(1500)}
    with dns_server.Living(zone, (3600, 3600)) as dns, \
            resident.Resident(dns.address, "--workers", "1") as running:
        resident.ask(running.path, GOOD.replace(b"s=sel", b"s=none"))
        (before,) = map(private_memory, running.workers())
        for _ in range(150):
            text = b"".join(field.replace(b"s=x;", b"s=x%d;" % next(names), 1) for _ in range(10))
            assert resident.ask(running.path, text + verifying.MESSAGE).letter == "E"
        (after,) = map(private_memory, running.workers())
        assert len({name for _, name, _ in dns.asked}) == 1501
    figure = int(re.search(r"grow by (\d+) MiB, 2 of which are cached keys", (
        pathlib.Path(resident.ROOT) / "doc" / "high-volume").read_text())[1])
    # The 2 MiB of what is remembered, and what malloc() has left over.
    assert after - before < 5 << 20 < figure << 20


def test_dead_name_servers_leave_a_worker_for_known_names():
    """Twelve messages at once, each with a key whose server does not answer."""
    with dns_server.Living(ZONE, (300,)) as dns, \
            resident.Resident(dns.address, "--workers", "4") as running, \
            contextlib.ExitStack() as stack:
        for _ in range(50):             # each worker gets to know the key
            assert resident.ask(running.path, GOOD).letter == "A"
        texts = [verifying.dkim_signed(s=f"dead{number}") for number in range(12)]
        for text in texts:
            fd, _ = stack.enter_context(resident.file_of(text))
            connection = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            connection.connect(running.path)
            socket.send_fds(connection, [REQUEST], [fd])
        # Three wait for the DNS; those that do not get a turn are done with.
        running.wait_for("the others wait for the DNS")
        assert [resident.ask(running.path, GOOD).letter for _ in range(20)] == ["A"] * 20
        assert running.log().count("dns 0.000") >= 20


@pytest.mark.parametrize("there", [True, False])
def test_what_it_can_not_verify_is_left_to_the_client(dns, monkeypatch, there):
    """Letter H: without memory, or where its library has no Ed25519.  The client may have both."""
    text = verifying.dkim_signed(key=verifying.Ed25519(), s="ed")
    verifier = resident_verifier.ResidentVerifier(dns.address)
    told = []
    monkeypatch.setattr(maillog, "tell", told.append)
    if not there:
        def fails(*arguments):
            raise CryptoTrouble("no Ed25519 here")
        monkeypatch.setattr(crypto, "ed25519_verifies", fails)
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, its, resident.file_of(text) as (fd, _):
        socket.send_fds(ours, [REQUEST], [fd])
        verifier.serve(its)
        its.close()
        answer = ours.recv(100_000)
    if there:
        assert answer.startswith(b"3 A -\n") and told[0].startswith("A, ")
    else:
        assert answer == b"" and told[0].startswith("no answer: there is no result now")


def test_who_has_given_up_costs_nothing(dns, monkeypatch):
    """On a host with too much to do, the workers would else do it twice."""
    verifier = resident_verifier.ResidentVerifier(dns.address)
    told = []
    monkeypatch.setattr(maillog, "tell", told.append)
    monkeypatch.setattr(resident_verifier.examination, "examine", None)     # a call would fail
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its, resident.file_of(GOOD) as (fd, _):
        socket.send_fds(ours, [REQUEST], [fd])
        ours.close()
        verifier.serve(its)
    assert told[0].startswith("no answer: it came too late")


@pytest.mark.parametrize("count, answered", [(1500, True), (12_000, False)])
def test_an_answer_that_would_be_too_long(dns, count, answered):
    """Of a message with so many false fields, each of which it names.  They are removed."""
    text = b"Authentication-Results: mx.example.net; dkim=pass\n" * count + GOOD
    with resident.Resident(dns.address) as running, resident.Place() as place:
        host = queue_driver.Host(pathlib.Path(place.directory))
        host.environment.update(DKVERIFY="-", DNSCACHEIP=dns.address)
        without, having = resident.run_both(host, running.path, text)
        resident.assert_same(without, having)
        one_shot.below(having.queued["message"], GOOD)
        assert (b"no answer" not in having.log) == answered
        assert ("too much to say" not in running.log()) == answered


def test_its_time_for_the_dns_is_less_than_the_client_waits():
    """As they are set where no test has made them patient."""
    told = subprocess.run(
        [sys.executable, "-c", "import sys; sys.path.insert(0, sys.argv[1])\n"
         "from lib.verifyd import server\nfrom lib.verifying import exchange\n"
         "print(server.DNS_SECONDS, exchange.PATIENCE)", resident.ROOT],
        stdout=subprocess.PIPE, check=True)
    assert told.stdout == b"0.8 1.0\n"


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
