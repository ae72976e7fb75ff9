# SPDX-License-Identifier: MIT
"""Measures deliveries by qmail-rspawn: stock, with our qmail-remote, and our resident one.

All of them deliver to an SMTP server on loopback, and take turns.  Stock sends
messages that ours have signed, so that the same bytes are on the wire.  The CPU is
used by qmail-rspawn and all its children, after its first deliveries; the memory by
the processes that stay.  In a mount namespace, other directories cover qmail's queue
and control files, and another program covers its qmail-remote.
"""

import contextlib
import itertools
import os
import pwd
import shutil
import subprocess
import time
from typing import NamedTuple

from figures import AT_ONCE, Figures, Row, Section
from scratch import DOMAIN
from servers import children, proportional_share

QMAIL = "/var/qmail"
COVER = ["unshare", "--mount", "sh", "-c", f"""
    mount --bind "$1/queue" {QMAIL}/queue && mount --bind "$1/control" {QMAIL}/control &&
    mount --bind "$2" {QMAIL}/bin/qmail-remote && shift 2 && exec "$@" """, "sh"]

STOCK, ONE_SHOT, RESIDENT = "stock", "one-shot", "resident"
DISTINCT, SAME = "a message each", "one message to all"
CONCURRENCY = "120"     # conf-spawn, unless qmail was built otherwise
ALONE_MOST = 20         # deliveries one after the other, for the latency


class NotDelivered(Exception):
    """A delivery did not end as K, so figures mean nothing.  The text has the report."""


class Way(NamedTuple):
    """A way to deliver.

    command: of qmail-rspawn; remote: path of the program to run as qmail-remote
    message: path; share: fraction of the deliveries that is enough
    """
    command: list
    remote: str
    message: str
    share: float


def obstacle(qmail=QMAIL):
    """Returns the reason why nothing can be delivered here, or ""."""
    if os.getuid() or not shutil.which("unshare") or not original("qmail-rspawn", qmail):
        return f"needs Linux, root, and qmail in {qmail}"
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        return "needs mount namespaces"
    return ""


def original(name, qmail=QMAIL):
    """Returns the path of one of qmail's own programs, or None."""
    for path in (f"{qmail}/bin/{name}.orig", f"{qmail}/bin/{name}"):
        if os.access(path, os.X_OK):
            return path
    return None


def name_of(way, kind):
    """Returns the name of a row."""
    return f"{way}, {kind}"


def absent(title, obstacle):
    """Returns the Section for a host where nothing can be delivered.  obstacle: why"""
    return Section(f"delivering, {title}", [
        Row(name_of(way, kind), way != STOCK, None, None, obstacle)
        for kind in (DISTINCT, SAME) for way in (STOCK, ONE_SHOT, RESIDENT)])


class Host:
    """A scratch queue, and the ways to deliver its messages.

    scratch: scratch.Scratch; port: of the SMTP server
    """

    def __init__(self, scratch, port):
        self.scratch = scratch
        self.directory = f"{scratch.directory}/host"
        self.queue = f"{self.directory}/queue/mess/0"
        os.makedirs(self.queue)
        os.mkdir(f"{self.directory}/queue/lock")
        os.mkdir(f"{self.directory}/control")
        self.owner = pwd.getpwnam("qmailq").pw_uid
        os.chown(f"{self.directory}/queue/mess", self.owner, -1)
        for name, text in (("control/me", "host.example.com\n"),
                           ("control/smtproutes", f":127.0.0.1:{port}\n"),
                           ("queue/lock/tcpto", "\0" * 1024)):
            with open(f"{self.directory}/{name}", "w", encoding="ascii") as file:
                file.write(text)
        # A copy, because the namespace covers qmail's own.
        self.remote = shutil.copy(original("qmail-remote"), f"{self.directory}/qmail-remote")
        # qmail-rspawn finds qmail-remote through PATH.
        self.environment = {"PATH": f"{QMAIL}/bin:" + os.environ.get("PATH", os.defpath),
                            "DKSIGN": scratch.key_pattern, "DKREMOTE": self.remote}

    def ways(self, size):
        """Returns {name: Way} for messages of size bytes."""
        scratch = self.scratch
        plain, signed = scratch.message(size), scratch.signed_message(size)
        ours = [scratch.python, "-IS", "-X", f"qmail={QMAIL}",
                f"{scratch.directory}/installed/lib/qmail_rspawn.py", CONCURRENCY]
        stock = [original("qmail-rspawn")]
        return {STOCK: Way(stock, self.remote, signed, 1),
                ONE_SHOT: Way(stock, scratch.remote, plain, 0.2),
                RESIDENT: Way(ours, self.remote, plain, 1)}

    def section(self, title, amount):
        """Returns the Section for messages of an Amount; title: names their size."""
        title = f"delivering, {title}"
        rows = []
        for kind in (DISTINCT, SAME):
            ways = self.ways(amount.size)
            samples = {name: [] for name in ways}
            remarks = dict.fromkeys(ways, "")
            for _ in range(amount.rounds):
                for name, way in ways.items():
                    count = max(int(amount.deliveries * way.share), AT_ONCE)
                    try:
                        samples[name].append(self.measure(way, count, kind == DISTINCT))
                    except NotDelivered as reason:
                        remarks[name] = f"not delivered: {reason}"
            rows += [Row(name_of(name, kind), name != STOCK,
                         None if remarks[name] else Figures.of(samples[name]),
                         (title, name_of(STOCK, kind)), remarks[name]) for name in ways]
        return Section(title, rows)

    def measure(self, way, count, distinct):
        """Returns the Figures of count deliveries.  distinct: whether each has its own message.

        Raises NotDelivered.
        """
        alone = min(count // 5, ALONE_MOST)
        messages = itertools.count() if distinct else itertools.repeat(0)
        self.fill(way.message, AT_ONCE + alone + count if distinct else 1)
        with self.started(way) as program:
            timed(program, itertools.islice(messages, AT_ONCE), AT_ONCE)    # starts its processes
            _, latency = timed(program, itertools.islice(messages, alone), 1)
            used, seconds = timed(program, itertools.islice(messages, count), AT_ONCE)
            memory = resident_memory(program.pid)
        return Figures(used / count * 1000, latency / alone * 1000, count / seconds, memory)

    def fill(self, message, count):
        """Puts a message into the queue count times."""
        shutil.rmtree(self.queue)
        os.mkdir(self.queue)
        for number in range(count):
            shutil.copyfile(message, f"{self.queue}/{number}")
            os.chown(f"{self.queue}/{number}", self.owner, -1)

    @contextlib.contextmanager
    def started(self, way):
        """A context in which qmail-rspawn runs; gives its Popen.  Raises NotDelivered."""
        with subprocess.Popen(COVER + [self.directory, way.remote] + way.command, bufsize=0,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              env=self.environment) as program:
            if not program.stdout.read(1):
                raise NotDelivered("qmail-rspawn does not start")
            yield program
            program.stdin.close()


def timed(program, messages, at_once):
    """Calls deliver().  Returns (CPU seconds, seconds by the clock)."""
    used, started = cpu(program.pid), time.monotonic()
    deliver(program, messages, at_once)
    return cpu(program.pid) - used, time.monotonic() - started


def deliver(program, messages, at_once):
    """Gives commands for messages (numbers), which must all end as K.  Raises NotDelivered."""
    waiting = list(messages)[::-1]
    free = list(range(at_once))     # delivery numbers
    output = bytearray()
    while waiting or len(free) < at_once:
        try:
            while waiting and free:
                program.stdin.write(b"%c0/%d\0sender@%b\0recipient@example.net\0" % (
                    free.pop(), waiting.pop(), DOMAIN.encode()))
            read = os.read(program.stdout.fileno(), 65536)
        except BrokenPipeError:
            read = b""
        if not read:
            raise NotDelivered("qmail-rspawn has ended")
        output += read
        while (end := output.find(b"\0", 1)) > 0:
            if output[1:2] != b"K":
                raise NotDelivered(output[1:end].decode("ascii", "replace").strip())
            free.append(output[0])
            del output[:end + 1]


def cpu(top):
    """Returns the CPU seconds of a process, its descendants, and those already waited for.

    Linux only; exact to a hundredth of a second for each existing process.
    """
    ticks = 0
    for process in descendants(top):
        try:
            with open(f"/proc/{process}/stat", "rb") as file:
                ticks += sum(map(int, file.read().rpartition(b")")[2].split()[11:15]))
        except (FileNotFoundError, ProcessLookupError):
            pass    # the parent has waited for the process
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_memory(top):
    """Returns the MiB of a process's descendants that belong to qmail-rspawn and stay.

    Shared pages and files in memory count once.
    """
    total = 0
    kept = {}
    for process in descendants(top):
        try:
            with open(f"/proc/{process}/cmdline", "rb") as file:
                command = file.read()
            if b"rspawn" in command:
                total += proportional_share(process)
                kept.update(files_in_memory(process))
        except (FileNotFoundError, ProcessLookupError):
            pass    # the process does not stay
    return total + sum(kept.values()) / 1024 / 1024


def files_in_memory(process):
    """Returns the files of memfd_create() that a process has open, {inode: bytes}."""
    found = {}
    for descriptor in os.listdir(f"/proc/{process}/fd"):
        path = f"/proc/{process}/fd/{descriptor}"
        try:
            if os.readlink(path).startswith("/memfd:"):
                state = os.stat(path)
                found[state.st_ino] = state.st_blocks * 512
        except FileNotFoundError:
            pass    # has just been closed
    return found


def descendants(top):
    """Returns the ids of a process and all its descendants."""
    found = [top]
    for parent in found:
        try:
            found += children(parent)
        except (FileNotFoundError, ProcessLookupError):
            pass    # the process has ended
    return found
