# SPDX-License-Identifier: MIT
"""What other verifiers make of our signatures, as doc/interoperability says."""

import time

import pytest

from tests.support import judges, signing, wire
from tests.support.verifying import examine

MESSAGE = (b"From: alice@example.com\nTo: bob@example.net\nDate: Tue, 14 Nov 2023 22:13:20 +0000\n"
           b"Subject: x\n\nx\n")
HOUR = 3600


def ours(message, records):
    """Our own verifier, as a judge."""
    found = examine(message.replace(b"\r\n", b"\n"), records, now=int(time.time()))
    return [judges.Verdict(result.protocol, "", "", "",
                           "pass" if result.status == "pass" else "fail", result.status)
            for result in found.results]


def dkim_result(judge, signer, ahead, records=None):
    """The judge's result of the DKIM signature that was made so many seconds ahead."""
    signed = signer.sign(MESSAGE, now=int(time.time()) + ahead)
    (result,) = {verdict.result for verdict in judge(wire.received(wire.qmail_1_03(signed)),
                                                     records or signer.records)
                 if verdict.protocol == "dkim"}
    return result


# judge, seconds by which t= is ahead -> its result.  Between them is what the page says,
# with a minute for a slow machine.
AHEAD = [
    (judges.opendkim, 200, "pass"), (judges.opendkim, 400, "fail"),
    (judges.dkimpy, 9 * HOUR, "pass"), (judges.dkimpy, 11 * HOUR, "fail"),
    (judges.mail_dkim, 11 * HOUR, "pass"),
    (ours, 9 * HOUR, "pass"), (ours, 11 * HOUR, "fail"),
]


@pytest.mark.parametrize("judge, ahead, result", AHEAD)
def test_a_clock_that_is_ahead(tmp_path, judge, ahead, result):
    assert dkim_result(judge, signing.Signer(tmp_path), ahead) == result


# judge, seconds since x= -> its result.
EXPIRED = [
    (judges.opendkim, 200, "pass"), (judges.opendkim, 400, "fail"),
    (judges.dkimpy, 9 * HOUR, "pass"), (judges.dkimpy, 11 * HOUR, "fail"),
    (judges.mail_dkim, 10, "fail"), (ours, 10, "fail"),
]


@pytest.mark.parametrize("judge, ago, result", EXPIRED)
def test_expired_signatures(tmp_path, judge, ago, result):
    signer = signing.Signer(tmp_path, DKIMEXPIRE="60")
    assert dkim_result(judge, signer, -60 - ago) == result


@pytest.mark.parametrize("judge", [judges.opendkim, judges.dkimpy, judges.mail_dkim, ours])
def test_a_key_record_whose_version_comes_last(tmp_path, judge):
    signer = signing.Signer(tmp_path)
    records = {name: text + "; v=DKIM1" for name, text in signer.records.items()}
    assert dkim_result(judge, signer, 0, records) == "pass"


@pytest.mark.parametrize("protocol, result", [("dkim", "pass"), ("domainkeys", "fail")])
def test_mail_dkim_applies_the_flag_s_to_domainkeys(tmp_path, protocol, result):
    signer = signing.Signer(tmp_path, DKPROTOCOLS=protocol)
    signed = signer.sign(MESSAGE.replace(b"alice@", b"alice@sub."), "alice@sub.example.com")
    message = wire.received(wire.qmail_1_03(signed))
    strict = {name: "t=s; " + text for name, text in signer.records.items()}
    assert [verdict.result for verdict in judges.mail_dkim(message, strict)] == [result]
    assert [verdict.result for verdict in judges.mail_dkim(message, signer.records)] == ["pass"]
    assert [verdict.result for verdict in ours(message, strict)] == ["pass"]
