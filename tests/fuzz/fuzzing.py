# SPDX-License-Identifier: MIT
"""Fuzzes the targets with atheris, guided by coverage of lib/ and dkimpy.

    tests/fuzz/run [--seconds N] [--jobs N] [--seed N] [TARGET ...]

What makes a target fail is written to tests/fuzz/cases/TARGET-*: mend what it
shows, and keep the file, for tests/programs/test_fuzz.py replays them all.  What reaches
new code is kept in .fuzz/TARGET, where the next run goes on.
"""

import argparse
import contextlib
import hashlib
import os
import pathlib
import re
import shutil
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
CASES = HERE / "cases"
KEPT = CHECKOUT / ".fuzz"
IN_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None   # for temporary files

LONGEST_INPUT = 2048    # bytes
SHORT_INPUT = 256       # for those that go through their input byte by byte, or in small pieces
SHORT = ("header", "long_header", "without_cr", "body", "spawn", "addresses", "claim",
         "removal")
LONGEST = {**dict.fromkeys(SHORT, SHORT_INPUT), "sender": 96}    # that is tried most
MEMORY = 1024           # megabytes that a target may take
TIMEOUT = 120           # seconds for one input, by the clock: the machine may be busy

# Words that mutations get nowhere by themselves.
DICTIONARY = """Authentication-Results: mx.example.org DomainKey-Status: DKIM-Signature:
DomainKey-Signature: From: Sender: v=1; a=rsa-sha256; a=ed25519-sha256; a=rsa-sha1; c=relaxed
c=nofws d=example.com; s=sel; h=from; bh= b= l=0; t=1; x=1; i=@ q=dns/txt; v=DKIM1; k=rsa; p=
g=* t=y alice@example.com <alice@example.com> dkim=pass header.d= v=spf1 include:a.example
redirect= exists: ip4: ip6:::/0 a:%{d} mx:%{ir}.%{v} ptr: %{l1r-} -all v=DMARC1; p=reject;
sp=none; np=quarantine; psd=y psd=n adkim=s rua=mailto:""".split()
ESCAPES = ["\\x0d\\x0a", "\\x0a\\x0a", "\\x0a\\x20", "\\x0d", "\\x0a\\x09", "\\x00"]


def load():
    """The targets and their seeds, instrumented.  Takes seconds, so it is done once."""
    sys.path[:0] = [str(CHECKOUT), str(HERE.parent)]
    import atheris
    with open(os.devnull, "w") as silence, contextlib.redirect_stderr(silence), \
            atheris.instrument_imports(include=["lib", "dkim"], exclude=["dkim.crypto"],
                                       enable_loader_override=False):
        from tests.fuzz import seeds, targets
    return atheris, targets.TARGETS, seeds.seeds


class Outcome:
    """What came of fuzzing a target.

    target: its name; executions: int; reached: how many branches of the code
    processor: seconds of processor time
    failed: bool; said: what libFuzzer wrote, str
    """

    def __init__(self, target, said, status, usage):
        self.target = target
        self.executions = last_number(r"^(?:stat::number_of_executed_units: *|#)(\d+)", said)
        self.reached = last_number(r" cov: (\d+)", said)
        self.processor = usage.ru_utime + usage.ru_stime
        self.failed = status != 0
        self.said = said

    def __str__(self):
        return described(self.target, self.executions, self.processor, (
            "FAILED\n" + self.said[-3000:] if self.failed
            else f"{self.reached} branches reached, nothing found"))


def last_number(pattern, said):
    """The number in the last match of a regular expression; 0 if there is none."""
    found = re.findall(pattern, said, re.MULTILINE)
    return int(found[-1]) if found else 0


def described(name, executions, processor, outcome):
    """A line for people."""
    return f"{name:12}{executions:12} executions in {processor:6.0f} s of processor time: {outcome}"


def fuzz_all(loaded, targets, jobs, options, cases):
    """Fuzzes each target in a child, some side by side; yields an Outcome as each ends.

    loaded: of load(); targets: names; jobs: how many side by side
    options: of libFuzzer, list of str; cases: directory for inputs that make one fail
    """
    waiting = list(targets)
    running = {}
    with scratch_directory() as scratch:
        while waiting or running:
            while waiting and len(running) < jobs:
                target = waiting.pop(0)
                output = tempfile.TemporaryFile()
                running[start(loaded, target, options, cases, scratch, output)] = target, output
            child, status, usage = os.wait4(-1, 0)
            if child not in running:    # an orphan of a target's; process 1 of a container gets it
                continue
            target, output = running.pop(child)
            with output:
                output.seek(0)
                yield Outcome(target, output.read().decode(errors="replace"), status, usage)


@contextlib.contextmanager
def scratch_directory():
    """A directory for temporary files, in memory where that can be."""
    path = tempfile.mkdtemp(prefix="fuzz", dir=IN_MEMORY)
    owner = os.getpid()
    try:
        yield path
    finally:
        if os.getpid() == owner:    # a child whose target failed comes by, too, as it exits
            shutil.rmtree(path)


def start(loaded, target, options, cases, scratch, output):
    """Starts to fuzz a target in a child -> its process id."""
    child = os.fork()
    if not child:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        tempfile.tempdir = scratch
        become_fuzzer(loaded, target, options, cases, scratch)
    return child


def become_fuzzer(loaded, target, options, cases, scratch):
    """Runs libFuzzer, which ends the process."""
    atheris, targets, seeds = loaded
    kept = KEPT / target
    kept.mkdir(parents=True, exist_ok=True)
    for seed in seeds(target):
        (kept / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    dictionary = pathlib.Path(scratch) / f"{target}.dictionary"
    dictionary.write_text("".join(f'"{word}"\n' for word in DICTIONARY + ESCAPES))
    longest = LONGEST.get(target, LONGEST_INPUT)
    atheris.Setup(
        [sys.argv[0], *options, f"-max_len={longest}",
         f"-rss_limit_mb={MEMORY}", f"-timeout={TIMEOUT}", f"-dict={dictionary}",
         f"-artifact_prefix={cases}/{target}-", "-print_final_stats=1", str(kept)],
        targets[target])
    atheris.Fuzz()


def main():
    parser = argparse.ArgumentParser(prog="tests/fuzz/run", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, metavar="N",
                        help="for each target (default: 60)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N",
                        help="targets side by side (default: one for each processor)")
    parser.add_argument("--seed", type=int, default=0, metavar="N",
                        help="of what is tried at random (default: another each time)")
    parser.add_argument("targets", nargs="*", metavar="TARGET",
                        help="default: all of tests/fuzz/targets.py")
    arguments = parser.parse_args()
    loaded = load()
    targets = loaded[1]
    unknown = set(arguments.targets) - set(targets)
    if unknown:
        parser.error(f"no such target: {' '.join(sorted(unknown))}; there are: "
                     + " ".join(targets))
    CASES.mkdir(exist_ok=True)
    from tests.support import readers
    for package in readers.missing():
        print(f"removal, claim: without the judge in {package}, which is not installed")
    outcomes = []
    options = [f"-max_total_time={arguments.seconds}", f"-seed={arguments.seed}"]
    for outcome in fuzz_all(loaded, arguments.targets or targets, arguments.jobs, options, CASES):
        print(outcome, flush=True)
        outcomes.append(outcome)
    failed = [outcome.target for outcome in outcomes if outcome.failed]
    print(described("total", sum(outcome.executions for outcome in outcomes),
                    sum(outcome.processor for outcome in outcomes),
                    f"FAILED: {' '.join(failed)}" if failed else "nothing found"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
