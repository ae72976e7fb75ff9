# SPDX-License-Identifier: MIT
"""qmail-dk log counts what the programs really write: signers by syslog, verifiers by multilog."""

import shutil
import subprocess
import time

import pytest

from tests.support import deliveries, dns_server, queue_driver, read_log, resident_signer, verifying
from tests.support import resident as resident_verifier
from tests.support.administrator import admin       # noqa: F401
from tests.support.read_log import Log, rows
from tests.support.rspawn_driver import command
from tests.support.syslog_reader import deliver, log     # noqa: F401
from tests.support.verifier import MESSAGES, RECORD

KEYLESS = b"From: joe@example.net\nTo: jane@example.net\nDate: x\n\nHello.\n"
FLAWED = b"From: joe@example.com\nrubbish\n\nHello.\n"
ZONE = {verifying.NAME: RECORD, "fails._domainkey.example.com": {"rcode": "SERVFAIL"},
        "bad._domainkey.example.com": ["v=DKIM1; p=AAAA"],
        "revoked._domainkey.example.com": ["v=DKIM1; p="],
        "_dmarc.example.com": ["v=DMARC1; p=reject"], "example.com": ["v=spf1 -all"]}


def classic(datagram):
    """A line as a syslog daemon writes it from what syslog(3) sends."""
    return f"{datagram.partition('>')[2][:15]} mail {datagram.partition('>')[2][16:]}"


def with_date(datagram):
    return (time.strftime("%Y-%m-%dT%H:%M:%S") + ".123456+00:00 mail "
            + datagram.partition(">")[2][16:])


def of_rfc_5424(datagram):
    program, process, text = datagram.partition(">")[2][16:].replace("]: ", "[").split("[", 2)
    return (f"<22>1 {time.strftime('%Y-%m-%dT%H:%M:%S')}Z mail {program} {process} - - {text}")


def sent(reader, *places):
    """The datagrams about hosts, whose directories are places."""
    reader.end()
    return [datagram.rstrip("\0") for datagram in reader.datagrams
            if any(str(place) in datagram or f"<{place.name}@" in datagram for place in places)]


def test_what_is_sent(log, tmp_path, admin):
    """One program for each delivery, then the resident one, with all kinds of messages."""
    one = deliveries.Host(make(tmp_path / "one"))
    one.environment["DKLOG"] = "all"
    for message, times in ((deliveries.SMALL, 3), (KEYLESS, 2), (FLAWED, 1)):
        one.message.write_bytes(message)
        for _ in range(times):
            deliver(one, "joe@example.net")
    one.message.write_bytes(deliveries.SMALL)
    deliveries.garbage_key(one)
    deliver(one)

    host = resident_signer.Host(make(tmp_path / "many"))
    host.environment["DKLOG"] = "all"
    host.add(6, KEYLESS)
    with host.ours() as running:
        for number, name in enumerate((b"0/5", b"0/5", b"0/6", b"0/5", b"0/6")):
            running.send(command(number, name, b"joe@example.net",
                                 b"%s@example.net" % host.directory.name.encode()))
            running.answers(1)
    datagrams = sent(log, one.directory, host.directory)

    for form in (classic, with_date, of_rfc_5424):
        lines = Log(admin)
        lines.write(*map(form, datagrams), head="")
        sums = lines.sums()
        assert rows(sums["keys"]) == {("example.com", "default"): [3, 3, 3],
                                      ("example.com", "s1"): [3, 3, 3]}
        assert rows(sums["signed_by"]) == {"qmail-remote-dk, for each delivery": [3],
                                           "qmail-rspawn, the resident signer": [3]}
        assert rows(sums["unsigned"]) == {("example.net", "no key"): [4],
                                          ("", "header line N is not a header field"): [1]}
        (waits,) = sums["deferred"]["rows"]
        assert waits["messages"] == 1 and waits["reason"].startswith("KeyTrouble: ")
        assert (sums["lines_not_whole"], sums["lines_without_time"]) == (0, 0)
        if form is not of_rfc_5424:
            assert read_log.judged(lines.path) == {("signed", "example.com"): 6}


def make(directory):
    directory.mkdir()
    return directory


def through_multilog(directory, text):
    program = shutil.which("multilog") or pytest.skip("needs multilog")
    subprocess.run([program, "t", "s4096", "n200", directory], input=text, check=True)
    return directory


# A message for each letter, but that which the resident verifier leaves.
RECEIVED = {letter: message for letter, message in MESSAGES.items() if letter != "K"}


def test_what_is_received(tmp_path, admin):
    """By a program for each message, then with the resident verifier; refused, deferred, marked."""
    host = queue_driver.Host(make(tmp_path / "host"))
    text, codes = b"", []
    with dns_server.DnsServer(ZONE) as dns, resident_verifier.Resident(dns.address) as server:
        host.environment.update(DNSCACHEIP=dns.address)
        for changes in ({"DKVERIFY": "DEGJbf"}, {"DKVERIFY": "-", "DKDMARC": "refuse"},
                        {"DKVERIFY": "-", "DKDMARC": "mark", "DKSERVER": server.path},
                        {"DKVERIFY": "-", "DKTIMEOUT": "soon"}):
            host.environment.update(changes)
            for message in RECEIVED.values():
                outcome = host.smtpd(message)
                text += outcome.log
                codes.append(outcome.code)
        said = server.log().encode()
    directory = through_multilog(tmp_path / "smtpd", text)
    found = Log(admin).sums(directory)
    verdicts = {}
    for row in found["verdicts"]["rows"]:
        verdicts[row["verdict"]] = verdicts.get(row["verdict"], 0) + row["messages"]
    assert verdicts == {"accepted": codes.count(0), "rejected": codes.count(31),
                        "deferred": codes.count(71) + codes.count(55)}
    assert sum(verdicts.values()) == len(codes) == 4 * len(RECEIVED)
    assert read_log.judged(*sorted(directory.iterdir()))["received", "rejected"] == (
        verdicts["rejected"])
    assert rows(found["deferred"]) == {
        ("incoming", "SettingTrouble: DKTIMEOUT: 'soon' is not a number of seconds"):
            [len(RECEIVED)]}
    assert found["lines_not_whole"] == found["lines_without_time"] == 0
    assert rows(found["undecided"])["example.com", "dkim: SERVFAIL"] == [3]
    # All results of the messages whose signatures name a domain, by three of the four ways.
    assert sum(rows(found["domains"])["example.com"]) == 3 * (len(RECEIVED) - 1)
    assert rows(found["forged"])["example.com"][1] > 0
    by = rows(found["verified_by"])
    assert by["the resident verifier"][0] >= 1
    assert sum(number for number, in by.values()) == 3 * len(RECEIVED)
    ours = Log(admin).sums(through_multilog(tmp_path / "verifyd", said))
    events = rows(ours["events"])
    # On a busy machine, one may come too late.
    assert events["dk-verifyd", "gave a result"] >= by["the resident verifier"]
    assert events["dk-verifyd", "started"] == [1] and ours["lines_not_whole"] == 0
