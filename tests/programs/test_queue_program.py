# SPDX-License-Identifier: MIT
"""The verifier as qmail-smtpd and qmail-qfilter see it: descriptors, exit codes, bytes."""

import os
import signal

import pytest

from lib.qmail import queue
from tests.support import queue_driver
from tests.support.queue_driver import ENVELOPE
from tests.support.verifier import (      # noqa: F401
    FALSE, GOOD, MESSAGES, NAME, ODD_MESSAGES, OTHERS, PLAIN, assert_one_line, below, dns, host,
    verifier,
)


def test_a_verifier_that_loops_is_ended(verifier, tmp_path):
    """As Python itself may, where memory is short.  qmail.c takes a crash for temporary."""
    with open(queue_driver.PROGRAM, encoding="ascii") as file:
        text = file.read()
    assert "\nLONGEST = 120\n" in text
    program = tmp_path / "verifier.py"
    program.write_text(text.replace("\nLONGEST = 120\n", "\nLONGEST = 0.1\n"))
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "__init__.py").write_text("while True:\n    pass\n")
    verifier.program = [str(program)]
    outcome = verifier.smtpd(GOOD)
    assert (outcome.code, outcome.queued) == (-signal.SIGPROF, {})


def test_good_message_by_smtpd(verifier, dns):
    outcome = verifier.smtpd(GOOD)
    assert outcome.code == 0
    added = below(outcome.queued["message"], GOOD)
    assert b"dkim=pass" in added and b"DomainKey-Status: good\n" in added
    assert outcome.queued["envelope"] == ENVELOPE
    assert (outcome.queued["regular"], outcome.queued["at"]) == (True, 0)
    assert outcome.queued["process"] == outcome.process
    assert outcome.queued["arguments"] == [verifier.environment["DKQUEUE"]]
    assert_one_line(outcome.log, b" qp %d accepted: good (A); " % outcome.process,
                    b"dkim=pass d=example.com s=sel; dns 0.")
    assert outcome.reason == b""
    assert [name for _, name, _ in dns.asked] == [NAME]


def test_good_message_by_qfilter(verifier):
    outcome = verifier.qfilter(GOOD)
    assert outcome.code == 0 and not outcome.queued
    assert b"dkim=pass" in below(outcome.output, GOOD)
    assert_one_line(outcome.log, b" qp %d accepted" % os.getpid())


@pytest.mark.parametrize("letter", MESSAGES)
def test_letters(verifier, letter):
    """Upper case, lower case, all others: as a queue program and as a filter."""
    others = "".join(other for other in "ABCDEFGHIJK" if other != letter)
    for letters, code in ((letter, 31), (letter.lower(), 71), (others + others.lower(), 0)):
        verifier.environment["DKVERIFY"] = letters
        outcome = verifier.smtpd(MESSAGES[letter])
        assert (letters, outcome.code) == (letters, code), outcome
        assert bool(outcome.queued) == (code == 0)
        verdict = {31: b"rejected", 71: b"deferred", 0: b"accepted"}[code]
        assert_one_line(outcome.log, verdict, b"(%s)" % letter.encode())
        if code == 0:
            below(outcome.queued["message"], MESSAGES[letter])
        filtered = verifier.qfilter(MESSAGES[letter])
        assert filtered.code == code
        assert filtered.output == (outcome.queued["message"] if code == 0 else b"")


def test_verdict_table():
    for letter in "ABCDEFGHIJK":
        for letters, code in ((letter, 31), (letter.lower(), 71), ("", 0), ("-", 0),
                              (letter + letter.lower(), 31), (letter.lower() + letter, 31)):
            assert queue.verdict(letters, letter) == code


# DKVERIFY's letter, message -> the text on descriptor 6
REASONS = {
    "B": b"Dmessage refused by DKIM or DomainKeys policy: "
         b"its signature does not match it (example.com) (#5.7.20)",
    "f": b"Zmessage refused by DKIM or DomainKeys policy: "
         b"the public key of its signature could not be looked up in the DNS "
         b"(example.com) (#4.7.20)",
    "C": b"Dmessage refused by DKIM or DomainKeys policy: it has no signature (#5.7.20)",
}


@pytest.mark.parametrize("letter", REASONS)
def test_reason(verifier, letter):
    verifier.environment.update(DKVERIFY=letter, DKREASON="yes")
    outcome = verifier.smtpd(MESSAGES[letter.upper()])
    assert (outcome.code, outcome.reason) == (82, REASONS[letter])


def test_reason_is_short_and_one_line(verifier):
    domains = [(b"a%d." % number) * 12 + b"example.com" for number in range(9)]
    fields = b"".join(b"DKIM-Signature: v=1; d=%s; s=x; h=from; a=rsa-sha256; bh=AA==; b=AA==\n"
                      % domain for domain in domains)
    verifier.environment.update(DKVERIFY="D", DKREASON="yes")
    outcome = verifier.smtpd(fields + PLAIN)
    assert outcome.code == 82
    assert len(outcome.reason) == 255 and outcome.reason.endswith(b"(#5.7.20)")
    assert b"\n" not in outcome.reason


def test_no_reason_where_nobody_reads_it(verifier):
    """Descriptor 6 may be closed, or something else than notqmail's pipe."""
    verifier.environment.update(DKVERIFY="C", DKREASON="yes")
    assert verifier.smtpd(PLAIN, reason=False).code == 31
    assert verifier.qfilter(PLAIN).code == 31
    verifier.environment["DKREASON"] = "no"
    outcome = verifier.smtpd(PLAIN)
    assert (outcome.code, outcome.reason) == (31, b"")
    verifier.environment["DKREASON"] = "yes"
    with open(verifier.directory / "other", "wb+") as other:
        verifier.descriptors = {6: other.fileno()}
        assert verifier.smtpd(PLAIN).code == 31
        assert other.read() == b""


@pytest.mark.parametrize("name", ODD_MESSAGES)
def test_any_message_passes_byte_for_byte(verifier, name):
    message = ODD_MESSAGES[name]
    outcome = verifier.smtpd(message)
    assert outcome.code == 0, outcome
    no_field = name in ("not a header", "mbox", "long header, one line")
    added = below(outcome.queued["message"], message, b"X-No-Header-Field:\n" * no_field)
    assert outcome.queued["envelope"] == ENVELOPE
    assert (b"dkim=pass" in added) == ("signed" in name)
    filtered = verifier.qfilter(message)
    assert (filtered.code, filtered.output) == (0, outcome.queued["message"])


@pytest.mark.parametrize("filler", [0, 250_000, 500_000])
def test_false_fields_are_removed(verifier, filler):
    """Wherever in the header they are, however long that is."""
    half = b"X: y\n" * filler
    true = b"From: a@example.com\n" + half + OTHERS + half + b"To: b@example.net\n"
    body = b"\n" + b"".join(FALSE) + b"text\n"
    message = true.join((FALSE[0], FALSE[1])) + FALSE[2] + FALSE[3] + body
    outcome = verifier.smtpd(message)
    assert outcome.code == 0
    below(outcome.queued["message"], true + body)


def test_slow_writer(verifier):
    outcome = verifier.smtpd([GOOD[start:start + 40] for start in range(0, len(GOOD), 40)],
                             pause=0.01)
    assert outcome.code == 0
    assert b"dkim=pass" in below(outcome.queued["message"], GOOD)


def test_large_envelope(verifier):
    envelope = b"Falice@example.com\0" + b"Trecipient@example.net\0" * 230_000 + b"\0"
    assert len(envelope) > 5_000_000
    outcome = verifier.smtpd(GOOD, envelope)
    assert (outcome.code, outcome.queued["envelope"]) == (0, envelope)


def test_caller_dies(verifier):
    """The queue program decides: an envelope without its end is not queued."""
    outcome = verifier.smtpd(GOOD[:100], envelope=None)
    assert outcome.queued["envelope"] == b""
    verifier.queue_program(verifier.recorder, code=54)
    assert verifier.smtpd(GOOD[:100], envelope=None).code == 54


def test_log_cannot_be_forged(verifier):
    text = b"\n\x1b[2Jqmail-qfilter-verify: qp 1 accepted: good (A)"
    message = b"DKIM-Signature: v=1; d=a.com" + text.replace(b"\n", b"\r") + b"; s=x\n" + PLAIN
    outcome = verifier.smtpd(message)
    assert outcome.code == 0
    assert_one_line(outcome.log)
    assert outcome.log[:-1].decode("ascii").isprintable() and b"qp 1 accepted" not in outcome.log
