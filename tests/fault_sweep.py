# SPDX-License-Identifier: MIT
"""Makes each system call of the programs fail, one at a time, and judges the end.

strace's fault injection does it, in one process of a program at a time.  A call
fails with each error that is plausible, a read ends early, or the process is
killed there.  fault_subjects.py has the programs that serve one message,
fault_residents.py those that stay; each judges by what was sent, queued and
answered.
"""

import argparse
import collections
import multiprocessing
import os
import pathlib
import queue
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from typing import NamedTuple

ERRORS = {
    "open": ["EACCES", "ENOENT", "EMFILE", "EIO", "EINTR"],
    "read": ["EIO", "EINTR", "EAGAIN"],
    "write": ["ENOSPC", "EIO", "EPIPE", "EINTR", "EAGAIN"],
    "memory": ["ENOMEM"],
    "process": ["ENOMEM", "EAGAIN"],
    "wait": ["EINTR"],      # its only error while there is a child, or a time to wait for
    "poll": ["EINTR", "ENOMEM"],
    "network": ["ENETUNREACH", "ECONNREFUSED", "EINTR", "ENOBUFS", "EMFILE"],
    "other": ["EIO", "ENOMEM", "EPERM"],
    "sure": [],             # they can't fail, as they are used
}
KINDS = {
    "open": {"open", "openat", "memfd_create", "readlink", "access", "pipe2",
             "newfstatat", "stat", "lstat", "statx", "dup", "dup2", "dup3", "fcntl"},
    "read": {"read", "pread64", "getdents64", "getrandom"},
    "write": {"write", "pwrite64", "close", "lseek"},
    "memory": {"mmap", "brk", "munmap", "mprotect", "mremap"},
    "process": {"execve", "clone", "clone3", "fork", "vfork"},
    "wait": {"wait4", "rt_sigtimedwait", "clock_nanosleep"},
    "poll": {"poll", "select", "pselect6"},
    "network": {"socket", "socketpair", "connect", "bind", "listen", "accept4", "sendto",
                "sendmsg", "recvfrom", "recvmsg", "setsockopt"},
    "sure": {"rt_sigprocmask", "sigaltstack", "futex", "sysinfo", "uname", "getsockname"},
}
KILLED = "KILL"             # instead of an error
END_OF_FILE = "end of file"
NOT_MADE = "not made"       # the outcome where there was no such call
ENDS = {"pread64", "recvfrom"}      # where that may be, and is not what it always means
# They never fail, and nothing is changed by them for others.
LEFT_OUT = {"exit_group", "exit", "rt_sigreturn", "arch_prctl", "set_tid_address", "getpid",
            "getppid", "getuid", "geteuid", "getgid", "getegid", "gettid", "restart_syscall",
            "rt_sigaction", "set_robust_list", "rseq"}
# No key, and no such setting, are no faults.
MAY_BE_ABSENT = ("/keys/", "/control/")


class Fault(NamedTuple):
    """One call made to fail."""
    where: str      # of the subject's places
    call: str
    occurrence: int
    error: str      # of ERRORS, KILLED or END_OF_FILE

    @property
    def injection(self):
        what = {KILLED: "signal=KILL", END_OF_FILE: "retval=0"}.get(
            self.error, f"error={self.error}")
        if self.call == "brk" and self.error != KILLED:
            what = "retval=0"       # it gives no error, but an end that is too low
        return ["-e", f"trace={self.call}",
                "-e", f"inject={self.call}:{what}:when={self.occurrence}"]


class Subject:
    """A program that is made to fail; a context manager.

    places: the processes of it, by name; trace: path of what strace writes
    first: {place: text of the trace after which what is ours begins}
    work: {place: text of the trace after which it does more than start, or than
        another place does: before that, one error is tried with each call, all
        of them by turns}
    untrue: the system calls that strace can't make fail as they would
    untraced: id of a process that the last trace has, too, but is not meant; or None
    """

    places = ()
    first = {}
    work = {}
    untrue = frozenset()
    untraced = None

    def __init__(self, directory):
        self.trace = directory / "trace"

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def run(self, where, options):
        """Runs the program with strace and its options at one of the places."""
        raise NotImplementedError

    def judge(self, fault):
        """-> what became of the message, beginning with "wrong" where it is our fault."""
        raise NotImplementedError

    def strace(self, options, *more):
        """The start of a command, which strace then runs."""
        return [shutil.which("strace"), "-qq", "-o", str(self.trace), *more, *options]

    def quoted(self, options, *more):
        """strace() for a shell."""
        return " ".join(f"'{word}'" for word in self.strace(options, *more))

    def attach(self, process, options, *more):
        """Lets strace begin with a process that runs -> its own, a Popen."""
        tracer = subprocess.Popen([*self.strace(options, *more), "-p", str(process)])
        while tracer.poll() is None and not is_traced(process):
            time.sleep(0.001)
        return tracer


def is_traced(process):
    with open(f"/proc/{process}/status", encoding="ascii") as file:
        return "\nTracerPid:\t0\n" not in file.read()


def errors_of(call, line):
    """What to try with a call; line: of the trace."""
    kind = next((kind for kind, calls in KINDS.items() if call in calls), "other")
    errors = list(ERRORS[kind])
    if "ENOENT" in errors and ('"/' not in line or "ENOENT" in line
                               or any(name in line for name in MAY_BE_ABSENT)):
        errors.remove("ENOENT")
    return errors + [KILLED] + [END_OF_FILE] * (call in ENDS)


def faults(subject):
    """Every Fault to try, from a trace of each place without one."""
    found = {}
    subject.run(subject.places[0], [])      # lest it compiles modules for the first time
    for where in subject.places:
        subject.trace.unlink(missing_ok=True)
        subject.run(where, [])
        seen = collections.Counter()
        # The first call of all starts the program, and can't fail.
        begun, at_work = False, where not in subject.work
        for line in subject.trace.read_text(errors="replace").splitlines():
            process, call = re.match(r"(?:(\d+) +)?(\w*)", line).groups()
            if not call or process == str(subject.untraced):
                continue
            seen[process, call] += 1
            if begun and call not in LEFT_OUT:
                errors = [KILLED] if call in subject.untrue else errors_of(call, line)
                if not at_work:
                    errors = [errors[seen[process, call] % len(errors)]]
                found.update((Fault(where, call, seen[process, call], error), None)
                             for error in errors)
            begun = begun or subject.first.get(where, "") in line
            at_work = at_work or subject.work[where] in line
    return list(found)


def outcome(subject, fault):
    """What the subject judges, or NOT_MADE: no two runs make just the same calls."""
    subject.trace.unlink(missing_ok=True)
    found = subject.judge(fault)
    if not found.startswith("wrong"):
        trace = subject.trace.read_text(errors="replace") if subject.trace.exists() else ""
        if "(INJECTED)" not in trace and "+++ killed by SIGKILL +++" not in trace:
            return NOT_MADE
    return found


def work(kind, directory, chosen, outcomes):
    """A process of a sweep: judges the Faults of one queue, and tells by another."""
    try:
        with kind(directory) as subject:
            for fault in iter(chosen.get, None):
                outcomes.put((fault, outcome(subject, fault)))
    except BaseException:
        outcomes.put((None, traceback.format_exc()))


def sweep(kind, directory, chosen, jobs=1):
    """-> Counter of outcomes, list of (fault, outcome) that are wrong."""
    waiting, outcomes = multiprocessing.Queue(), multiprocessing.Queue()
    for fault in [*chosen, *[None] * jobs]:
        waiting.put(fault)
    workers = []
    for number in range(jobs):
        place = directory / f"sweep-{number}"
        place.mkdir()
        workers.append(multiprocessing.Process(target=work, args=(kind, place, waiting, outcomes),
                                               daemon=True))
        workers[-1].start()
    counted = collections.Counter()
    wrong = []
    for number in range(len(chosen)):
        fault, found = next_outcome(outcomes, workers)
        if fault is None:
            raise RuntimeError(found)
        if number and number % 1000 == 0:
            print(f"{number} faults tried", flush=True)
        counted[fault.where, found.split(":")[0]] += 1
        if found.startswith("wrong"):
            wrong.append((fault, found))
            print(fault, found, flush=True)
    for worker in workers:
        worker.join()
    return counted, wrong


def next_outcome(outcomes, workers):
    """What a worker tells next.  Raises RuntimeError where one was killed, for want of memory."""
    while True:
        try:
            return outcomes.get(timeout=10)
        except queue.Empty:
            if any(worker.exitcode for worker in workers):
                raise RuntimeError("a process of the sweep was killed") from None


def swept(kind, directory, arguments):
    """Sweeps a program -> (Counter of (program, place, outcome), how many are wrong)."""
    with kind(directory) as subject:
        chosen = faults(subject)
    print(f"{kind.__name__}: {len(chosen)} faults in "
          f"{len({fault[:3] for fault in chosen})} system calls", flush=True)
    if arguments.sample and arguments.sample < len(chosen):
        chosen = random.Random(arguments.seed).sample(chosen, arguments.sample)
    outcomes, wrong = sweep(kind, directory, chosen, arguments.jobs)
    return collections.Counter({(kind.__name__, *key): count
                                for key, count in outcomes.items()}), len(wrong)


def print_table(outcomes):
    for (name, where, found), count in sorted(outcomes.items()):
        print(f"{name:18}{where:12}{found:32}{count:6}")


def can_trace():
    """Whether strace works here (containers may forbid it)."""
    return bool(shutil.which("strace")) and subprocess.run(
        ["strace", "-o", "/dev/null", "true"], capture_output=True).returncode == 0


def main(subjects):
    """subjects: {name: kind of Subject} -> exit code."""
    parser = argparse.ArgumentParser(prog="tests/faults", description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, metavar="N",
                        help="try N of each program's, drawn at random")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", choices=subjects)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N",
                        help="try N at once (default: as many as there are processors)")
    arguments = parser.parse_args()
    if not can_trace():
        sys.exit("faults: strace is missing, or not allowed; on Debian: apt-get install strace")
    outcomes, wrong = collections.Counter(), 0
    for name in [arguments.only] if arguments.only else subjects:
        with tempfile.TemporaryDirectory() as directory:
            found, of_them_wrong = swept(subjects[name], pathlib.Path(directory), arguments)
        outcomes += found
        wrong += of_them_wrong
    print_table(outcomes)
    return 1 if wrong else 0
