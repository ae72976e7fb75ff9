# SPDX-License-Identifier: MIT
"""Measures mail that comes in through tcpserver and qmail-smtpd, up to the queue.

Each message has two signatures and a connection of its own.  The CPU is that of tcpserver
and all its children, and of the resident verifier; ms is the median from connect() to the
answer that the message is accepted, with as many connections at once.
"""

import contextlib
import pwd
import shutil
import socket
import statistics
import subprocess
import time

import real_host
import servers
from deliveries import ONE_SHOT, QMAIL, RESIDENT, STOCK, NotDelivered, cpu, original
from figures import Figures, Row
from through_send import send

TITLE = "inbound through qmail-smtpd, "
NOT_VERIFIED = "RELAYCLIENT"       # of a client whose mail is not verified
AT_ONCE = 8, 20
WAYS = STOCK, ONE_SHOT, RESIDENT, NOT_VERIFIED
PORT = 2525             # the network is our own
LETTERS = "DEGIJKfh"
MISSED = 0.1            # of the messages that the server may leave to the program
GOOD, BY_SERVER = b" accepted: good (A)", b"; resident"


def name_of(way, at_once):
    """Returns the name of a row."""
    return f"{way}, {at_once} connections"


def absent(obstacle):
    """Returns the Rows for a host where nothing can be measured.  obstacle: why"""
    return [Row(name_of(way, at_once), way != STOCK, None, None, obstacle)
            for at_once in AT_ONCE for way in WAYS]


def obstacle(host):
    """Returns the reason why nothing can be measured here, or ""."""
    if not shutil.which("tcpserver"):
        return "needs tcpserver"
    if not host.scratch.verify:
        return "needs the verifier's packages"
    with open(f"{QMAIL}/bin/qmail-smtpd", "rb") as file:
        return "" if b"QMAILQUEUE" in file.read() else "needs a qmail-smtpd that reads QMAILQUEUE"


def rows(host, title, amounts):
    """Returns the Rows.  host: real_host.RealHost; title: names the size; amounts: Amounts"""
    why = obstacle(host)
    if why:
        return absent(why)
    found = []
    with servers.dns(host.scratch) as port, servers.verifyd(host.scratch, port) as verifyd:
        for at_once in AT_ONCE:
            samples, slow = {way: [] for way in WAYS}, {way: [] for way in WAYS}
            remarks = {}
            for _ in range(amounts.rounds):
                for way in WAYS:
                    try:
                        figures, latency = measure(host, way, at_once, amounts, (port, verifyd))
                    except NotDelivered as reason:
                        remarks[way] = f"not accepted: {reason}"
                        continue
                    samples[way].append(figures)
                    slow[way].append(latency)
            found += [Row(name_of(way, at_once), way != STOCK,
                          None if way in remarks else Figures.of(samples[way]),
                          (TITLE + title, name_of(STOCK, at_once)), remarks.get(way)
                          or f"p95 {statistics.median(slow[way]):.1f} ms") for way in WAYS]
    return found


def measure(host, way, at_once, amounts, beside):
    """Returns (Figures, milliseconds that 5 % of the messages exceed) of one run.

    Raises NotDelivered.

    beside: (port of the DNS server, servers.Verifyd)
    """
    count = max(amounts.inbound // (10 if way == ONE_SHOT else 1), at_once)
    verifyd = beside[1]
    log = f"{host.directory}/smtpd.log"
    with host.queue(), running(host, settings(host, way, beside), log) as tcpserver:
        send(host, PORT, at_once, at_once, amounts.size)
        used = cpu(tcpserver.pid) + verifyd.cpu()
        seconds, latencies = send(host, PORT, count, at_once, amounts.size)
        used = cpu(tcpserver.pid) + verifyd.cpu() - used
    check(log, way, count + at_once)
    latencies.sort()
    return Figures(used / count * 1000, statistics.median(latencies) * 1000, count / seconds,
                   verifyd.memory() if way == RESIDENT else None), (
        latencies[int(len(latencies) * 0.95)] * 1000)


def settings(host, way, beside):
    """Returns the environment of qmail-smtpd."""
    port, verifyd = beside
    environment = {"PATH": f"{QMAIL}/bin:/usr/bin:/bin"}
    if way != STOCK:
        environment.update(
            QMAILQUEUE=host.scratch.verify, DKQUEUE=original("qmail-queue"), DKVERIFY=LETTERS,
            DKSERVER="-" if way == ONE_SHOT else verifyd.socket, DNSCACHEIP=f"127.0.0.1#{port}",
            DKAUTHSERVID="host.example.com")
    if way == NOT_VERIFIED:
        environment["RELAYCLIENT"] = ""
    return environment


@contextlib.contextmanager
def running(host, environment, log):
    """A context in which tcpserver runs; gives its Popen.  log: path for its descriptor 2"""
    user = pwd.getpwnam("qmaild")
    with open(log, "wb") as output:
        tcpserver = subprocess.Popen(
            [shutil.which("tcpserver"), "-RHl", "host.example.com", "-c", "200", "-b", "200",
             "-u", str(user.pw_uid), "-g", str(user.pw_gid), "127.0.0.1", str(PORT),
             f"{QMAIL}/bin/qmail-smtpd"], env=environment, stderr=output)
    try:
        while tcpserver.poll() is None:
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", PORT)).close()
                break
            time.sleep(0.02)
        yield tcpserver
    finally:
        real_host.end(tcpserver)


def check(log, way, count):
    """Raises NotDelivered if the log (path) does not show that count messages were verified."""
    with open(log, "rb") as file:
        text = file.read()
    wanted = {ONE_SHOT: (count, 0), RESIDENT: (count, count)}.get(way, (0, 0))
    found = text.count(GOOD), text.count(BY_SERVER)
    if found[0] != wanted[0] or found[1] < wanted[1] * (1 - MISSED):
        last = text.splitlines()[-1:] or [b""]
        raise NotDelivered(f"verified, and by the server: {found}, not {wanted}: "
                           + last[0].decode("ascii", "replace"))
