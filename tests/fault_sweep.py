# SPDX-License-Identifier: MIT
"""Makes each system call of the signer and the verifier fail, one at a time, and judges the end.

strace's fault injection does it: in the launcher's shell (from its first line
on), in the signer's interpreter (from its start until the original is run), and
in the verifier's, as a queue program and as a filter.  A call fails with each
error that is plausible, a read of the message ends early, or the process is
killed there.

A delivery may end as Z with nothing sent, or as K with the whole message sent
and its signatures right.  The verifier may end with a code that its caller
takes for temporary and nothing queued, or with 0 and the whole message queued,
its good signature called good.  All else is a failure of ours.
"""

import argparse
import collections
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
from typing import NamedTuple

from tests import dns_server, queue_driver, rspawn, test_deliveries, verifying

ERRORS = {
    "open": ["EACCES", "EMFILE", "EIO", "EINTR"],
    "read": ["EIO", "EINTR", "EAGAIN"],
    "write": ["ENOSPC", "EIO", "EPIPE", "EINTR", "EAGAIN"],
    "memory": ["ENOMEM"],
    "process": ["ENOMEM", "EAGAIN"],
    "wait": ["EINTR"],      # its only error while there is a child
    "network": ["ENETUNREACH", "ECONNREFUSED", "EINTR", "ENOBUFS"],
    "other": ["EIO", "ENOMEM", "EPERM"],
}
KINDS = {
    "open": {"open", "openat", "memfd_create", "readlink", "access",
             "newfstatat", "stat", "lstat", "statx", "dup", "dup2", "dup3", "fcntl"},
    "read": {"read", "pread64", "getdents64", "getrandom"},
    "write": {"write", "pwrite64", "close", "lseek"},
    "memory": {"mmap", "brk", "munmap", "mprotect", "mremap"},
    "process": {"execve", "clone", "clone3", "fork", "vfork"},
    "wait": {"wait4"},
    "network": {"socket", "connect", "bind", "sendto", "recvfrom", "setsockopt", "poll"},
}
KILLED = "KILL"             # instead of an error
END_OF_FILE = "end of file"
# They never fail, or (execve at the start) are not ours.
LEFT_OUT = {"exit_group", "exit", "rt_sigreturn", "arch_prctl", "set_tid_address", "getpid",
            "getppid", "getuid", "geteuid", "getgid", "getegid", "gettid"}


class Fault(NamedTuple):
    """One call made to fail."""
    where: str      # of Signer.places or Verifier.places
    call: str
    occurrence: int
    error: str      # of ERRORS, KILLED or END_OF_FILE

    @property
    def injection(self):
        what = {KILLED: "signal=KILL", END_OF_FILE: "retval=0"}.get(
            self.error, f"error={self.error}")
        return ["-e", f"trace={self.call}",
                "-e", f"inject={self.call}:{what}:when={self.occurrence}"]


def errors_of(call):
    kind = next((kind for kind, calls in KINDS.items() if call in calls), "other")
    return ERRORS[kind] + [KILLED] + [END_OF_FILE] * (call == "pread64")


class Signer:
    """Deliveries through the launcher."""

    places = ("sh", "python")

    def __init__(self, directory):
        self.host = test_deliveries.Host(directory)
        self.trace = directory / "trace"

    def run(self, where, options):
        """A delivery with strace at one of the places -> (Delivery, what was sent or None)."""
        (self.host.directory / "sent").unlink(missing_ok=True)
        command = self.under_strace[where](self, options)
        result = rspawn.deliver(command, self.host.message, self.host.environment)
        return result, self.host.sent

    def launcher(self, options):
        """The launcher, its shell under strace."""
        rspawn.install_launcher(self.host.directory)
        return ["strace", "-qq", "-o", self.trace, *options, self.host.launcher]

    def python(self, options):
        """The launcher, its interpreter under strace until it runs the original."""
        words = " ".join(f"'{option}'" for option in options)
        python = self.host.program("traced-python", (
            f"#!/bin/sh\nexec strace -qq -b execve -o '{self.trace}' {words} "
            f"'{rspawn.PYTHON}' \"$@\"\n"))
        rspawn.install_launcher(self.host.directory, python=python)
        return [self.host.launcher]

    under_strace = {"sh": launcher, "python": python}

    def judge(self, fault):
        """-> what became of the message, beginning with "wrong" where it is our fault."""
        result, sent = self.run(fault.where, fault.injection)
        if result.verdict == "Z":
            if sent is None:
                return "deferred"
            if (fault.where, fault.error) == ("sh", KILLED) and self.host.sent_signed():
                return "killed, though sent"    # nobody is left to say so
            return f"wrong: deferred {result.text!r}, though sent"
        if result.verdict == "K":
            return "delivered" if self.host.sent_signed() else f"wrong: sent {sent!r}"
        return f"wrong: {result}"


class Verifier:
    """A message with a good signature, from qmail-smtpd and through qmail-qfilter."""

    places = ("queue", "filter")
    message = verifying.dkim_signed()

    def __init__(self, directory):
        self.host = queue_driver.Host(directory)
        self.trace = directory / "trace"
        self.dns = dns_server.DnsServer({verifying.NAME: [verifying.golden_rsa().record()]})
        self.dns.__enter__()
        # Whatever is thought of the message but that it is good, or can't be told yet, rejects it.
        self.host.environment.update(DKVERIFY="BCDEGIJKfh", DNSCACHEIP=self.dns.address,
                                     DKTIMEOUT="3")

    def run(self, where, options):
        """-> queue_driver.Outcome."""
        shutil.rmtree(self.host.directory / "queued")
        (self.host.directory / "queued").mkdir()
        self.host.prefix = [shutil.which("strace"), "-qq", "-b", "execve", "-o", str(self.trace),
                            *options]
        return (self.host.smtpd if where == "queue" else self.host.qfilter)(self.message)

    def judge(self, fault):
        """-> what became of the message, beginning with "wrong" where it is our fault."""
        outcome = self.run(fault.where, fault.injection)
        if outcome.code == 0:
            text = outcome.output if fault.where == "filter" else outcome.queued.get("message", b"")
            whole = text.endswith(self.message) and b"\n  dkim=pass" in text
            if fault.where == "queue":
                whole = whole and outcome.queued["envelope"] == queue_driver.ENVELOPE
            return "accepted" if whole else f"wrong: {outcome}, message {text!r}"
        # qmail_close() in qmail.c; 99 is qmail-qfilter's "drop it".
        if 11 <= outcome.code <= 40 or outcome.code == 99 or outcome.queued:
            return f"wrong: {outcome}"
        return "deferred"


def faults(subject):
    """Every Fault to try, from a trace of each place without one."""
    found = []
    for where in subject.places:
        subject.run(where, [])
        lines = subject.trace.read_text(errors="replace").splitlines()
        seen = collections.Counter()
        started = where != "sh"
        for line in lines:
            name = re.match(r"\w+", line)
            if not name:
                continue
            call = name.group()
            seen[call] += 1
            if started and call not in LEFT_OUT and not (call == "execve" and seen[call] == 1):
                found += [Fault(where, call, seen[call], error) for error in errors_of(call)]
            started = started or "#!/bin/sh" in line
    return found


def sweep(subject, chosen):
    """-> Counter of outcomes, list of (fault, outcome) that are wrong."""
    outcomes = collections.Counter()
    wrong = []
    for fault in chosen:
        outcome = subject.judge(fault)
        outcomes[fault.where, outcome.split(":")[0]] += 1
        if outcome.startswith("wrong"):
            wrong.append((fault, outcome))
    return outcomes, wrong


def main():
    parser = argparse.ArgumentParser(prog="tests/faults", description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, metavar="N",
                        help="try N of each program's, drawn at random")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", choices=("signer", "verifier"))
    arguments = parser.parse_args()
    if not shutil.which("strace"):
        sys.exit("faults: strace is missing; on Debian: apt-get install strace")
    failures = 0
    for name, kind in (("signer", Signer), ("verifier", Verifier)):
        if arguments.only in (None, name):
            with tempfile.TemporaryDirectory() as directory:
                failures += tabled(kind(pathlib.Path(directory)), arguments)
    return 1 if failures else 0


def tabled(subject, arguments):
    """Sweeps a program and prints the table -> how many outcomes are wrong."""
    chosen = faults(subject)
    print(f"{len(chosen)} faults in {len({fault[:3] for fault in chosen})} system calls")
    if arguments.sample and arguments.sample < len(chosen):
        chosen = random.Random(arguments.seed).sample(chosen, arguments.sample)
    outcomes, wrong = sweep(subject, chosen)
    for (where, outcome), count in sorted(outcomes.items()):
        print(f"{where:8}{outcome:22}{count:6}")
    for fault, outcome in wrong:
        print(fault, outcome)
    return len(wrong)


def can_trace():
    """Whether strace works here (containers may forbid it)."""
    return bool(shutil.which("strace")) and subprocess.run(
        ["strace", "-o", "/dev/null", "true"], capture_output=True).returncode == 0
