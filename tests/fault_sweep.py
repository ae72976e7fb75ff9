# SPDX-License-Identifier: MIT
"""Makes each system call of a signed delivery fail, one at a time, and judges the end.

strace's fault injection does it, first in the launcher's shell (from its first
line on), then in the interpreter (from its start until the original is run).
A delivery may end as Z with nothing sent, or as K with the whole message sent
and its signatures right.  All else is a failure of ours.
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

from tests import rspawn
from tests.test_deliveries import Host

ERRORS = {
    "open": ["EACCES", "EMFILE", "EIO", "EINTR"],
    "read": ["EIO", "EINTR", "EAGAIN"],
    "write": ["ENOSPC", "EIO", "EPIPE", "EINTR", "EAGAIN"],
    "memory": ["ENOMEM"],
    "process": ["ENOMEM", "EAGAIN"],
    "wait": ["EINTR"],      # its only error while there is a child
    "other": ["EIO", "ENOMEM", "EPERM"],
}
KINDS = {
    "open": {"open", "openat", "memfd_create", "socket", "connect", "readlink", "access",
             "newfstatat", "stat", "lstat", "statx", "dup", "dup2", "dup3", "fcntl"},
    "read": {"read", "pread64", "getdents64", "getrandom"},
    "write": {"write", "pwrite64", "sendto", "close", "lseek"},
    "memory": {"mmap", "brk", "munmap", "mprotect", "mremap"},
    "process": {"execve", "clone", "clone3", "fork", "vfork"},
    "wait": {"wait4"},
}
# They never fail, or (execve at the start) are not ours.
LEFT_OUT = {"exit_group", "exit", "rt_sigreturn", "arch_prctl", "set_tid_address", "getpid",
            "getppid", "getuid", "geteuid", "getgid", "getegid", "gettid"}


class Fault(NamedTuple):
    """One call made to fail."""
    where: str      # "sh" or "python"
    call: str
    occurrence: int
    error: str

    @property
    def injection(self):
        return ["-e", f"trace={self.call}",
                "-e", f"inject={self.call}:error={self.error}:when={self.occurrence}"]


def errors_of(call):
    kind = next((kind for kind, calls in KINDS.items() if call in calls), "other")
    return ERRORS[kind]


def strace_launcher(host, options):
    """The launcher, its shell under strace."""
    return ["strace", "-qq", "-o", host.directory / "trace", *options, host.launcher]


def strace_python(host, options):
    """The launcher, its interpreter under strace until it runs the original."""
    words = " ".join(f"'{option}'" for option in options)
    python = host.program("traced-python", (
        f"#!/bin/sh\nexec strace -qq -b execve -o '{host.directory}/trace' {words} "
        f"'{rspawn.PYTHON}' \"$@\"\n"))
    rspawn.install_launcher(host.directory, python=python)
    return [host.launcher]


STRACE = {"sh": strace_launcher, "python": strace_python}


def faults(host):
    """Every Fault to try, from a trace of a delivery without one."""
    found = []
    for where, command in STRACE.items():
        run(host, command(host, []))
        lines = (host.directory / "trace").read_text(errors="replace").splitlines()
        seen = collections.Counter()
        started = where == "python"
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


def run(host, command):
    """One delivery -> (Delivery, what was sent or None)."""
    (host.directory / "sent").unlink(missing_ok=True)
    result = rspawn.deliver(command, host.message, host.environment)
    return result, host.sent


def judge(host, fault):
    """-> what became of the message, beginning with "wrong" where it is our fault."""
    result, sent = run(host, STRACE[fault.where](host, fault.injection))
    if result.verdict == "Z":
        return "deferred" if sent is None else f"wrong: deferred {result.text!r}, though sent"
    if result.verdict == "K":
        return "delivered" if host.sent_signed() else f"wrong: sent {sent!r}"
    return f"wrong: {result}"


def sweep(host, chosen):
    """-> Counter of outcomes, list of (fault, outcome) that are wrong."""
    outcomes = collections.Counter()
    wrong = []
    for fault in chosen:
        outcome = judge(host, fault)
        outcomes[fault.where, outcome.split(":")[0]] += 1
        if outcome.startswith("wrong"):
            wrong.append((fault, outcome))
    return outcomes, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, metavar="N", help="try N of them, drawn at random")
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    if not shutil.which("strace"):
        sys.exit("faults: strace is missing; on Debian: apt-get install strace")
    with tempfile.TemporaryDirectory() as directory:
        host = Host(pathlib.Path(directory))
        chosen = faults(host)
        print(f"{len(chosen)} faults in {len({f[:3] for f in chosen})} system calls")
        if arguments.sample:
            chosen = random.Random(arguments.seed).sample(chosen, arguments.sample)
        outcomes, wrong = sweep(host, chosen)
    for (where, outcome), count in sorted(outcomes.items()):
        print(f"{where:8}{outcome:12}{count:6}")
    for fault, outcome in wrong:
        print(fault, outcome)
    return 1 if wrong else 0


def can_trace():
    """Whether strace works here (containers may forbid it)."""
    return bool(shutil.which("strace")) and subprocess.run(
        ["strace", "-o", "/dev/null", "true"], capture_output=True).returncode == 0
