# SPDX-License-Identifier: MIT
"""Measures qmail-dk log beside an mawk program that only counts signed lines by domain.

The log is that of a host whose syslog has qmail-send's lines as well: of five lines, two are
ours.
"""

import os
import random
import shutil
import time

from figures import Figures, Row, Section
from programs import BARE, Program, command, of_one_run, run

OURS, SINCE, PEER = "log", "log --since", "mawk, only counts what is signed"
MEGABYTES = 200         # of the log
BEGIN = 1767225600      # 2026
SPAN = 7 * 86400        # seconds of the log
DOMAINS = 300
LINES = 20_000          # made at once

# Prints each domain in a line that says what was signed, and how often it is in one.
COUNT = r"""
/ qmail-(remote-dk|rspawn)\[[0-9]+\]: signed: / {
	if (match($0, / d=[^ ]+/)) count[substr($0, RSTART + 3, RLENGTH - 3)]++
}
END { for (domain in count) print domain, count[domain] }
"""


def title(megabytes):
    """Returns the title of the section."""
    return f"log, {megabytes:,} MB"


def section(scratch, megabytes, runs):
    """Returns the Section.  scratch: scratch.Scratch; megabytes: size of the log"""
    path = f"{scratch.directory}/mail.log"
    write(path, megabytes * 10 ** 6)
    ours = [scratch.python, "-IS", "-X", "utf8", f"{scratch.directory}/installed/lib/qmail_dk.py",
            "log", path]
    half = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(BEGIN + SPAN / 2))
    programs = [program(OURS, ours), program(SINCE, [*ours, "--since", half]),
                program(PEER, command(shutil.which("mawk"), [COUNT, path]), False)]
    rows = [row(one, runs, scratch.python) for one in programs]
    os.unlink(path)
    return Section(title(megabytes), rows)


def program(name, words, ours=True):
    """Returns a Program that reads nothing on descriptor 0."""
    return Program(name, ours, words, "/dev/null", dict(os.environ), {})


def row(one, runs, python):
    """Returns the Row of a Program."""
    if not one.command:
        return Row(one.name, one.ours, None, None, "not installed here")
    samples = [of_one_run(run(one, 1, python)) for _ in range(runs)]
    return Row(one.name, one.ours, Figures.of(samples), BARE)


def write(path, size):
    """Writes a log of `size` bytes, as rsyslog does on Debian 12, of one week."""
    numbers = random.Random(1)
    written = 0
    with open(path, "w", encoding="ascii") as file:
        while written < size:
            lines = [line(numbers, BEGIN + SPAN * written / size) for _ in range(LINES)]
            written += file.write("".join(lines))


def line(numbers, seconds):
    """Returns a line of the log.  numbers: random.Random; seconds: since 1970"""
    kind, number = numbers.random(), numbers.randrange(10 ** 6)
    domain = f"domain{int(DOMAINS * numbers.random() ** 3)}.example"
    head = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{number:06}+00:00 mail "
    if kind < 0.25:
        return (f"{head}qmail-remote-dk[{number}]: signed: dkim d={domain} s=s2026a a=rsa-sha256, "
                f"domainkeys d={domain} s=s2026a a=rsa-sha1; host=mx{number % 99}.example.net "
                f"sender=<joe{number % 500}@{domain}> recipient=<jane{number}@example.net>\n")
    if kind < 0.38:
        return (f"{head}qmail-qfilter-verify[{number}]: qp {number} accepted: good (A); dkim=pass "
                f"d={domain} s=s1; dns 0.{number % 1000:03} s\n")
    if kind < 0.4:
        return (f"{head}qmail-qfilter-verify[{number}]: qp {number} rejected: bad (B); dkim=fail "
                f"d={domain} s=s1 (the body hash is wrong for this body); dns 0.{number % 1000:03} "
                f"s; client=192.0.2.{number % 256} sender=<a{number}@{domain}> "
                f"message-id=<{number}@{domain}>\n")
    return (f"{head}qmail: {seconds:.6f} starting delivery {number}: msg {number} to remote "
            f"jane{number}@example.net\n" if kind < 0.7 else
            f"{head}qmail: {seconds:.6f} delivery {number}: success: 192.0.2.1_accepted_message./"
            f"Remote_host_said:_250_ok_{number}_qp_{number}/\n")
