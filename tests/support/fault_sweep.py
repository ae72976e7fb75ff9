# SPDX-License-Identifier: MIT
"""Makes each system call of the programs fail, one at a time, and judges the end.

It uses strace's fault injection, in one process of a program at a time.  A call
fails with each plausible error, a read returns less, or the process is killed
there.  fault_subjects.py has the programs for one message, fault_residents.py the
resident ones; each judges by the messages that were sent or queued and by the
answers.
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
    "wait": ["EINTR"],      # the only error while there is a child, or a time limit
    "poll": ["EINTR", "ENOMEM"],
    "network": ["ENETUNREACH", "ECONNREFUSED", "EINTR", "ENOBUFS", "EMFILE"],
    "other": ["EIO", "ENOMEM", "EPERM"],
    "sure": [],             # can't fail as they are used
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
NOT_MADE = "not made"       # the outcome if there was no such call
ENDS = {"pread64", "recvfrom"}      # calls that may meet an end of file, but usually do not
# Calls that never fail and have no effect on other processes.
LEFT_OUT = {"exit_group", "exit", "rt_sigreturn", "arch_prctl", "set_tid_address", "getpid",
            "getppid", "getuid", "geteuid", "getgid", "getegid", "gettid", "restart_syscall",
            "rt_sigaction", "set_robust_list", "rseq"}
# A missing key or control file is no fault.
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
            what = "retval=0"       # brk gives no error, but an end that is too low
        return ["-e", f"trace={self.call}",
                "-e", f"inject={self.call}:{what}:when={self.occurrence}"]


class Subject:
    """A program that is made to fail; a context manager.

    places: names of its processes
    trace: path of strace's output
    first: {place: text in the trace after which our code begins}
    work: {place: text in the trace after which it does more than start, or than
        another place does: before that, each call is tried with only one of its
        errors, which take turns}
    untrue: system calls that strace can't make fail as they would
    untraced: id of a process that is in the last trace but is not tested; or None
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
        """Runs the program with strace, and options for it, at one of the places."""
        raise NotImplementedError

    def judge(self, fault):
        """Returns what became of the message, str; begins with "wrong" if we are at fault."""
        raise NotImplementedError

    def strace(self, options, *more):
        """Returns the words in front of a command that strace runs."""
        return [shutil.which("strace"), "-qq", "-o", str(self.trace), *more, *options]

    def quoted(self, options, *more):
        """Returns strace() quoted for a shell, str."""
        return " ".join(f"'{word}'" for word in self.strace(options, *more))

    def attach(self, process, options, *more):
        """Attaches strace to a running process.  Returns strace's Popen."""
        tracer = subprocess.Popen([*self.strace(options, *more), "-p", str(process)])
        while tracer.poll() is None and not is_traced(process):
            time.sleep(0.001)
        return tracer


def is_traced(process):
    with open(f"/proc/{process}/status", encoding="ascii") as file:
        return "\nTracerPid:\t0\n" not in file.read()


def errors_of(call, line):
    """Returns the errors to try with a call; line: of the trace."""
    kind = next((kind for kind, calls in KINDS.items() if call in calls), "other")
    errors = list(ERRORS[kind])
    if "ENOENT" in errors and ('"/' not in line or "ENOENT" in line
                               or any(name in line for name in MAY_BE_ABSENT)):
        errors.remove("ENOENT")
    return errors + [KILLED] + [END_OF_FILE] * (call in ENDS)


def faults(subject):
    """Returns the Faults to try, found in a trace of each place without faults."""
    found = {}
    subject.run(subject.places[0], [])      # so that no traced run compiles modules
    for where in subject.places:
        subject.trace.unlink(missing_ok=True)
        subject.run(where, [])
        seen = collections.Counter()
        # The very first call starts the program, and can't fail.
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
    """Returns the subject's judgement of a Fault, or NOT_MADE: the calls of runs differ."""
    subject.trace.unlink(missing_ok=True)
    found = subject.judge(fault)
    if not found.startswith("wrong"):
        trace = subject.trace.read_text(errors="replace") if subject.trace.exists() else ""
        if "(INJECTED)" not in trace and "+++ killed by SIGKILL +++" not in trace:
            return NOT_MADE
    return found


def work(kind, directory, chosen, outcomes):
    """Is a process of a sweep: judges Faults from one queue, puts the outcomes into another."""
    try:
        with kind(directory) as subject:
            for fault in iter(chosen.get, None):
                outcomes.put((fault, outcome(subject, fault)))
    except BaseException:
        outcomes.put((None, traceback.format_exc()))


def sweep(kind, directory, chosen, jobs=1):
    """Returns (Counter of outcomes, list of (fault, outcome) that are wrong)."""
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
    """Returns the next outcome.

    Raises RuntimeError if a process was killed, for instance because memory ran out.
    """
    while True:
        try:
            return outcomes.get(timeout=10)
        except queue.Empty:
            if any(worker.exitcode for worker in workers):
                raise RuntimeError("a process of the sweep was killed") from None


def swept(kind, directory, arguments):
    """Sweeps a program.  Returns (Counter of (program, place, outcome), number of wrong ones)."""
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
    """Returns whether strace works here; containers may forbid it."""
    return bool(shutil.which("strace")) and subprocess.run(
        ["strace", "-o", "/dev/null", "true"], capture_output=True).returncode == 0


def main(subjects):
    """Runs the command.  Returns its exit code.  subjects: {name: class of Subject}"""
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
