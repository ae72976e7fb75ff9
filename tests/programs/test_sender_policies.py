# SPDX-License-Identifier: MIT
"""DKDMARC: SPF and DMARC of real processes, with a name server, in each way to run them."""

import contextlib
import re

import authres
import pytest

from tests.support import dns_server, native, queue_driver, resident, verifying
from tests.support.verifier import MEGABYTES, OURS, assert_one_line

SMTPD = (b"Received: from unknown (HELO mail.example.com) (192.0.2.7)\n"
         b"  by mx.example.net with SMTP; 1 Dec 2026 00:00:00 -0000\n")
PLAIN = SMTPD + verifying.MESSAGE
SIGNED = SMTPD + verifying.dkim_signed()
ENVELOPE = b"Falice@example.com\0Tbob@example.net\0\0"
BOUNCE = b"F\0Tbob@example.net\0\0"
ZONE = {
    verifying.NAME: [verifying.golden_rsa().record()],
    "example.com": {"TXT": ["v=spf1 mx -all"], "MX": ["10 mail.example.com"]},
    "mail.example.com": {"A": ["192.0.2.7"], "TXT": ["v=spf1 a -all"]},
    "_dmarc.example.com": ["v=DMARC1; p=reject"],
    "forged.example": ["v=spf1 -all"],
    "_dmarc.forged.example": ["v=DMARC1; p=quarantine"],
    "dead.example": {"rcode": "SERVFAIL"},
    "_dmarc.dead.example": {"rcode": "SERVFAIL"},
    "half.example": {"rcode": "SERVFAIL"},
    "_dmarc.half.example": ["v=DMARC1; p=reject"],
}
FORGED = PLAIN.replace(b"@example.com", b"@forged.example")
WAYS = ("smtpd", "qfilter", "resident", pytest.param("native", marks=pytest.mark.skipif(
    not native.COMPILERS, reason="needs a C compiler")))


@pytest.fixture(scope="module")
def dns():
    with dns_server.DnsServer(ZONE) as server:
        yield server


@pytest.fixture(scope="module")
def server(dns):
    with resident.Resident(dns.address, "--workers", "1") as running:
        yield running


@pytest.fixture(params=WAYS)
def verifier(request, tmp_path, dns):
    """A host whose run() is one of WAYS."""
    host = queue_driver.Host(tmp_path)
    host.environment.update(DKVERIFY="-", DNSCACHEIP=dns.address, DKSERVER="-", DKDMARC="mark")
    host.run = host.qfilter if request.param == "qfilter" else host.smtpd
    host.way = request.param
    if request.param in ("resident", "native"):
        host.environment["DKSERVER"] = request.getfixturevalue("server").path
        host.program = [resident.PATIENT, queue_driver.PROGRAM]
        host.native = (native.PATIENT,) if request.param == "native" else None
    return host


def results(host, outcome):
    """{method: (result, {property: value})} of our field, as authres reads it."""
    text = outcome.output if host.way == "qfilter" else outcome.queued["message"]
    assert text.startswith(OURS[0]), outcome
    field = re.split(rb"\n(?![ \t])", text, maxsplit=1)[0].replace(b"\n", b"").decode()
    found = authres.AuthenticationResultsHeader.parse(field)
    assert found.authserv_id == "mx.example.net"
    return {result.method: (result.result, {
        f"{named.type}.{named.name}": named.value for named in result.properties})
        for result in found.results}


# message, envelope -> result of SPF, its property; result of DMARC, its policy
MARKS = {
    "good": (SIGNED, ENVELOPE, "pass", ("smtp.mailfrom", "example.com"), "pass", "reject"),
    "unsigned": (PLAIN, ENVELOPE, "pass", ("smtp.mailfrom", "example.com"), "pass", "reject"),
    "forged": (FORGED, ENVELOPE, "pass", ("smtp.mailfrom", "example.com"), "fail", "quarantine"),
    "a bounce": (PLAIN, BOUNCE, "pass", ("smtp.helo", "mail.example.com"), "pass", "reject"),
    "a dead domain": (FORGED.replace(b"forged.example", b"dead.example"),
                      b"Fa@dead.example\0Tb\0\0", "temperror", ("smtp.mailfrom", "dead.example"),
                      "temperror", None),
    "no sender's domain": (SIGNED, b"Froot\0Tb\0\0", "none", None, "pass", "reject"),
}


@pytest.mark.parametrize("name", MARKS)
def test_mark(verifier, name):
    text, envelope, spf, identity, dmarc, policy = MARKS[name]
    outcome = verifier.run(text, envelope)
    assert outcome.code == 0
    found = results(verifier, outcome)
    assert found["spf"] == (spf, dict([identity]) if identity else {})
    domain = re.search(rb"From: .*@([a-z.]+)", text).group(1).decode()
    assert found["dmarc"] == (dmarc, {"header.from": domain,
                                      **({"policy.dmarc": policy} if policy else {})})
    if verifier.way != "qfilter":
        assert outcome.queued["envelope"] == envelope
    assert outcome.queued.get("message", outcome.output).endswith(text)
    assert_one_line(outcome.log, f"spf={spf} ".encode(), f"dmarc={dmarc} from={domain}".encode())


# message, whether DKREASON is on -> exit code, the reason
REFUSED = {
    "under reject": (PLAIN, False, 31, b""),
    "under reject, with a reason": (
        PLAIN, True, 82, b"Dmessage refused by the DMARC policy of example.com: neither DKIM nor "
                         b"SPF shows that it is genuine (#5.7.26)"),
    "under quarantine": (FORGED, False, 0, b""),
    "signed": (SIGNED, False, 0, b""),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuse(verifier, name):
    text, with_reason, code, reason = REFUSED[name]
    if verifier.way == "qfilter" and with_reason:
        pytest.skip("qmail-qfilter has no descriptor for it")
    verifier.environment.update(DKDMARC="refuse", TCPREMOTEIP="198.51.100.7",
                                DKREASON="yes" if with_reason else "no")
    outcome = verifier.run(text, ENVELOPE)
    assert (outcome.code, outcome.reason) == (code, reason)
    if code:
        assert outcome.queued == {} and not outcome.output
        assert b"sender=<alice@example.com>" in outcome.log
        assert b" rejected: " in outcome.log


@pytest.mark.parametrize("domain", [b"dead.example", b"half.example"])
def test_refuses_nothing_that_is_not_known_now(verifier, domain):
    verifier.environment["DKDMARC"] = "refuse"
    outcome = verifier.run(FORGED.replace(b"forged.example", domain), b"Fa@%b\0Tb\0\0" % domain)
    assert outcome.code == 0 and results(verifier, outcome)["dmarc"][0] == "temperror"


def test_letters_come_first(verifier):
    verifier.environment.update(DKDMARC="refuse", DKVERIFY="c", TCPREMOTEIP="198.51.100.7")
    assert verifier.run(PLAIN, ENVELOPE).code == 71


@pytest.mark.parametrize("address", [None, "", "unknown"])
def test_without_a_client(verifier, address):
    """SPF is not evaluated, and its lack refuses nothing."""
    del verifier.environment["TCPREMOTEIP"]
    if address is not None:
        verifier.environment["TCPREMOTEIP"] = address
    verifier.environment["DKDMARC"] = "refuse"
    outcome = verifier.run(PLAIN, ENVELOPE)
    found = results(verifier, outcome)
    assert outcome.code == 0 and "spf" not in found and found["dmarc"][0] == "permerror"
    assert outcome.log.count(b"spf not evaluated") == 1


def test_off(verifier, dns):
    """Nothing is asked, and no byte differs from the output without the setting."""
    outcomes = []
    for value in None, "off":
        verifier.environment.pop("DKDMARC", None)
        if value:
            verifier.environment["DKDMARC"] = value
        dns.asked.clear()
        outcomes.append(verifier.run(SIGNED, ENVELOPE))
        assert {name for _, name, _ in dns.asked} <= {verifying.NAME}
    first, second = outcomes
    assert first.output == second.output and first.queued.get("message") == second.queued.get(
        "message")
    assert not re.search(rb"spf|dmarc", (first.output or b"") + first.log)


def test_users_of_ours_pass(verifier):
    verifier.environment.update(RELAYCLIENT="", DKDMARC="refuse", TCPREMOTEIP="198.51.100.7")
    outcome = verifier.run(PLAIN, ENVELOPE)
    assert outcome.code == 0 and outcome.queued.get("message", PLAIN) == PLAIN and not outcome.log


@pytest.mark.parametrize("value", ["yes", "mark refuse", "reject"])
def test_no_setting(verifier, value):
    verifier.environment["DKDMARC"] = value
    outcome = verifier.run(PLAIN, ENVELOPE)
    assert outcome.code == 55 and b"DKDMARC" in outcome.log and outcome.queued == {}


LARGE_ENVELOPE = b"Falice@example.com\0" + b"Tbob@example.net\0" * 300_000 + b"\0"

# envelopes, whole and not -> whether the sender is known
ENVELOPES = {"5 MB": (LARGE_ENVELOPE, True), "cut short": (b"Falice@exam", False),
             "none": (None, False), "a recipient first": (b"Tbob@example.net\0\0", False),
             "cut after the sender": (b"Falice@example.com\0Tbob", True),
             "bytes": (b"F\xff\x80\n@example.com\0T\xff\0\0", True)}


@pytest.mark.parametrize("name", ENVELOPES)
def test_any_envelope_is_passed_on(verifier, name):
    """To its end, whatever it is: the queue program decides."""
    if verifier.way == "qfilter":
        pytest.skip("qmail-qfilter keeps it")
    envelope, known = ENVELOPES[name]
    outcome = verifier.run(SIGNED + MEGABYTES, envelope)
    assert outcome.code == 0 and outcome.queued["envelope"] == (envelope or b"")
    assert (b"spf not evaluated" not in outcome.log) == known


NAMES = [b"a b", b"a;b=c", b"\"x\" reason=y", b"a\n dkim=pass", b"a" * 300, b"<x>", b"\xff", b"(c)",
         b"a..b", b"-"]


@pytest.mark.parametrize("name", NAMES)
def test_no_text_of_strangers(verifier, name):
    """Of MAIL FROM, HELO and From:, only what is a domain name gets into our field and log."""
    envelope = b"F" + b"x@" + name + b"\0Tb\0\0"
    text = PLAIN.replace(b"mail.example.com", name.replace(b"\n", b"")).replace(
        b"alice@example.com", b"alice@" + name.replace(b"\n", b""))
    for each in envelope, BOUNCE:
        outcome = verifier.run(text, each)
        assert outcome.code == 0
        whole = outcome.queued.get("message") or outcome.output
        ours = whole[:whole.index(b"Received: ")]
        assert name not in ours.replace(b"\n", b"") or name == b"-"
        assert ours.count(b"dkim=pass") == 0 and outcome.log.count(b"\n") == 1
        results(verifier, outcome)


def test_the_dead_domain_of_spf_leaves_time(verifier, dns):
    """Its look-ups come last; the key's are answered."""
    outcome = verifier.run(SIGNED, b"Fa@dead.example\0Tb\0\0")
    found = results(verifier, outcome)
    assert (found["dkim"][0], found["spf"][0], found["dmarc"][0]) == ("pass", "temperror", "pass")
    if verifier.way == "resident":
        assert b"; resident" in outcome.log     # it needs no second look


DKIM2 = b"DKIM2-Signature: v=1; d=example.org\n"


@pytest.mark.parametrize("field", [DKIM2, b"Message-Instance: v=1; i=1\n",
                                   b"dkim2-signature:\n x\n"])
def test_dkim2(verifier, field):
    """DKIM2 covers DomainKey-Status, so it is not written."""
    verifier.environment["DKDMARC"] = "off"
    outcome = verifier.run(field + SIGNED, ENVELOPE)
    whole = outcome.queued.get("message") or outcome.output
    assert b"DomainKey-Status" not in whole and whole.endswith(field + SIGNED)
    assert results(verifier, outcome)["dkim"][0] == "pass"
    assert_one_line(outcome.log, b"DKIM2")
    with contextlib.suppress(KeyError):
        assert outcome.queued["envelope"] == ENVELOPE
