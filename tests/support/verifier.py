# SPDX-License-Identifier: MIT
"""The verifier on a scratch host with a name server, messages, and checks of its fields."""

import pytest

from tests.support import dns_server, native, queue_driver, verifying

NAME = verifying.NAME
RECORD = [verifying.golden_rsa().record()]
PLAIN = verifying.MESSAGE
GOOD = verifying.dkim_signed()
OURS = (b"Authentication-Results: mx.example.net;", b"DomainKey-Status: ")
MEGABYTES = b"A line of a large message.\n" * 200_000      # 5.4 MB


@pytest.fixture(params=native.LAUNCHERS)
def host(request, tmp_path):
    """A Host, whose launcher is the one in C or none."""
    host = queue_driver.Host(tmp_path)
    host.native = () if request.param == "native" else None
    return host


@pytest.fixture(scope="module")
def dns():
    zone = {
        NAME: RECORD,
        "bad._domainkey.example.com": ["v=DKIM1; p=AAAA"],
        "revoked._domainkey.example.com": ["v=DKIM1; p="],
        "fails._domainkey.example.com": {"rcode": "SERVFAIL"},
    }
    with dns_server.DnsServer(zone) as server:
        yield server


@pytest.fixture
def verifier(host, dns):
    host.environment.update(DKVERIFY="-", DNSCACHEIP=dns.address)
    dns.asked.clear()
    return host


def below(text, message, separator=b""):
    """Returns the text (bytes) above the message, which must be our two fields alone.

    separator: bytes that must be between these and the message
    """
    assert text.endswith(separator + message)
    added = text[:len(text) - len(separator + message)]
    lines = added.split(b"\n")
    names = [line for line in lines[:-1] if not line.startswith((b" ", b"\t"))]
    assert len(names) == 2 and all(map(bytes.startswith, names, OURS)), added
    assert lines[-1] == b""
    return added


def assert_one_line(log, *words):
    assert log.endswith(b"\n") and log.count(b"\n") == 1, log
    assert log.startswith(b"qmail-qfilter-verify: ")
    for word in words:
        assert word in log, (word, log)


def broken(**changed):
    return verifying.dkim_signed(b=None, **changed)


# {letter: a message that gets it}; no message gets H or I
MESSAGES = {
    "A": GOOD,
    "B": GOOD + b"x\n",
    "C": PLAIN,
    "D": verifying.dkim_signed(s="none"),
    "E": verifying.dkim_signed(s="bad"),
    "F": verifying.dkim_signed(s="fails"),
    "G": verifying.dkim_signed(v="2"),
    "J": verifying.dkim_signed(s="revoked"),
    "K": b"DKIM-Signature: v=1\n" * 11 + PLAIN,
}

ODD_MESSAGES = {
    "empty": b"",
    "only an empty line": b"\n",
    "only a header": b"From: a@example.com\n",
    "no final line end": b"From: a@example.com\n\nhello",
    "within a header line": b"From: a@exam",
    "not a header": b"hello world\nFrom: a@example.com\n\nbody\n",
    "mbox": b"From a@example.com Thu Jan  1\nFrom: a@example.com\n\nbody\n",
    "NUL and 8 bit": b"From: a@example.com\n\n" + bytes(range(256)),
    "CR": b"From: a@example.com\r\nSubject: x\r\n\r\nbody\r\nlone \r CR\n",
    "5 MB": b"From: a@example.com\n\n" + MEGABYTES,
    "5 MB, signed": verifying.dkim_signed(b"From: alice@example.com\n\n" + MEGABYTES, h="From"),
    "long header": b"X: y\n" * 300_000 + b"\nbody\n",
    "long field": b"X: y\n" * 100 + b"X: " + b"y" * 3_000_000 + b"\nY: z\n\nbody\n",
    "long folds": b"X: y\n" + b" y\n" * 700_000 + b"Y: z\n\nbody\n",
    "long header without end": b"X: y\n" * 300_000,
    "long header, one line": b"y" * 2_000_000,
}

FALSE = (b"Authentication-Results: MX.example.net; dkim=pass\n",
         b"DomainKey-Status: good\n",
         b"AUTHENTICATION-RESULTS:\n\t(c)mx.example.net\n ; dkim=pass\n",
         b"domainkey-status : good\n \n")
OTHERS = b"Authentication-Results: mx.example.org; dkim=pass\n"
