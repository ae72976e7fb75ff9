# SPDX-License-Identifier: MIT
"""Ours and the original qmail-rspawn get the same commands: the same must come back.

What the original answers is recorded in transcripts/rspawn.json, for machines
without qmail; where it is installed (and we are root) it is asked anew.

    python -m tests.rspawn.test_differential        (records; read the diff)
"""

import hashlib
import itertools
import json
import os
import pathlib
import tempfile

import pytest

from tests.support import rspawn_driver
from tests.support.rspawn_driver import Queue, command, octal

TRANSCRIPT = pathlib.Path(__file__).parent.parent / "transcripts" / "rspawn.json"
LONGEST = 200       # bytes of an answer that is recorded as it is; of longer ones, the hash

ACCEPTED = octal(b"r\0Kok\n\0")

# name: (number, message's name, sender, recipient)
ODD = {
    "number too big": (120, b"0/5", b"", b"r@h"),
    "greatest number too big": (255, b"0/5", b"", b"r@h"),
    "greatest number": (119, b"0/5", ACCEPTED, b"r@h"),
    "number too big goes before all": (200, b"x" * 200, b"", b"nobody"),
    "letters in the name": (1, b"0/5a", b"", b"r@h"),
    "name with a dot": (1, b"../5", b"", b"r@h"),
    "name with a minus": (1, b"0/-5", b"", b"r@h"),
    "name starts with a slash": (1, b"/5", b"", b"r@h"),
    "name with 8 bit": (1, b"0/\xb5", b"", b"r@h"),
    "name with slashes": (1, b"0//5", ACCEPTED, b"r@h"),
    "name of 99 bytes": (1, b"0" * 98 + b"5", b"", b"r@h"),
    "name of 100 bytes": (1, b"0" * 100, b"", b"r@h"),
    "name of 5000 bytes": (1, b"0" * 5000, b"", b"r@h"),
    "long name with letters": (1, b"0" * 100 + b"a", b"", b"r@h"),
    "no name": (1, b"", b"", b"r@h"),
    "no name, no host": (1, b"", b"", b"r"),
    "no host": (1, b"0/5", b"", b"r"),
    "no recipient": (1, b"0/5", b"", b""),
    "no host, no message": (1, b"0/99", b"", b"r"),
    "no message": (1, b"0/99", b"", b"r@h"),
    "no directory": (1, b"77/5", b"", b"r@h"),
    "a directory": (1, b"0", b"", b"r@h"),
    "a directory with a slash": (1, b"0/", b"", b"r@h"),
    "a fifo": (1, b"0/8", b"", b"r@h"),
    "a link": (1, b"0/9", ACCEPTED, b"r@h"),
    "a link to nothing": (1, b"0/10", b"", b"r@h"),
    "empty host": (1, b"0/5", octal(b"r\0Kok\n\0"), b"r@"),
    "two at signs": (1, b"0/5", ACCEPTED, b"a@b@c"),
    "empty sender": (1, b"0/5", b"", b"r@h"),
    "recipient too long to run": (1, b"0/5", ACCEPTED, b"r" * 200_000 + b"@h"),
    "sender too long to run": (1, b"0/5", b"s" * 200_000, b"r@h"),
    "sender of 8 bit": (1, b"0/5", octal(bytes(range(1, 256)) + b"\0Kok\n\0"), b"r\xff@h"),
}
ODD_FOR_ROOT = {"wrong owner": (1, b"0/6", b"", b"r@h")}

ENDS = {f"{how}, {what}": (octal(output), local_part + b"@h")
        for how, local_part in (
            ("exit 0", b"exit0"), ("exit 1", b"exit1"), ("exit 100", b"exit100"),
            ("exit 111", b"exit111"), ("exit 127", b"exit127"), ("exit 255", b"exit255"),
            ("SIGKILL", b"kill9"), ("SIGTERM", b"kill15"), ("SIGSEGV", b"kill11"),
            ("a process that stays", b"late"), ("300 kB more", b"long"),
            ("an output that ends long before", b"closes"))
        for what, output in (("nothing", b""), ("a report", b"r\0Kok\n\0"), ("half", b"rhalf"))}


def reports():
    """What children write: {name: bytes}: parts in every combination, and garbage."""
    found = {}
    for count in (1, 2, 3):
        for letters in itertools.product("rhsKZD", repeat=count):
            parts = [letter.encode() + text for letter, text in zip(letters, (b"a", b"b", b"c"))]
            found["".join(letters)] = b"\0".join(parts) + b"\0"
            found["".join(letters) + ", unfinished"] = b"\0".join(parts)
    found.update({f"garbage {output!r}": output for output in (
        b"\0", b"\0\0\0", b"\0Ka\0", b"\0ra\0Kb\0", b"ra\0\0Kb\0", b"ra\0\0\0Zb\0Kc\0", b"x",
        b"x\0", b"xa\0Kb\0", b"xa\0xb\0xc\0", b"r\0xb\0Zc\0", b"s\0\0", b"h\0\0", b"s", b"h",
        b"\0s\0K\0",
        b"K\0Z\0D\0", b"ra\0K\0", b"ra\0K", b"r\n\0K\n\n\0", b"k\0z\0d\0", b"R\0Ka\0",
        bytes(range(256)), b"Traceback (most recent call last):\n  File\n")})
    return found


def fill(queue):
    """The messages that the commands name."""
    queue.add(5)
    os.mkfifo(queue.mess / "0" / "8")
    (queue.mess / "0" / "9").symlink_to("5")
    (queue.mess / "0" / "10").symlink_to("99")
    queue.add(6)
    if os.getuid() == 0:
        os.chown(queue.mess / "0" / "6", queue.owner + 1, -1)


def odd(start, commands):
    """Each command after the answer to the one before."""
    with start() as running:
        return {name: running.deliver(*arguments) for name, arguments in commands.items()}


def at_once(start, deliveries):
    """Up to 100 deliveries at once, each batch by a process of its own."""
    found = {}
    names = list(deliveries)
    for first in range(0, len(names), 100):
        batch = names[first:first + 100]
        with start() as running:
            running.send(b"".join(command(number, b"0/5", *deliveries[name])
                                  for number, name in enumerate(batch)))
            found.update((batch[number], words) for number, words in running.answers(len(batch)))
    return found


def reported(start):
    """What becomes of reports().

    Where the second of two parts is unfinished, the original reads on behind
    its end, into whatever lies there: that is not compared.
    """
    outputs = reports()
    found = at_once(start, {name: (octal(output), b"r@h") for name, output in outputs.items()})
    for name, output in outputs.items():
        _, _, second = output.partition(b"\0")
        if output[:1] != b"\0" and second[:1] in (b"K", b"Z", b"D") and b"\0" not in second:
            found[name] = found[name][:len(output) - 2]
    return found


def split(start):
    """Two commands, cut in two at each byte."""
    data = command(7, b"0/5", octal(b"r\0Ka\0"), b"r@h") + command(8, b"0/99", b"", b"r@h")
    found = {}
    with start() as running:
        for at in range(len(data) + 1):
            running.send(data[:at])
            running.wait_until_read()
            running.send(data[at:])
            found[f"at byte {at}"] = sorted_words(running.answers(2))
    return found


def busy(start):
    """A number that is in use, and one that no longer is; 20 that take their time."""
    slow = command(3, b"0/5", ACCEPTED, b"sleep@h")
    with start() as running:
        running.send(slow + command(3, b"0/5", ACCEPTED, b"r@h") + command(3, b"a", b"", b"r"))
        found = {f"in use, answer {number}": words
                 for number, (_, words) in enumerate(running.answers(3))}
        found["used again"] = running.deliver(3, sender=ACCEPTED)
        running.send(b"".join(command(number, b"0/5", octal(b"r%d\0Kok\0" % number),
                                      (b"sleep@h", b"r@h")[number % 2]) for number in range(20)))
        found["twenty"] = sorted_words(running.answers(20))
    return found


def endings(start):
    """Its input ends: with nothing to do, in mid-command, with deliveries in progress."""
    found = {}
    for name, data in (("idle", b""), ("mid-command", command(4)[:-5]),
                       ("in progress", command(4, b"0/5", ACCEPTED, b"sleep@h")
                        + command(5, b"0/5", ACCEPTED, b"sleep@h"))):
        with start() as running:
            assert len(running.first) == 1
            running.send(data)
            answers, code = running.finish()
            found[name] = sorted_words(answers) + b" exit %d" % code
    return found


def sorted_words(answers):
    return b";".join(b"%d %b" % answer for answer in sorted(answers))


def scenarios():
    """{name: function of the start of a qmail-rspawn -> {name: bytes}}"""
    found = {
        "odd commands": lambda start: odd(start, ODD),
        "ends": lambda start: at_once(start, ENDS),
        "reports": reported, "split": split, "busy": busy, "endings": endings}
    if not os.getuid():
        found["odd commands for root"] = lambda start: odd(start, ODD_FOR_ROOT)
    return found


def shortened(words):
    """Bytes as they are recorded."""
    if len(words) > LONGEST:
        return f"{len(words)} bytes, {hashlib.sha256(words).hexdigest()}"
    return words.decode("latin-1")


def run(scenario, start):
    return {name: shortened(words) for name, words in scenario(start).items()}


@pytest.fixture
def queue(tmp_path):
    queue = Queue(tmp_path)
    fill(queue)
    return queue


@pytest.mark.parametrize("name", scenarios())
def test_ours_answers_as_recorded(queue, name):
    recorded = json.loads(TRANSCRIPT.read_text())
    assert run(scenarios()[name], queue.ours) == recorded[name]


@pytest.mark.skipif(not rspawn_driver.original(), reason="needs qmail, and to be root")
@pytest.mark.parametrize("name", scenarios())
def test_original_answers_as_recorded(queue, name):
    recorded = json.loads(TRANSCRIPT.read_text())
    assert run(scenarios()[name], queue.originals) == recorded[name]


PROCESS_STATE = """#!/usr/bin/awk -f
BEGIN {
    while ((getline line < "/proc/self/status") > 0)
        if (line ~ /^Sig(Blk|Ign)/)     # signals 1 to 28
            lines = lines substr(line, 1, 7) substr(line, length(line) - 6) " "
    "pwd -P | sed s,.*/queue,queue," | getline directory
    "ls /proc/$PPID/fd | wc -l" | getline files
    print "r" files " files " ARGC " " ARGV[1] " " ARGV[2] " " ARGV[3] " " directory " " lines "\\n"
    printf "%c%s%c", 0, "K", 0
}
"""


@pytest.mark.skipif(not rspawn_driver.original(), reason="needs qmail, and to be root")
def test_original_is_started_in_the_same_state(tmp_path):
    """Descriptors, arguments, directory, signals that are ignored and blocked.

    posix_spawn() also ignores the C library's own signals, 32 and 33.
    """
    def state(start):
        with start() as running:
            return running.deliver(0, recipient=b"a@b@example.net")
    queue = Queue(tmp_path, remote=PROCESS_STATE)
    queue.add(5)
    ours = state(queue.ours)
    assert ours == state(queue.originals)
    assert b"example.net joe@example.com a@b@example.net queue/mess SigBlk:" in ours
    assert b" files 4 " in ours


@pytest.mark.skipif(not rspawn_driver.original(), reason="needs qmail, and to be root")
def test_concurrency_is_the_originals(queue):
    with queue.originals() as running:
        assert running.first == bytes((rspawn_driver.CONCURRENCY,))


def record():
    recorded = {}
    for name, scenario in scenarios().items():
        with tempfile.TemporaryDirectory() as directory:
            queue = Queue(directory)
            fill(queue)
            os.chmod(directory, 0o755)
            recorded[name] = run(scenario, queue.originals)
    TRANSCRIPT.write_text(json.dumps(recorded, indent=0, sort_keys=True) + "\n")


if __name__ == "__main__":
    record()
