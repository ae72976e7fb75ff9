# SPDX-License-Identifier: MIT
"""Fuzzes the targets with atheris, guided by coverage of lib/ and dkimpy.

    tests/fuzz/run [--seconds N] [TARGET ...]

What makes a target fail is written to tests/fuzz/cases/TARGET-*: mend what it
shows, and keep the file, for tests/test_fuzz.py replays them all.  What reaches
new code is kept in .fuzz/TARGET, where the next run goes on.
"""

import argparse
import contextlib
import hashlib
import os
import pathlib
import re
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
CASES = HERE / "cases"
KEPT = CHECKOUT / ".fuzz"

LONGEST_INPUT = 2048    # bytes
MEMORY = 1024           # megabytes that a target may take
TIMEOUT = 10            # seconds for one input

# Words that mutations get nowhere by themselves.
DICTIONARY = """Authentication-Results: mx.example.org DomainKey-Status: DKIM-Signature:
DomainKey-Signature: From: Sender: v=1; a=rsa-sha256; a=ed25519-sha256; a=rsa-sha1; c=relaxed
c=nofws d=example.com; s=sel; h=from; bh= b= l=0; t=1; x=1; i=@ q=dns/txt; v=DKIM1; k=rsa; p=
g=* t=y alice@example.com <alice@example.com> dkim=pass header.d=""".split()
ESCAPES = ["\\x0d\\x0a", "\\x0a\\x0a", "\\x0a\\x20", "\\x0d", "\\x0a\\x09", "\\x00"]


def load():
    """The targets and their seeds, instrumented.  Takes seconds, so it is done once."""
    sys.path[:0] = [str(CHECKOUT), str(HERE.parent)]
    import atheris
    with open(os.devnull, "w") as silence, contextlib.redirect_stderr(silence), \
            atheris.instrument_imports(include=["lib", "dkim"], enable_loader_override=False):
        from tests.fuzz import seeds, targets
    return atheris, targets.TARGETS, seeds.seeds


def fuzz(loaded, target, seconds, cases):
    """Fuzzes one target in a child -> (executions, whether it failed, what it said)."""
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if not child:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            become_fuzzer(loaded, target, seconds, cases)
        failed = os.waitpid(child, 0)[1] != 0
        output.seek(0)
        said = output.read().decode(errors="replace")
    executions = re.search(r"number_of_executed_units:\s*(\d+)", said)
    return int(executions.group(1)) if executions else 0, failed, said


def become_fuzzer(loaded, target, seconds, cases):
    """Runs libFuzzer, which ends the process."""
    atheris, targets, seeds = loaded
    kept = KEPT / target
    kept.mkdir(parents=True, exist_ok=True)
    for seed in seeds(target):
        (kept / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    dictionary = KEPT / "dictionary"
    dictionary.write_text("".join(f'"{word}"\n' for word in DICTIONARY + ESCAPES))
    atheris.Setup(
        [sys.argv[0], f"-max_total_time={seconds}", f"-max_len={LONGEST_INPUT}",
         f"-rss_limit_mb={MEMORY}", f"-timeout={TIMEOUT}", f"-dict={dictionary}",
         f"-artifact_prefix={cases}/{target}-", "-print_final_stats=1", str(kept)],
        targets[target])
    atheris.Fuzz()


def main():
    parser = argparse.ArgumentParser(prog="tests/fuzz/run", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, metavar="N",
                        help="for each target (default: 60)")
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
    failures = 0
    for target in arguments.targets or targets:
        executions, failed, said = fuzz(loaded, target, arguments.seconds, CASES)
        failures += failed
        print(f"{target:12}{executions:12} executions in {arguments.seconds} s: "
              + ("FAILED\n" + said[-3000:] if failed else "nothing found"), flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
