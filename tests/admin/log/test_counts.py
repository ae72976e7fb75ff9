# SPDX-License-Identifier: MIT
"""qmail-dk log: which lines count, and as what."""

import pytest

from tests.support.administrator import admin       # noqa: F401
from tests.support.read_log import SIGNED, VERIFIED, Log, rows

SIGNER, RESIDENT = "qmail-remote-dk[47]: ", "qmail-rspawn[5]: "
VERIFIER, VERIFYD = "qmail-qfilter-verify: ", "qmail-dk-verifyd: "
TO = "; host=mx.example.net sender=<joe@example.com> recipient=<jane@example.net>"
FROM = "; client=192.0.2.7 sender=<a@example.org> message-id=<1@example.org>"
ONE_SHOT, BY_RSPAWN = "qmail-remote-dk, for each delivery", "qmail-rspawn, the resident signer"
ALONE, BY_VERIFYD = "the verifier itself", "the resident verifier"
OUTSIDE = ("not signed as a.example: the message came from outside without a good DKIM signature "
           "of that domain")
DOUBT = ("though a.example has a key: not all readers find one author in From:, which could be of "
         "a.example, b.example")
BAD = "qp 1 {}: bad (B); dkim=fail d=example.org s=s1 (the body hash is wrong for this body); "

# lines -> {part: rows}; a part that is not named has none
LINES = {
    "signed": ([SIGNER + SIGNED], {
        "keys": {("example.com", "s1"): [1, 1, 1]}, "signed_by": {ONE_SHOT: [1]}}),
    "signed by two domains": (
        [RESIDENT + "signed: dkim d=a.example s=r a=rsa-sha256, dkim d=a.example s=e "
         "a=ed25519-sha256, domainkeys d=b.example s=s_1.x a=rsa-sha1" + TO] * 2, {
            "keys": {("a.example", "r"): [2, 2, 0], ("a.example", "e"): [2, 2, 0],
                     ("b.example", "s_1.x"): [2, 0, 2]}, "signed_by": {BY_RSPAWN: [2]}}),
    "no key": ([SIGNER + "not signed: no key for a.example" + TO,
                RESIDENT + "not signed: no key for b.example" + TO,
                SIGNER + "not signed: no domain that could have a key" + TO], {
        "unsigned": {("a.example", "no key"): [1], ("b.example", "no key"): [1],
                     ("", "no domain that could have a key"): [1]}}),
    "withheld": ([SIGNER + OUTSIDE + TO,
                  SIGNER + "not signed as b.example: by DKMAY, that is not for net:1.2.3.4" + TO], {
        "unsigned": {
            ("a.example", "withheld: came from outside without a good signature of it"): [1],
            ("b.example", "withheld by DKMAY: not for that client"): [1]}}),
    "no author": ([SIGNER + "warning: sent unsigned, " + DOUBT + TO,
                   SIGNER + "warning: not signed as a.example, " + DOUBT + TO], {
        "unsigned": {("a.example", "not all readers find one author in From:"): [2]}}),
    "a flaw": ([SIGNER + f"warning: sent unsigned: header line {number} is not a header field, so "
                "verifiers would not agree on it" + TO for number in (7, 12)], {
        "unsigned": {("", "header line N is not a header field"): [2]}}),
    "DKONERROR": ([SIGNER + "warning: sent unsigned (DKONERROR): KeyTrouble('no; key')" + TO], {
        "unsigned": {("", "DKONERROR: KeyTrouble('no; key')"): [1]}}),
    "deferred": ([SIGNER + "warning: deferred: KeyTrouble: unable to open /k: Permission denied",
                  RESIDENT + "warning: deferred: the signing process died (#4.3.0)",
                  RESIDENT + "warning: bounced: qmail-spawn unable to run qmail-remote. (#5.3.0)",
                  "qmail-remote-dk: warning: deferred: /py ended with status 1; remedy: do"], {
        "deferred": {
            ("outgoing", "KeyTrouble: unable to open /k: Permission denied"): [1],
            ("outgoing", "the signing process died (#4.3.0)"): [1],
            ("outgoing", "qmail-spawn unable to run qmail-remote. (#5.3.0)"): [1],
            ("outgoing", "/py ended with status 1; remedy: do"): [1]}}),
    "remarks": ([SIGNER + "warning: /k is readable by others; remedy: chmod o= /k" + TO,
                 SIGNER + "no DomainKeys signature, which would break the DKIM2 signature of the "
                 "message" + TO], {
        "remarks": {"/k is readable by others": [1], "no DomainKeys signature, which would break "
                    "the DKIM2 signature of the message": [1]}}),
    "accepted": ([VERIFIER + VERIFIED, VERIFIER + VERIFIED + "; resident",
                  VERIFIER + VERIFIED + "; no answer of /run/q.sock: timeout",
                  VERIFIER + "qp 1 accepted: no signature (C); dns 0.000 s; resident"], {
        "verdicts": {("accepted", "good (A)"): [3], ("accepted", "no signature (C)"): [1]},
        "domains": {"example.com": [3, 0, 0, 0]},
        "verified_by": {ALONE: [1], BY_VERIFYD: [2],
                        "the verifier itself, as the resident one did not answer": [1]}}),
    "refused": ([VERIFIER + BAD.format("rejected") + "dns 0.001 s" + FROM,
                 VERIFIER + BAD.format("deferred") + "dns 0.001 s; resident" + FROM], {
        "verdicts": {("rejected", "bad (B)"): [1], ("deferred", "bad (B)"): [1]},
        "domains": {"example.org": [0, 2, 0, 0]}, "forged": {"example.org": [2, 0, 2, 1]},
        "verified_by": {ALONE: [1], BY_VERIFYD: [1]}}),
    "a forgery": ([VERIFIER + "qp 1 rejected: no signature (C); spf=fail mailfrom=b.example (no); "
                   "dmarc=fail from=a.example p=reject (neither DKIM nor SPF passes); dns 0.001 s"
                   + FROM], {
        "verdicts": {("rejected", "no signature (C)"): [1]}, "forged": {"a.example": [1, 1, 0, 1]},
        "verified_by": {ALONE: [1]}}),
    "no forgery": ([VERIFIER + "qp 1 accepted: good (A); dkim=pass d=a.example s=s; domainkeys=fail"
                    " d=a.example s=s (wrong); dkim=policy d=b.example s=s (the key has only 512 "
                    "bits); spf not evaluated: the client is not known; dmarc=pass from=a.example "
                    "p=none; no DomainKey-Status, which would break the DKIM2 signature; dns 1.000 "
                    "s"], {
        "verdicts": {("accepted", "good (A)"): [1]}, "verified_by": {ALONE: [1]},
        "domains": {"a.example": [1, 0, 0, 0], "b.example": [0, 0, 0, 1]}}),
    "no answer": ([VERIFIER + "qp 1 deferred: no key (F); dkim=temperror d=a.example s=s (the key "
                   "can't be had now: the answer is cut short, and it can't be asked over TCP "
                   "(timeout)); spf=temperror mailfrom=b.example (SERVFAIL); dmarc=temperror "
                   "from=c.example (timeout); dns 9.000 s" + FROM], {
        "verdicts": {("deferred", "no key (F)"): [1]}, "verified_by": {ALONE: [1]},
        "domains": {"a.example": [0, 0, 1, 0]}, "undecided": {
            ("a.example", "dkim: the answer is cut short, and it can't be asked over TCP "
             "(timeout)"): [1], ("b.example", "spf: SERVFAIL"): [1],
            ("c.example", "dmarc: timeout"): [1]}}),
    "no name": ([VERIFIER + "qp 1 accepted: bad format (G); dkim=neutral d= s= (d= is not a "
                 "domain); dmarc=none from= (From: has no single author domain); dns 0.000 s"], {
        "verdicts": {("accepted", "bad format (G)"): [1]}, "verified_by": {ALONE: [1]}}),
    "an error here": ([VERIFIER + "deferred: SettingTrouble: unable to run /q; see; remedy: x" + end
                       for end in (FROM, "; client=unknown")], {
        "verdicts": {("deferred", "an error here"): [2]},
        "deferred": {("incoming", "SettingTrouble: unable to run /q; see"): [2]}}),
    "repeated, as rsyslog says it": (
        [RESIDENT + "message repeated 3 times: [ " + SIGNED + "]",
         RESIDENT + "message repeated 2 times: [ warning: deferred: OSError: no]"], {
        "keys": {("example.com", "s1"): [3, 3, 3]}, "signed_by": {BY_RSPAWN: [3]},
        "deferred": {("outgoing", "OSError: no"): [2]}}),
    "through syslog": (["qmail-qfilter-verify[12]: " + VERIFIED], {
        "verdicts": {("accepted", "good (A)"): [1]}, "domains": {"example.com": [1, 0, 0, 0]},
        "verified_by": {ALONE: [1]}}),
    "resident programs": ([
        RESIDENT + "started: signs for 120 deliveries at once",
        RESIDENT + "warning: ended: OSError: no", VERIFYD + "4 workers are ready",
        VERIFYD + "A, 2345 bytes, dns 0.001 s; 0.003 s", VERIFYD + "trial: A, 5 bytes, dns 0.0 s",
        VERIFYD + "C, 5 bytes, dns 0.000 s; 0.001 s", VERIFYD + "worker 5 was killed by signal 14",
        VERIFYD + "no answer: s._domainkey.a.example: timeout; 0.800 s",
        VERIFYD + "unable to start a worker: Resource temporarily unavailable; 1 of 4 go on",
        VERIFYD + "all 4 workers run again", VERIFYD + "worker 7: OSError: no"], {
        "events": {("rspawn", "started"): [1], ("rspawn", "ended by an error"): [1],
                   ("dk-verifyd", "started"): [1], ("dk-verifyd", "gave a result"): [2],
                   ("dk-verifyd", "a worker was killed"): [1],
                   ("dk-verifyd", "a worker could not be started"): [1],
                   ("dk-verifyd", "all workers run again"): [1],
                   ("dk-verifyd", "gave no result: timeout"): [1]}}),
}
PARTS = ("keys", "signed_by", "unsigned", "deferred", "remarks", "verdicts", "domains", "forged",
         "undecided", "verified_by", "events")


@pytest.mark.parametrize("case", LINES)
def test_counts(admin, case):
    lines, expected = LINES[case]
    log = Log(admin)
    log.write(*lines)
    sums = log.sums()
    assert {part: rows(sums[part]) for part in PARTS if sums[part]["rows"]} == expected
    assert (sums["lines_not_whole"], sums["lines_without_time"]) == (0, 0)


TABLE = """\
1 file: {path}
our lines are from {time} to {time}
sent: 3 signed, 2 not; received: 1 accepted, 1 rejected, 0 deferred

signed                                                             messages       dkim domainkeys
example.com                             s1                                3          3          3

signed by                                  messages
qmail-remote-dk, for each delivery                3

   messages  sent unsigned, or not signed as that domain
          2  example.net: no key

received                                                           messages
accepted                                good (A)                          1
rejected                                bad (B)                           1

results of signatures                          pass       fail  temperror      other
example.com                                       1          0          0          0
example.org                                       0          1          0          0

forged, or changed on the way              messages      dmarc  signature    refused
example.org                                       1          0          1          1

verified by                                messages
the verifier itself                               2
"""


def test_table(admin):
    log = Log(admin)
    log.write(*[SIGNER + SIGNED] * 3, *[SIGNER + "not signed: no key for example.net" + TO] * 2,
              VERIFIER + VERIFIED, VERIFIER + BAD.format("rejected") + "dns 0.001 s" + FROM)
    first = log.sums()["first"]
    import time
    shown = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(first))
    assert admin.succeed("log", log.path) == TABLE.format(path=log.path, time=shown)


def test_few_rows_are_shown(admin):
    log = Log(admin)
    log.write(*[SIGNER + f"not signed: no key for d{number}.example" + TO for number in range(20)])
    said = admin.succeed("log", log.path)
    assert said.count(".example: no key") == 12 and "\nand 8 more\n" in said
    assert len(log.sums()["unsigned"]["rows"]) == 20


def test_says_how_to_see_mail_without_a_key(admin):
    log = Log(admin)
    log.write(SIGNER + SIGNED)
    assert 'no line about mail that no key fits, which has one only if DKLOG is "all"' in (
        admin.succeed("log", log.path))


def test_nothing_of_ours(admin):
    log = Log(admin)
    log.write("postfix/smtp[5]: a line", b"")
    assert "there is no line of ours that has a time\nsent: 0 signed, 0 not; " in (
        admin.succeed("log", log.path))
