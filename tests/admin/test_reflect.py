# SPDX-License-Identifier: MIT
"""qmail-dk reflect: who gets an answer, what is in it, and how many are sent."""

import concurrent.futures
import email
import email.policy
import email.utils
import os
import threading
import time

import pytest

from tests.support import queue_driver, signing, verifying
from tests.support.administrator import Administrator
from tests.support.dns_server import DnsServer

SENDER = "alice@example.com"
RECIPIENT = "test@example.net"
CLIENT = b"192.0.2.7"
ARRIVED = (b"Received: (qmail 7 invoked from network); 29 Nov 2026 12:00:00 -0000\n"
           b"Received: from unknown (HELO client.example.com) (" + CLIENT + b")\n"
           b"  by mx.example.net with SMTP; 29 Nov 2026 12:00:00 -0000\n")
MESSAGE = verifying.MESSAGE.replace(b"bob@example.net", b"test@example.net")
IDENTIFIED = b"Message-ID: <1.2.alice@example.com>\n" + MESSAGE
PLAIN = ARRIVED + IDENTIFIED
SIGNED = ARRIVED + verifying.dkim_signed(IDENTIFIED)
BY_SPF = {"example.com": ["v=spf1 ip4:192.0.2.7 -all"]}
BY_DKIM = {verifying.NAME: [verifying.golden_rsa().record()]}
SERVFAIL = {"rcode": "SERVFAIL"}


class Alias(Administrator):
    """The user alias of a scratch host, with a queue program that records its run."""

    def __init__(self, directory):
        super().__init__(directory)
        for name in ("bin", "queued", "home"):
            (directory / name).mkdir()
        self.home = directory / "home"
        self.queue_program()
        self.environment.update(SENDER=SENDER, RECIPIENT=RECIPIENT, DKTIMEOUT="5",
                                DTLINE=f"Delivered-To: {RECIPIENT}\n")

    queue_program_at = queue_driver.Host.queue_program
    queued = queue_driver.Host.queued

    def queue_program(self, code=0):
        self.queue_program_at(self.directory / "bin" / "qmail-queue", code)


@pytest.fixture
def alias(tmp_path):
    with DnsServer(BY_SPF) as server:
        alias = Alias(tmp_path)
        alias.dns = server
        alias.environment["DNSCACHEIP"] = server.address
        yield alias


def deliver(alias, message=PLAIN, *arguments, age=0, **environment):
    """Runs the command as qmail-local does.  Returns its CompletedProcess."""
    path = alias.directory / f"mess-{os.urandom(8).hex()}"
    path.write_bytes(message)
    os.utime(path, (time.time() - age,) * 2)
    before = dict(alias.environment)
    alias.environment.update(environment)
    try:
        return alias.run("reflect", *arguments, cwd=alias.home,
                         command=["sh", "-c", f'exec "$@" <{path}', "sh"])
    finally:
        alias.environment = before


def is_answered(alias, done):
    """Whether a message was answered; the line in qmail-send's log must say the same."""
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.count("\n") == 1, done
    queued = bool(alias.queued())
    assert done.stdout.startswith("qmail-dk: answered, <" if queued
                                  else "qmail-dk: not answered, <")
    return queued


def answer(alias):
    return email.message_from_bytes(alias.queued()["message"], policy=email.policy.default)


def test_answer(alias):
    assert is_answered(alias, deliver(alias))
    queued = alias.queued()
    assert queued["envelope"] == b"F\0Talice@example.com\0\0"
    found = answer(alias)
    assert not found.defects and queued["message"].isascii() and b"\r" not in queued["message"]
    assert {name: found[name] for name in set(found.keys()) - {"Date", "Message-ID"}} == {
        "From": RECIPIENT, "To": SENDER, "Subject": "Auto: dkim=none spf=pass dmarc=none",
        "In-Reply-To": "<1.2.alice@example.com>", "References": "<1.2.alice@example.com>",
        "Auto-Submitted": "auto-replied", "MIME-Version": "1.0",
        "Content-Type": 'text/plain; charset="us-ascii"', "Content-Transfer-Encoding": "7bit"}
    assert abs(email.utils.parsedate_to_datetime(found["Date"]).timestamp() - time.time()) < 600
    assert found["Message-ID"].endswith("@example.net>")
    text = found.get_content()
    assert "\nSPF: client 192.0.2.7, mailfrom example.com\n" in text
    header, _, body = PLAIN.partition(b"\n\n")
    assert f"a header of {len(header) + 1} bytes and a body of {len(body)} bytes" in text
    quoted = "".join(f"> {line}\n" for line in header.decode().split("\n"))
    assert text.endswith("\n\n" + quoted)
    assert "Two  lines" not in text


def test_the_explanation_is_that_of_verify(alias):
    alias.dns.zone.update(BY_DKIM)
    assert is_answered(alias, deliver(alias, SIGNED))
    said = alias.run("verify", "--sender", SENDER, stdin=SIGNED).stdout
    assert "  result: pass\nSPF: client" in said
    assert f"\n\n{said}\n" in answer(alias).get_content()


# Names of what is wrong -> (environment, fields on top of the message)
NEVER = {
    "a bounce": ({"SENDER": ""}, b""),
    "a double bounce": ({"SENDER": "#@[]"}, b""),
    "a bounce of VERP": ({"SENDER": "list-return-@example.com-@[]"}, b""),
    "without a domain": ({"SENDER": "alice"}, b""),
    "one label": ({"SENDER": "alice@localhost"}, b""),
    "a literal": ({"SENDER": "alice@[192.0.2.7]"}, b""),
    "a quoted sender": ({"SENDER": '"alice smith"@example.com'}, b""),
    "a line end": ({"SENDER": "alice\nBcc: eve@example.org\n@example.com"}, b""),
    "beyond ASCII": ({"SENDER": "al\u00efce@example.com"}, b""),
    "a long sender": ({"SENDER": "a" * 65 + "@example.com"}, b""),
    "a recipient of no use": ({"RECIPIENT": "test-<b>@example.net"}, b""),
    **{local: ({"SENDER": local + "@example.com"}, b"") for local in (
        "MAILER-DAEMON", "owner-list", "list-request", "list-owner", "list-bounces", "no-reply",
        "NoReply", "do-not-reply", "bounce+alice=example.org", "list-bounces+alice=example.org",
        "list-return-7-alice=example.org", "SRS0=HHH=TT=example.org=alice", "postmaster")},
    "itself": ({"SENDER": "Test@example.net"}, b""),
    "From: itself": ({}, b"From: <TEST@example.net>\n"),
    "Delivered-To": ({}, b"Delivered-To: test@Example.net\n"),
    "Auto-Submitted": ({}, b"Auto-Submitted: auto-replied\n"),
    "Auto-Submitted, odd": ({}, b"auto-submitted:\n AUTO-GENERATED; owner-email=x\n"),
    "a second Auto-Submitted": ({}, b"Auto-Submitted: no\nAuto-Submitted: auto-notified\n"),
    "Precedence bulk": ({}, b"Precedence: Bulk\n"),
    "Precedence list": ({}, b"Precedence: list (of mine)\n"),
    "Precedence junk": ({}, b"PRECEDENCE : junk\n"),
    "List-Id": ({}, b"List-Id: <list.example.com>\n"),
    "List-Unsubscribe": ({}, b"list-unsubscribe: <mailto:off@example.com>\n"),
    "Mailing-List": ({}, b"Mailing-List: contact list-help@example.com; run by ezmlm\n"),
    "a report": ({}, b"Content-Type: multipart/report; report-type=delivery-status\n"),
    "Exchange": ({}, b"X-Auto-Response-Suppress: All\n"),
    "a long header": ({}, b"X: y\n" * 14_000),
    "a longer header": ({}, b"X: y\n" * 300_000),
}


@pytest.mark.parametrize("name", NEVER)
def test_never_answered(alias, name):
    """Though SPF passes, and DNS is not asked for it."""
    environment, fields = NEVER[name]
    message = fields + PLAIN
    if fields.startswith(b"From"):
        message = fields + PLAIN.replace(b"From: Alice <alice@example.com>\n", b"")
    assert not is_answered(alias, deliver(alias, message, **environment))
    assert alias.dns.asked == []


@pytest.mark.parametrize("fields", [
    b"", b"Auto-Submitted: no\n", b"Auto-Submitted: no (indeed)\n", b"Precedence: first-class\n",
    b"Content-Type: text/plain\n", b"Delivered-To: other@example.net\n", b"rubbish\n",
    b"Resent-From: test@example.net\n"])
def test_answered(alias, fields):
    assert is_answered(alias, deliver(alias, fields + PLAIN))


def signed_as(author, **changed):
    """A message of example.com's user with a signature; changed: as in dkim_signed()"""
    text = IDENTIFIED.replace(b"alice@example.com", author)
    return ARRIVED + verifying.dkim_signed(text, **changed)


FORGED = (b"Received: from unknown (HELO client.example.com) (198.51.100.9)\n"
          b"  by mx.example.net with SMTP; 29 Nov 2026 12:00:00 -0000\n")
LOCAL = b"Received: from mail by here with local; 29 Nov 2026 12:00:00 -0000\n"
OURS = b"Authentication-Results: mx.example.net; dkim=pass header.d=example.com; spf=pass\n"
KEY = BY_DKIM[verifying.NAME]

# What is sent, who is the sender, what the DNS has -> whether it is answered, and when not now
PROOFS = {
    "SPF": (PLAIN, SENDER, BY_SPF, True),
    "SPF alone, of another author": (signed_as(b"bob@example.org"), SENDER, BY_SPF, True),
    "SPF beside rubbish": (ARRIVED + b"DKIM-Signature: v=2\n" + IDENTIFIED, SENDER, BY_SPF, True),
    "SPF that fails": (FORGED + PLAIN, SENDER, BY_SPF, False),
    "SPF that is neutral": (PLAIN, SENDER, {"example.com": ["v=spf1 ?all"]}, False),
    "no SPF": (PLAIN, SENDER, {}, False),
    "SPF of another domain": (PLAIN, "alice@example.org", BY_SPF, False),
    "SPF by a field that the sender wrote": (LOCAL + PLAIN, SENDER, BY_SPF, False),
    "Authentication-Results": (OURS + PLAIN, SENDER, {}, False),
    "DKIM": (SIGNED, SENDER, BY_DKIM, True),
    "DKIM, in other letters": (SIGNED, "Alice@EXAMPLE.com", BY_DKIM, True),
    "DKIM of the parent": (signed_as(b"alice@a.example.com"), "alice@a.example.com", BY_DKIM, True),
    "DKIM of a part of the domain": (
        signed_as(b"alice@example.com", d="a.example.com"), SENDER,
        {"sel._domainkey.a.example.com": KEY}, False),
    "DKIM of another domain": (signed_as(b"alice@example.com", d="example.org"), SENDER,
                               {"sel._domainkey.example.org": KEY}, False),
    "DKIM of another user": (SIGNED, "eve@example.com", BY_DKIM, False),
    "DKIM that fails": (SIGNED + b"x\n", SENDER, BY_DKIM, False),
    "DKIM of a message to others": (
        ARRIVED + verifying.dkim_signed(), SENDER, BY_DKIM, False),
    "DKIM that does not cover To": (
        ARRIVED + verifying.dkim_signed(IDENTIFIED, h="From:Subject"), SENDER, BY_DKIM, False),
    "DKIM with a second To": (
        ARRIVED + b"To: test@example.net\n" + verifying.dkim_signed(), SENDER, BY_DKIM, False),
    "DKIM with two authors": (b"From: eve@example.com\n" + SIGNED, SENDER, BY_DKIM, False),
    "DomainKeys": (ARRIVED + verifying.domainkeys_signed(IDENTIFIED), SENDER, BY_DKIM, False),
    "SPF without an answer": (PLAIN, SENDER, {"example.com": SERVFAIL}, None),
    "DKIM without an answer": (SIGNED, SENDER, {verifying.NAME: SERVFAIL}, None),
    "DKIM, SPF without an answer": (SIGNED, SENDER, {"example.com": SERVFAIL, **BY_DKIM}, True),
    "DKIM of another domain without an answer": (
        signed_as(b"alice@example.com", d="example.org"), SENDER,
        {"sel._domainkey.example.org": SERVFAIL}, False),
}


@pytest.mark.parametrize("name", PROOFS)
def test_proof(alias, name):
    message, sender, zone, expected = PROOFS[name]
    alias.dns.zone = dict(zone)
    done = deliver(alias, message, SENDER=sender)
    if expected is None:
        assert (done.returncode, done.stdout, alias.queued()) == (111, "", {})
        assert done.stderr == ("qmail-dk: the DNS does not answer on example.com: "
                               "the answer has to wait\n")
        assert not is_answered(alias, deliver(alias, message, age=86401, SENDER=sender))
    else:
        assert is_answered(alias, done) == expected


# A field of the stranger -> what the answer's text has of it, None for nothing
ODD = {
    "controls": (b"Subject: \x1b[2J\x07\0\r\n", "> Subject: \\x1b[2J\\x07\\x00\\r\n"),
    "beyond ASCII": (b"Subject: \xff\xc3\xa9\n", "> Subject: \\xff\\xc3\\xa9\n"),
    "a fold": (b"Subject: a\n\tb\n", "> Subject: a\n> \tb\n"),
    "a long line": (b"Subject: " + b"x" * 5000 + b"\n", "> Subject: " + "x" * 891 + "...\n"),
    "MIME": (b"Content-Type: multipart/mixed; boundary=x\n--x\n",
             "> Content-Type: multipart/mixed; boundary=x\n> --x\n"),
    "much to escape": (b"X-Much: " + b"\xff" * 800 + b"\n" + b" \xff\xff\n" * 15_000,
                       "\n(and more, which is left out here)\n"),
    "much of a signature": (b"DomainKey-Signature: a=rsa-sha1; c=nofws; d=example.com; s=x; b=AA==;"
                            b" q=dns\n" + b"X-Much: yes\n" * 5000, "is left out here)\n\nThe"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_header(alias, name):
    field, shown = ODD[name]
    assert is_answered(alias, deliver(alias, ARRIVED + field + IDENTIFIED))
    queued = alias.queued()["message"]
    text = queued.partition(b"\n\n")[2].decode("ascii")
    assert shown in text
    assert all(character.isprintable() or character in "\t\n" for character in text)
    assert len(text) < 150_000 and max(map(len, queued.split(b"\n"))) < 998
    assert answer(alias).get_content_type() == "text/plain"


@pytest.mark.parametrize("field", [
    b"", b"Message-ID: rubbish\n", b"Message-ID: <a@b> <c@d>\n", b"Message-ID: <a@b\x07>\n",
    b"Message-ID: <a@b>\nMessage-ID: <c@d>\n", b"Message-ID: <" + b"a" * 250 + b"@b>\n",
    b"Message-ID: <a\n\t@b>\n"])
def test_identifier_out_of_the_grammar(alias, field):
    assert is_answered(alias, deliver(alias, ARRIVED + field + MESSAGE))
    head = alias.queued()["message"].partition(b"\n\n")[0]
    assert b"In-Reply-To" not in head and b"References" not in head
    assert len(signing.fields(head)) == 9


def test_from(alias):
    """A virtual domain's recipient has a prefix that is no part of the address."""
    done = deliver(alias, PLAIN, "--from", RECIPIENT, RECIPIENT=f"alias-example-{RECIPIENT}")
    assert is_answered(alias, done) and answer(alias)["From"] == RECIPIENT


def forget(alias):
    for path in (alias.directory / "queued").iterdir():
        path.unlink()


def answers(alias, *arguments, times=3, **environment):
    """How many of some equal messages are answered."""
    count = 0
    for _ in range(times):
        forget(alias)
        count += is_answered(alias, deliver(alias, PLAIN, *arguments, **environment))
    return count


def test_most(alias):
    assert answers(alias, "--most", "2") == 2
    assert answers(alias, "--most", "2", SENDER="ALICE@example.com") == 0
    assert answers(alias, "--most", "2", SENDER="bob@example.com", times=1) == 1
    assert answers(alias, "--most", "1", "--directory", alias.home / "other") == 1
    counted = alias.home / ".reflect" / "answers"
    today = counted.read_text()
    assert today.splitlines()[1:] == [SENDER, SENDER, "bob@example.com"]
    assert (counted.stat().st_mode & 0o777, counted.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    counted.write_text("2026-01-01\n" + f"{SENDER}\n" * 2)
    assert answers(alias, "--most", "2", times=1) == 1
    assert counted.read_text().splitlines()[1:] == [SENDER]
    counted.write_text(today + "x@example.com\n" * 20_000)
    assert answers(alias, SENDER="carol@example.com", times=1) == 0


def test_who_is_not_answered_is_not_counted(alias):
    assert not is_answered(alias, deliver(alias, FORGED + PLAIN))
    assert answers(alias, "--most", "1", times=1) == 1


class Held(dict):
    """A zone that answers only after go is set."""

    def __init__(self, zone):
        super().__init__(zone)
        self.go = threading.Event()

    def get(self, *arguments):
        self.go.wait()
        return super().get(*arguments)


def test_two_at_once(alias):
    """The second one waits in the queue as long as the DNS lets the first one wait."""
    alias.environment["DKTIMEOUT"] = "600"
    alias.dns.zone = Held(BY_SPF)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(deliver, alias, PLAIN, "--most", "1")
        while not (alias.dns.asked or first.done()):
            time.sleep(0.01)
        second = deliver(alias, PLAIN, "--most", "1")
        alias.dns.zone.go.set()
        assert (second.returncode, second.stdout) == (111, "")
        assert "another message is being answered" in second.stderr
        assert is_answered(alias, first.result())
    forget(alias)
    assert not is_answered(alias, deliver(alias, PLAIN, "--most", "1"))


def test_queue_program_fails(alias):
    """The message waits, and the answer does not count."""
    alias.queue_program(53)
    done = deliver(alias, PLAIN, "--most", "1")
    assert (done.returncode, done.stdout) == (111, "")
    assert "qmail-queue ended with 53" in done.stderr
    (alias.directory / "bin" / "qmail-queue").unlink()
    done = deliver(alias, PLAIN, "--most", "1")
    assert done.returncode == 111 and "bin/qmail-queue" in done.stderr
    alias.queue_program()
    assert answers(alias, "--most", "1", times=1) == 1


def test_replaced_queue_program(alias):
    """An answer is no mail to verify: it goes to qmail's own."""
    bin = alias.directory / "bin"
    (bin / "qmail-queue").rename(bin / "qmail-queue.orig")
    (bin / "qmail-queue").write_text("#!/bin/sh\n# qmail_qfilter_verify.py\nexit 71\n")
    assert is_answered(alias, deliver(alias))


def test_directory_that_can_not_be_made(alias):
    done = deliver(alias, PLAIN, "--directory", "/proc/none")
    assert (done.returncode, done.stdout, alias.queued()) == (111, "", {})
    assert not is_answered(alias, deliver(alias, PLAIN, "--directory", "/proc/none", age=86401))


@pytest.mark.parametrize("arguments", [["--most", "x"], ["--bogus"], ["other"]])
def test_misuse_bounces_nothing(alias, arguments):
    assert deliver(alias, PLAIN, *arguments).returncode == 111
    del alias.environment["DTLINE"]
    assert deliver(alias, PLAIN, *arguments).returncode == 100


def test_by_hand(alias):
    for name in ("SENDER", "RECIPIENT", "DTLINE"):
        del alias.environment[name]
    assert "a dot-qmail file" in alias.refused("reflect", stdin=PLAIN)
