# SPDX-License-Identifier: MIT
"""What goes to syslog: a line for each signing, a warning with a remedy for each trouble."""

import contextlib
import ctypes
import signal
import socket
import syslog

import pytest

from lib import maillog, process
from tests.support import signing
from tests.support.deliveries import Host
from tests.support.syslog_reader import (      # noqa: F401
    INFO, SYSLOG, WARNING, daemon, deliver, lines, log, recipient, whole,
)


def test_signing(log, tmp_path):
    host = Host(tmp_path)
    whole(host)
    deliver(host)
    assert lines(log, host) == [(INFO, (
        "signed: dkim d=example.com s=default a=rsa-sha256, "
        "domainkeys d=example.com s=default a=rsa-sha1; "
        f"host=example.net sender=<joe@example.com> recipient=<{recipient(host)}>"))]


def test_no_key_no_line(log, tmp_path):
    host = Host(tmp_path)
    host.environment["DKSIGN"] = "/nonexistent/%/default"
    deliver(host)
    assert lines(log, host) == []


# author, envelope sender -> what is said of mail without a key
KEYLESS = [
    ("joe@a.example.com", "jane@example.net", "no key for a.example.com"),
    ("joe@localhost", "jane@EXAMPLE.net", "no key for example.net"),
    ("a@example.com, b@example.net", "x@example.org", "no key for example.org"),
    ("joe@localhost", "jane@evil; host=x sender=<", "no domain that could have a key"),
    ("joe@localhost", "", "no domain that could have a key"),
]


@pytest.mark.parametrize("author, sender, words", KEYLESS)
def test_a_line_without_a_key_if_all_are_wanted(log, tmp_path, author, sender, words):
    host = Host(tmp_path)
    host.message.write_text(f"From: {author}\n\n")
    host.environment.update(DKSIGN="/nonexistent/%/default", DKLOG="all")
    deliver(host, sender)
    assert lines(log, host) == [(INFO, f"not signed: {words}; host=example.net sender=<{sender}> "
                                       f"recipient=<{recipient(host)}>")]


def test_all_lines_are_no_second_line(log, tmp_path):
    """Not for mail that is signed, or that has another line."""
    host = Host(tmp_path)
    whole(host)
    host.environment["DKLOG"] = "all"
    deliver(host)
    host.message.write_bytes(b"From: joe@example.com\nrubbish\n\n\n")
    deliver(host)
    assert [line.partition(":")[0] for _, line in lines(log, host)] == ["signed", "warning"]


def test_what_relays_will_change(log, tmp_path):
    host = Host(tmp_path)
    host.message.write_bytes(b"From: joe@example.com\n\n" + b"x" * 999 + b"\n")
    deliver(host)
    (_, *warnings) = lines(log, host)
    assert [priority for priority, _ in warnings] == [WARNING, WARNING]
    assert {line.partition(",")[0] for _, line in warnings} == {
        "warning: a line has more than 998 bytes", "warning: there is no Date and no To field"}


def test_key_readable_by_others(log, tmp_path):
    host = Host(tmp_path)
    path = host.keys / "example.com" / "default"
    path.chmod(0o644)
    deliver(host)
    warned = f"warning: {path} is readable by others; remedy: chmod o= {path}; host=example.net "
    assert [level for level, line in lines(log, host) if line.startswith(warned)] == [WARNING]


def test_trouble(log, tmp_path):
    host = Host(tmp_path)
    (host.keys / "example.com" / "default").write_text("rubbish")
    deliver(host)
    host.environment["DKONERROR"] = "unsigned"
    deliver(host)
    (deferred, first), (sent, second) = lines(log, host)
    assert deferred == sent == WARNING
    assert first.startswith("warning: deferred: ") and "example.com/default: neither a PEM" in first
    assert second.startswith("warning: sent unsigned (DKONERROR): ") and "neither a PEM" in second
    assert second.endswith(f"sender=<joe@example.com> recipient=<{recipient(host)}>")


def test_header_that_cannot_be_signed(log, tmp_path):
    host = Host(tmp_path)
    host.message.write_bytes(b"From: joe@example.com\nrubbish\n\n\n")
    deliver(host)
    ((priority, line),) = lines(log, host)
    assert priority == WARNING
    assert "sent unsigned: header line 2 is not a header field" in line


# From: field -> who signs by the line in the log, and what else it says
DOUBTED = [
    ("<@x,ceo@example.com:a@evil.example>", "x@example.net", [],
     "sent unsigned, though example.com has a key: not all readers find one author in From:, "
     "which could be of x, example.com, evil.example"),
    ("Team: Joe <joe@Lists.example.com>;", "x@example.net", [],
     "sent unsigned, though example.com has a key: not all readers find one author in From:, "
     "which could be of lists.example.com"),
    ("a@example.com, b@example.org", "x@example.org", ["example.org"],
     "not signed as example.com, though example.com has a key: "),
    # the domain signs all the same, or has no key
    ("a@example.com, b@example.net", "x@example.com", ["example.com"], None),
    ("a@example.net, b@example.net", "x@example.net", [], None),
    ("Example, Inc. <a@example.com>", "x@example.net", ["example.com"], None),
    ("root@web_01.example.com", "x@example.net", ["example.com", "example.com"], None),
    ("root@b\u00fcro.example.com", "x@example.net", ["example.com", "example.com"], None),
    ("a@example.net", "root@web_01.example.com", ["example.com"], None),
]


@pytest.mark.parametrize("author, sender, domains, doubt", DOUBTED,
                         ids=[row[0] for row in DOUBTED])
def test_authors_that_are_not_the_same_for_all(tmp_path, author, sender, domains, doubt):
    signer = signing.Signer(tmp_path, [("example.com", "s1", "rsa.pem"),
                                       ("example.org", "s1", "rsa.pem")])
    signed = signer.sign(f"Date: x\nFrom: {author}\nTo: x\nSubject: x\n\n".encode(), sender)
    assert [signing.tags(field)["d"] for name, field in signing.fields(signed)
            if name.endswith("-Signature")] == domains
    warnings = [line for line in signer.log if " has a key: " in line]
    assert len(signer.log) == bool(domains) + bool(doubt)
    assert len(warnings) == bool(doubt)
    assert doubt is None or doubt in warnings[0]


def test_doubt_is_no_reason_to_wait(tmp_path):
    """A key that can't be used is one all the same."""
    signer = signing.Signer(tmp_path, [("example.com", "s1", "rsa.pem")])
    (tmp_path / "example.com" / "s1").unlink()
    (tmp_path / "example.com" / "s1").mkdir()
    message = b"From: Team: joe@example.com;\n\n"
    assert signer.sign(message, "x@example.net") == message
    (line,) = signer.log
    assert "sent unsigned, though example.com has a key: " in line


def test_control_characters_stay_out(log, tmp_path):
    host = Host(tmp_path)
    whole(host)
    deliver(host, sender="a\nb\x1b[2J\u00e9@example.com")
    ((_, line),) = lines(log, host)
    assert "sender=<a?b?[2J?" in line


@contextlib.contextmanager
def stuck():
    """A daemon that takes no more lines."""
    with daemon(), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                sender.sendto(b"a line", SYSLOG)
        yield


@pytest.mark.parametrize("key, verdict", [(None, "K"), ("rubbish", "Z")])
def test_a_stuck_daemon_holds_nothing_up(tmp_path, key, verdict):
    host = Host(tmp_path)
    if key:
        (host.keys / "example.com" / "default").write_text(key)
    with stuck():
        assert deliver(host).verdict == verdict


def test_after_a_line_that_was_not_taken_none_is_tried(monkeypatch):
    monkeypatch.setattr(maillog, "silent_until", 0)
    with stuck():
        maillog.info("first")
    monkeypatch.setattr(syslog, "syslog", None)     # a call would fail
    maillog.info("second")
    monkeypatch.setattr(maillog, "silent_until", 0)
    with pytest.raises(TypeError):
        maillog.info("third")


def test_what_waits_is_interrupted():
    pause = ctypes.CDLL(None).pause
    assert process.takes_longer(0.01, pause)
    assert not process.takes_longer(60, len, "")
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL
