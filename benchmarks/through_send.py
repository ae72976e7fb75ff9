# SPDX-License-Identifier: MIT
"""Measures deliveries through qmail-send: a list's message, and messages to one each.

Stock sends messages that ours have signed, so that the same bytes are on the wire.  The
CPU is that of qmail-send and all its children; the time is from the first delivery that
it starts to the last that succeeds; the memory is that of our processes that stay.
"""

import contextlib
import os
import statistics
import subprocess
import sys
import time

import real_host
from deliveries import ONE_SHOT, QMAIL, RESIDENT, STOCK, NotDelivered, cpu, resident_memory
from figures import Figures, Row
from scratch import DOMAIN, HERE

TITLE = "list through qmail-send, "
LIST, DISTINCT = "a list", "a message each"
# What is sent, and control/concurrencyremote.
KINDS = [(LIST, 50), (LIST, 120), (DISTINCT, 120)]
WAYS = STOCK, ONE_SHOT, RESIDENT
SINK = "the sink alone, 120 at once"
FIRST, SUCCESS = b"starting delivery", b": success: "
FAILURES = b": deferral: ", b": failure: "
QUEUED_AT_ONCE = 20     # by qmail-queue, which waits for the disk
PATIENCE = 60           # seconds without a delivery
LOOK = 0.01             # seconds between two looks at the log


def name_of(way, kind, at_once):
    """Returns the name of a row."""
    return f"{way}, {kind}, {at_once} at once"


def absent(obstacle):
    """Returns the Rows for a host where nothing can be measured.  obstacle: why"""
    return [Row(name_of(way, *kind), way != STOCK, None, None, obstacle)
            for kind in KINDS for way in WAYS]


def rows(host, title, amounts):
    """Returns the Rows.  host: real_host.RealHost; title: names the size; amounts: Amounts"""
    title = TITLE + title
    found = [sink_row(host, amounts)]
    for kind, at_once in KINDS:
        samples, remarks = {way: [] for way in WAYS}, dict.fromkeys(WAYS, "")
        for _ in range(amounts.rounds):
            for way in WAYS:
                try:
                    samples[way].append(measure(host, way, kind, at_once, amounts))
                except NotDelivered as reason:
                    remarks[way] = f"not delivered: {reason}"
        found += [Row(name_of(way, kind, at_once), way != STOCK,
                      None if remarks[way] else Figures.of(samples[way]),
                      (title, name_of(STOCK, kind, at_once)), remarks[way]) for way in WAYS]
    return found


def sink_row(host, amounts):
    """Returns the Row of the most messages that the sink takes, from a client in C."""
    samples = []
    for _ in range(amounts.rounds):
        seconds, latencies = send(host, host.sink_port, amounts.distinct, 120, amounts.size)
        samples.append(Figures(None, statistics.median(latencies) * 1000,
                               amounts.distinct / seconds, None))
    return Row(SINK, False, Figures.of(samples), None)


def send(host, port, times, at_once, size):
    """Sends a signed message to a port, many times.  Returns (seconds, [seconds of each]).

    Raises NotDelivered.
    """
    path = f"{host.directory}/{size}.smtp"
    if not os.path.exists(path):
        with open(host.scratch.signed_message(size), "rb") as message, open(path, "wb") as file:
            file.writelines(
                (b"." if line.startswith(b".") else b"") + line.replace(b"\n", b"\r\n")
                for line in message)
            file.write(b".\r\n")
    with open(path, "rb") as message:
        done = subprocess.run(
            [host.source, str(port), str(times), str(at_once), f"sender@{DOMAIN}",
             "recipient@example.net"], stdin=message, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise NotDelivered(done.stderr.decode("ascii", "replace").partition("\n")[0])
    seconds, *latencies = map(float, done.stdout.split())
    return seconds, latencies


def measure(host, way, kind, at_once, amounts):
    """Returns the Figures of one run.  Raises NotDelivered."""
    scratch = host.scratch
    message = (scratch.signed_message if way == STOCK else scratch.message)(amounts.size)
    count = amounts.recipients if kind == LIST else amounts.distinct
    if way == ONE_SHOT:
        count = max(count // 10, at_once)
    host.control("concurrencyremote", str(at_once))
    signed = host.signed()
    with host.queue():
        queue(host, message, *((1, count) if kind == LIST else (count, 1)))
        with started(host, way) as (program, log):
            found = figures(program, log, count)
    if way != STOCK and not host.have_signed(signed + count):
        raise NotDelivered(f"{host.signed() - signed} of {count} were signed")
    return found


def queue(host, message, times, recipients):
    """Puts a message (path) into the queue a number of times, each to so many recipients."""
    path = f"{host.directory}/envelope"
    with open(path, "wb") as file:
        file.write(b"Fsender@%b\0" % DOMAIN.encode())
        file.writelines(b"Trecipient%d@example.net\0" % number for number in range(recipients))
        file.write(b"\0")
    subprocess.run([sys.executable, "-IS", f"{HERE}/measure.py", message, path, str(times),
                    str(QUEUED_AT_ONCE), f"{QMAIL}/bin/qmail-queue"],
                   stdout=subprocess.DEVNULL, check=True)


@contextlib.contextmanager
def started(host, way):
    """A context in which qmail-send runs; gives its Popen and its log, a file to read."""
    environment = {"PATH": f"{QMAIL}/bin:/usr/bin:/bin", "DKREMOTE": host.remote,
                   "DKSIGN": host.scratch.key_pattern}
    path = f"{host.directory}/send.log"
    with contextlib.ExitStack() as stack:
        # An installed qmail-dk may lie there, so all three ways say what they run.
        stack.enter_context(host.cover(
            "qmail-remote", host.scratch.remote if way == ONE_SHOT else host.remote))
        stack.enter_context(host.cover(
            "qmail-rspawn", resident(host) if way == RESIDENT else host.rspawn))
        written = stack.enter_context(open(path, "wb"))
        program = subprocess.Popen([f"{QMAIL}/bin/qmail-start", "./Maildir/"], env=environment,
                                   stdin=subprocess.DEVNULL, stdout=written)
        try:
            yield program, stack.enter_context(open(path, "rb"))
        finally:
            real_host.end(program)


def resident(host):
    """Writes a program that starts the resident signer.  Returns its path."""
    first = subprocess.run([host.rspawn], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           cwd=f"{QMAIL}/queue/mess", check=False).stdout
    return host.scratch.script("real/resident", (
        f"exec {host.scratch.python} -IS -X utf8 -X qmail={QMAIL} -X original={host.rspawn} "
        f"{host.scratch.directory}/installed/lib/qmail_rspawn.py {first[0]}"))


def figures(program, log, count):
    """Returns the Figures of count deliveries by qmail-send.  Raises NotDelivered.

    program: its Popen; log: the file that it writes
    """
    first, unfinished, done = None, b"", 0
    last = time.monotonic()
    while done < count:
        lines, newline, unfinished = (unfinished + log.read()).rpartition(b"\n")
        now = time.monotonic()
        if newline:
            last = now
        if first is None and FIRST in lines:
            first, used = now, cpu(program.pid)
        for failure in FAILURES:
            if failure in lines:
                raise NotDelivered(lines[lines.index(failure):][:200].decode("ascii", "replace")
                                   .partition("\n")[0])
        done += lines.count(SUCCESS)
        if program.poll() is not None or now > last + PATIENCE:
            raise NotDelivered(f"{done} of {count} are delivered")
        if done < count:
            time.sleep(LOOK)
    return Figures((cpu(program.pid) - used) / count * 1000, None, count / (now - first),
                   resident_memory(program.pid))
