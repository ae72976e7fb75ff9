# SPDX-License-Identifier: MIT
"""qmail-dk log: the forms of a line, their times, and --since."""

import datetime
import os
import shutil
import subprocess
import time

import pytest

from lib.admin.log import lines, times
from tests.support.administrator import admin       # noqa: F401
from tests.support.read_log import SIGNED, VERIFIED, Log

SYSLOG = "qmail-remote-dk[4711]: " + SIGNED
MULTILOG = "qmail-qfilter-verify: " + VERIFIED
LAST = 1795972801       # 2026-11-29 18:20:01 in Berlin: when the file was written

# a line -> its time
FORMS = {
    "classic": ("Nov 29 18:20:01 mail " + SYSLOG, LAST),
    "classic, early in a month": ("Nov  9 18:20:01 mail " + SYSLOG, LAST - 20 * 86400),
    "last year's": ("Dec  1 18:20:01 mail " + SYSLOG, LAST - 363 * 86400),
    "with a level, as busybox": ("Nov 29 18:20:01 mail mail.info " + SYSLOG, LAST),
    "RFC 3339": ("2026-11-29T17:20:01.123456+00:00 mail " + SYSLOG, LAST),
    "RFC 3339, Z": ("2026-11-29T17:20:01Z mail " + SYSLOG, LAST),
    "RFC 3339, India": ("2026-11-29T22:50:01.1+05:30 mail " + SYSLOG, LAST),
    "RFC 3339, America": ("2026-11-29T12:20:01-0500 mail " + SYSLOG, LAST),
    "RFC 5424": ("<22>1 2026-11-29T18:20:01.123+01:00 mail qmail-remote-dk 4711 - - " + SIGNED,
                 LAST),
    "RFC 5424, all of it": (
        '1 2026-11-29T18:20:01+01:00 mail qmail-remote-dk - ID [a@1 b="\\] c"][d e="f"] '
        "\ufeff" + SIGNED, LAST),
    "multilog": ("@400000006b0c5ecb0a0b0c0d " + MULTILOG, LAST),
    "tai64nlocal": ("2026-11-29 18:20:01.168627469 " + MULTILOG, LAST),
    "svlogd, UTC": ("2026-11-29_17:20:01.16862 " + MULTILOG, LAST),
    "no time": (MULTILOG, None),
    "no year": ("@ffffffffffffffff00000000 " + MULTILOG, None),
    "before 1970": ("@" + "0" * 24 + " " + MULTILOG, None),
    "no month": ("Nix 29 18:20:01 mail " + SYSLOG, None),
    "no day": ("2026-02-30T18:20:01Z mail " + SYSLOG, None),
    "no minute": ("Nov 29 18:61:01 mail " + SYSLOG, None),
}


@pytest.fixture
def log(admin):
    admin.environment["TZ"] = "Europe/Berlin"
    return Log(admin)


@pytest.fixture
def berlin(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("form", FORMS)
def test_forms(log, form):
    line, seconds = FORMS[form]
    log.path.write_text(line + "\n")
    os.utime(log.path, (LAST, LAST))
    sums = log.sums()
    assert sums["first"] == sums["last"] == seconds
    assert len(sums["keys"]["rows"] + sums["domains"]["rows"]) == 1
    assert sums["lines_not_whole"] == 0
    since = log.sums(log.path, "--since", "2026-11-29T18:20:01+01:00")
    counted = len(since["keys"]["rows"] + since["domains"]["rows"])
    assert counted == (seconds is None or seconds >= LAST)
    assert since["lines_without_time"] == (seconds is None)
    later = log.sums(log.path, "--since", "2026-11-29T18:20:02")
    assert len(later["keys"]["rows"] + later["domains"]["rows"]) == (seconds is None)


# Lines that are not ours, though our words are in them.
FOREIGN = {
    "another program's": "Nov 29 18:20:01 mail postfix/smtp[5]: " + SYSLOG,
    "another program's, without a process": "Nov 29 18:20:01 mail logger: " + SYSLOG,
    "in qmail-send's": "@400000006b0c5ecb0a0b0c0d delivery 5: failure: " + MULTILOG,
    "in qmail-smtpd's": "@400000006b0c5ecb0a0b0c0d tcpserver: status: 1/40 " + MULTILOG,
    "a name that only ends like ours": "Nov 29 18:20:01 mail xqmail-remote-dk[5]: " + SIGNED,
    "a name that only begins like ours": "Nov 29 18:20:01 mail qmail-remote-dkim[5]: " + SIGNED,
    "two times": "@400000006b0c5ecb0a0b0c0d 2026-11-29 18:20:01.1 " + MULTILOG,
    "a kernel's": "Nov 29 18:20:01 mail [123.456] " + SYSLOG,
    "within ours": "Nov 29 18:20:01 mail qmail-remote-dk[5]: " + SIGNED.replace(
        "joe@", "x> qmail-remote-dk[5]: " + SIGNED + "@", 1).replace("signed", "sign", 1),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_lines(log, name):
    log.path.write_text(FOREIGN[name] + "\n")
    sums = log.sums()
    assert sums["keys"]["rows"] == sums["domains"]["rows"] == sums["verdicts"]["rows"] == []


# --since, by a clock that says LAST -> the seconds since 1970
SINCE = [
    (None, None), ("24h", LAST - 86400), ("7d", LAST - 7 * 86400), ("0h", LAST),
    ("999999d", 0),
    ("2026-11-28", LAST - 86400 - 66001), ("2026-11-29T18:20", LAST - 1),
    ("2026-11-29T18:20:01", LAST), ("2026-11-29 18:20:01", LAST),
    ("2026-11-29T17:20:01Z", LAST), ("2026-11-29T12:20:01-05:00", LAST),
]


@pytest.mark.parametrize("text, seconds", SINCE)
def test_since(berlin, text, seconds):
    assert times.since(text, LAST) == seconds


@pytest.mark.parametrize("text", [
    "", "h", "d", "-1d", "1.5h", "24", "24m", "yesterday", "2026-13-01", "2026-11-31",
    "9" * 9 + "d", "\u0663h", "2026-11-29T25:00"])
def test_since_without_sense(log, text):
    log.write(SYSLOG)
    done = log.admin.run("log", "--since=" + text, log.path)
    assert (done.returncode, done.stdout) == (100, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("qmail-dk: --since is a number of hours or days, as 24h or 7d, or a ")


def test_shown_beyond_a_time_t_of_32_bits(berlin, monkeypatch):
    def localtime(seconds, real=time.localtime):
        if seconds >= 2 ** 31:
            raise OverflowError("timestamp out of range for platform time_t")
        return real(seconds)

    monkeypatch.setattr(time, "localtime", localtime)
    assert times.shown(2 ** 31 - 1) == "2038-01-19 04:14:07"
    assert times.shown(2 ** 31, "%Y-%m-%d %H:%M:%S %Z") == "2038-01-19 03:14:08 UTC"
    assert times.shown(times.END - 1) == "9999-12-31 23:59:59"


def test_the_clock_is_put_back(log):
    """All of an hour that comes twice counts by its zone, and a line out of order by its time."""
    begin = datetime.datetime(2026, 10, 24, 23, 30, tzinfo=datetime.timezone.utc)
    moments = [begin + datetime.timedelta(minutes=number) for number in range(120)]
    moments.insert(30, begin)
    berlin = [datetime.timezone(datetime.timedelta(hours=1 + (moment < datetime.datetime(
        2026, 10, 25, 1, tzinfo=datetime.timezone.utc)))) for moment in moments]
    log.write(*[f"{moment.astimezone(zone).isoformat(timespec=spec)} Zeus {SYSLOG}"
                for moment, zone in zip(moments, berlin)
                for spec in ("seconds", "milliseconds", "microseconds")],
              *[f"<22>1 {moment.strftime('%Y-%m-%dT%H:%M:%SZ')} mail {SYSLOG}"
                for moment in moments],
              *[f"@{int(moment.timestamp()) + times.TAI64:016x}00000000 " + MULTILOG
                for moment in moments], head="")
    for minutes in (0, 29, 30, 89, 90, 119):
        since = begin + datetime.timedelta(minutes=minutes)
        found = log.sums(log.path, "--since", since.isoformat())
        recent = sum(moment >= since for moment in moments)
        assert found["keys"]["rows"][0]["messages"] == 4 * recent
        assert found["verdicts"]["rows"][0]["messages"] == recent


def test_the_beginning_of_a_time_says_enough(berlin):
    """compared() never contradicts the time itself."""
    clock = times.Clock(LAST)
    for offset in range(-100_000, 100_001, 997):
        moment = LAST - 200_000 + offset
        for text in (time.strftime("%b %e %H:%M:%S", time.localtime(moment)).encode(),
                     time.strftime("%Y-%m-%dT%H:%M:%S+01:00", time.localtime(moment)).encode(),
                     time.strftime("%Y-%m-%d %H:%M:%S.0", time.localtime(moment)).encode(),
                     b"@%016x00000000" % (moment + times.TAI64)):
            assert clock.seconds(lines.time_in(text + b" mail"[:5 * (text[:1] != b"@")]
                                               if b"T" in text else text)) == moment
            assert clock.compared(text[:13], LAST - 200_000) in (0, 1 if offset >= 0 else -1)


def test_tai64n_as_daemontools_writes_it(log):
    if not shutil.which("tai64n") or not shutil.which("tai64nlocal"):
        pytest.skip("needs daemontools")
    before = int(time.time())
    for program in (["tai64n"], ["sh", "-c", "tai64n | tai64nlocal"]):
        made = subprocess.run(program, input=MULTILOG.encode() + b"\n", stdout=subprocess.PIPE,
                              check=True, env={**log.admin.environment}).stdout
        log.path.write_bytes(made)
        assert before <= log.sums()["first"] <= time.time()
