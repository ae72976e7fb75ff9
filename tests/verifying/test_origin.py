# SPDX-License-Identifier: MIT
"""The log line of a message that is refused says who handed it over, and can't be forged."""

import re

import pytest

from lib import maillog
from tests.support import dns_server, queue_driver, resident, verifying
from tests.support.verifier import below
from tests.support.queue_driver import ENVELOPE

BAD = verifying.dkim_signed().replace(b"\n\n", b"\n\nAnother body.\n", 1)
WITH_ID = b"Message-ID: <id.1@example.com>\n" + BAD
LINE = re.compile(rb"qmail-qfilter-verify: qp \d+ (rejected|deferred): bad \(B\); dkim=fail [^;]*; "
                  rb"dns \d\.\d{3} s(?:; resident)?; client=(\S+) sender=(\S+) message-id=(\S+)\n")


@pytest.fixture(scope="module")
def dns():
    with dns_server.DnsServer({verifying.NAME: [verifying.golden_rsa().record()]}) as server:
        yield server


@pytest.fixture
def host(tmp_path, dns):
    host = queue_driver.Host(tmp_path)
    host.environment.update(DKVERIFY="B", DNSCACHEIP=dns.address)
    return host


def words(outcome):
    """(what was done, client, sender, Message-ID) in the one line of a log."""
    found = LINE.fullmatch(outcome.log)
    assert found, outcome.log
    return found.groups()


@pytest.mark.parametrize("letters, code, done", [("B", 31, b"rejected"), ("b", 71, b"deferred")])
def test_as_queue_program(host, letters, code, done):
    host.environment["DKVERIFY"] = letters
    outcome = host.smtpd(WITH_ID)
    assert (outcome.code, outcome.queued) == (code, {})
    assert words(outcome) == (done, b"192.0.2.7", b"<alice@example.com>", b"<id.1@example.com>")


@pytest.mark.parametrize("user, name, sender", [
    ("alice", "example.com", b"<alice@example.com>"), ("", "", b"<>"), ("root", "", b"<root>"),
    (None, None, b"<alice@example.com>")])
def test_under_qfilter(host, user, name, sender):
    if user is not None:
        host.environment.update(QMAILUSER=user, QMAILHOST=name)
    outcome = host.qfilter(WITH_ID)      # which has the envelope on descriptor 3, too
    assert (outcome.code, outcome.output) == (31, b"")
    assert words(outcome) == (b"rejected", b"192.0.2.7", sender, b"<id.1@example.com>")


def test_under_a_filter_that_tells_no_sender(host):
    assert words(host.qfilter(WITH_ID, b"no envelope\0"))[2] == b"unknown"


def test_by_the_resident_verifier(host, dns):
    with resident.Resident(dns.address) as server:
        host.environment["DKSERVER"] = server.path
        assert words(host.smtpd(WITH_ID))[1:] == (
            b"192.0.2.7", b"<alice@example.com>", b"<id.1@example.com>")


def test_an_accepted_message_keeps_its_envelope(host):
    host.environment["DKVERIFY"] = "-"
    outcome = host.smtpd(WITH_ID)
    assert outcome.queued["envelope"] == ENVELOPE and b"client=" not in outcome.log
    below(outcome.queued["message"], WITH_ID)


# envelope -> the sender in the log
ENVELOPES = {
    "a bounce": (b"F\0Tbob@example.net\0\0", b"<>"),
    "none": (None, b"unknown"),
    "cut short": (b"Falice@exam", b"unknown"),
    "no envelope": (b"Talice@example.com\0\0", b"unknown"),
    "blanks": (b"Fa b\tc@example.com\0Tx@y\0\0", b"<a?b?c@example.com>"),
    "lines": (b"Fa@example.com\nqmail-qfilter-verify: qp 1 accepted: good (A)\r\0Tx@y\0\0",
              b"<a@example.com?qmail-qfilter-verify:?qp?1?accepted:?good?(A)?>"),
    "words of ours": (b"Fa> message-id=<b; dkim=pass\0Tx@y\0\0", b"<a??message-id=?b??dkim=pass>"),
    "terminal": (b"F\x1b[2J\xc3\xa9\x7f@example.com\0Tx@y\0\0", b"<?[2J???@example.com>"),
    "longest": (b"F" + b"a" * 160 + b"\0Tx@y\0\0", b"<" + b"a" * 160 + b">"),
    "too long": (b"F" + b"a" * 100_000 + b"\0Tx@y\0\0", b"<" + b"a" * 160 + b"...>"),
}


@pytest.mark.parametrize("name", ENVELOPES)
def test_any_envelope(host, name):
    envelope, sender = ENVELOPES[name]
    assert words(host.smtpd(WITH_ID, envelope))[2] == sender


# Message-ID field -> what is in the log
IDENTIFIERS = {
    "none": (b"", b"unknown"),
    "two": (b"Message-ID: <1@a>\nMessage-ID: <2@b>\n", b"<1@a>"),
    "folded": (b"message-id:\n <1@a>\n", b"<1@a>"),
    "no brackets": (b"Message-Id: 1@a (comment)\n", b"<1@a?(comment)>"),
    "empty": (b"Message-ID:\n", b"<>"),
    "a fold within": (b"Message-ID: <1@a>\n\tqp 1 accepted\n", b"<1@a???qp?1?accepted>"),
    "our words": (b"Message-ID: <1> client=<2>; sender=x\n", b"<1??client=?2???sender=x>"),
    "long": (b"Message-ID: <" + b"x" * 60_000 + b">\n", b"<" + b"x" * 160 + b"...>"),
}


@pytest.mark.parametrize("name", IDENTIFIERS)
def test_any_message_id(host, name):
    field, shown = IDENTIFIERS[name]
    assert words(host.smtpd(field + BAD))[3] == shown


@pytest.mark.parametrize("address, shown", [
    (None, b"unknown"), ("", b"unknown"), ("2001:db8::1", b"2001:db8::1"),
    ("1.2.3.4 sender=<x>", b"1.2.3.4?sender=?x?")])
def test_any_client(host, address, shown):
    del host.environment["TCPREMOTEIP"]
    if address is not None:
        host.environment["TCPREMOTEIP"] = address
    assert words(host.smtpd(WITH_ID))[1] == shown


def test_many_results_leave_room(host):
    """The line has a limit, and who it was is not what is cut off."""
    others = "".join(f"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=none{number}-{'x' * 50};"
                     f" h=from; bh={'A' * 43}=; b={'A' * 344}\n" for number in range(9))
    outcome = host.smtpd(others.encode() + WITH_ID)
    assert outcome.log.endswith(
        b"; client=192.0.2.7 sender=<alice@example.com> message-id=<id.1@example.com>\n")
    assert len(outcome.log) == len("qmail-qfilter-verify: \n") + maillog.LONGEST


CLIENT = b"; client=192.0.2.7"
WHOLE = CLIENT + b" sender=<alice@example.com> message-id=<id.1@example.com>"

# setting -> the end of the line: what was known when the error was found
TROUBLES = {
    ("DKVERIFY", "DEL"): CLIENT, ("DKAUTHSERVID", "a b"): CLIENT,
    ("DKTIMEOUT", "soon"): WHOLE, ("DNSCACHEIP", "localhost"): WHOLE,
    ("DKQUEUE", "/nonexistent"): WHOLE,
}


@pytest.mark.parametrize("setting", TROUBLES, ids=lambda setting: setting[0])
@pytest.mark.parametrize("dmarc", ["off", "refuse"])    # with it, the envelope is read before
def test_trouble_of_ours_names_what_is_known(host, setting, dmarc):
    host.environment.update([("DKVERIFY", "-"), ("DKDMARC", dmarc), setting])
    outcome = host.smtpd(WITH_ID)
    assert (outcome.code, outcome.queued) == (55, {})
    end = TROUBLES[setting]
    line = outcome.log.splitlines()[-1]
    assert line.startswith(b"qmail-qfilter-verify: deferred: SettingTrouble: ")
    assert line.endswith(end) and line.count(b"sender=") == end.count(b"sender=")


def test_trouble_as_a_filter(host):
    host.environment["DKTIMEOUT"] = "soon"
    assert host.qfilter(WITH_ID).log.endswith(WHOLE + b"\n")


def test_refused_by_the_policy_of_the_author(tmp_path):
    zone = {verifying.NAME: [verifying.golden_rsa().record()],
            "_dmarc.example.com": ["v=DMARC1; p=reject"], "example.com": ["v=spf1 -all"]}
    host = queue_driver.Host(tmp_path)
    with dns_server.DnsServer(zone) as dns:
        host.environment.update(DKVERIFY="-", DKDMARC="refuse", DNSCACHEIP=dns.address)
        outcome = host.smtpd(WITH_ID)
    assert outcome.code == 31
    assert b"; dmarc=fail from=example.com p=reject " in outcome.log
    assert outcome.log.endswith(WHOLE + b"\n")
