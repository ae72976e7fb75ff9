# SPDX-License-Identifier: MIT
"""Many deliveries by the resident signer while keys change, its processes are
killed, and the other side refuses.

Each message must arrive exactly once if the answer was K, never if it was Z or D;
always whole, with a good signature by a key that was in use when the command was
given or later; and nothing may pile up.  The real qmail-remote delivers if it is
installed, else the stand-in of the demonstration.
"""

import argparse
import collections
import contextlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

from tests.support import rspawn, rspawn_driver, signing
from tests.support.processes import resident_size
from tests.support.rspawn_driver import open_files, workers

AT_ONCE = 20
MESSAGE = b"From: joe@example.com\nTo: jane@example.net\nSubject: %d\n\n%bThe end.\n"
RECIPIENTS = (1, 1, 1, 1, 2, 5, 50, 500)    # numbers for a message, drawn at random
LARGE = 0.005           # fraction of large messages, with at most LARGE_RECIPIENTS
LARGE_BODY = b"A line of a large message.\n" * 80_000
LARGE_RECIPIENTS = 5
KILL = 1 / 300          # chance after each answer
ROTATE = 1 / 500
KEYS = 3                # take turns, each time under a new selector
GROWTH_ALLOWED = 4      # MiB, from a quarter of the run to its end

STAND_IN = """#!/bin/sh
exec '{python}' '{checkout}/demo/qmail_remote_stand_in.py' "$@"
"""


class Soak:
    """One run.  deliveries: their number; seed: for everything random."""

    def __init__(self, directory, deliveries, seed):
        self.deliveries = deliveries
        self.random = random.Random(seed)
        self.queue = rspawn_driver.Queue(directory)
        self.keys = self.queue.directory / "keys" / "example.com"
        (self.keys / "s1").unlink()
        self.pool = [generate_key() for _ in range(KEYS)]
        self.queue.environment["DKSIGN"] = f"{self.queue.directory}/keys/%/default"
        self.generation = 0
        self.rotate()
        records = {f"s{number}._domainkey.example.com": signing.record(self.pool[number % KEYS])
                   for number in range(1, deliveries // 50 + 100)}
        self.sink = subprocess.Popen(
            [sys.executable, "-m", "tests.support.soak_sink", str(seed)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, cwd=rspawn.CHECKOUT)
        self.sink.stdin.write(json.dumps(records) + "\n")
        self.sink.stdin.flush()
        self.port = self.sink.stdout.readline().strip()
        self.given = {}         # recipient: generation of the key when the command was given
        self.answers = {}       # recipient: K, Z or D
        self.memory = []        # MiB, at each hundredth of the run
        self.killed = 0

    def rotate(self):
        """Makes another key sign from now on, under another selector."""
        self.generation += 1
        selector = f"s{self.generation}"
        (self.keys / selector).write_bytes(self.pool[self.generation % KEYS])
        (self.keys / "new").symlink_to(selector)
        os.replace(self.keys / "new", self.keys / "default")
        (self.keys / f"s{self.generation - 2}").unlink(missing_ok=True)

    def start(self):
        """Starts qmail-rspawn with the available qmail-remote.  Returns a Running."""
        namespace = [*rspawn_driver.OVER_CONTROL, str(self.queue.directory / "control")]
        remotes = [path for path in (f"{rspawn_driver.QMAIL}/bin/qmail-remote.orig",
                                     f"{rspawn_driver.QMAIL}/bin/qmail-remote")
                   if os.access(path, os.X_OK)]
        if remotes and subprocess.run([*namespace, "true"], capture_output=True).returncode == 0:
            control = self.queue.directory / "control"
            (control / "me").write_text("host.example.com\n")
            (control / "smtproutes").write_text(f":127.0.0.1:{self.port}\n")
            remote = remotes[0]
        else:
            namespace = []
            remote = self.queue.program("stand-in", STAND_IN.format(
                python=rspawn.PYTHON, checkout=rspawn.CHECKOUT))
        self.queue.environment.update(DKREMOTE=str(remote), SMTP_PORT=self.port)
        return rspawn_driver.Running([*namespace, *self.queue.ours_command()],
                                     self.queue.environment)

    def commands(self):
        """Yields (message's name, recipient's number, whether it is the message's last)."""
        recipient = message = 0
        while recipient < self.deliveries:
            message += 1
            count = self.random.choice(RECIPIENTS)
            body = b""
            if self.random.random() < LARGE:
                body, count = LARGE_BODY, min(count, LARGE_RECIPIENTS)
            count = min(count, self.deliveries - recipient)
            name = self.queue.add(message, MESSAGE % (message, body))
            for left in reversed(range(count)):
                yield name, recipient, not left
                recipient += 1

    def run(self):
        """Delivers everything.  Returns a list of what went wrong."""
        try:
            with self.start() as running:
                files = self.deliver(running)
                left, code = running.finish()
        except BaseException:
            self.sink.kill()
            raise
        self.sink.stdin.close()
        taken = json.loads(self.sink.stdout.read())
        self.sink.stdout.close()
        self.sink.wait()
        wrong = [f"after the end: {left}, exit code {code}"] if left or code else []
        return wrong + files + self.leaks() + self.compare(taken)

    def deliver(self, running):
        """Gives the commands and takes the answers.

        Returns a list of what is wrong with the descriptors of running.
        """
        under_way = {}                          # number: (recipient, message's name)
        of_message = collections.Counter()      # deliveries of a message in progress
        complete = set()                        # messages without further recipients
        free = list(range(AT_ONCE))
        commands = self.commands()
        command = next(commands)
        before = len(open_files(running.process.pid))
        while command or under_way:
            while command and free:
                name, recipient, last = command
                number = free.pop()
                under_way[number] = recipient, name
                of_message[name] += 1
                if last:
                    complete.add(name)
                self.given[recipient] = self.generation
                running.send(rspawn_driver.command(
                    number, name, recipient=b"r%d@example.net" % recipient))
                command = next(commands, None)
            for number, words in running.answers(1):
                recipient, name = under_way.pop(number)
                self.answers[recipient] = words[:1].decode("latin-1")
                free.append(number)
                of_message[name] -= 1
                if name in complete and not of_message[name]:
                    os.unlink(self.queue.mess / name.decode())
            self.disturb(running)
        after = len(open_files(running.process.pid))
        bound = before + 2 * 64 + 2 * 8         # kept messages, and the signing processes
        return [f"{before} descriptors became {after}"] if after > bound else []

    def disturb(self, running):
        if self.random.random() < ROTATE:
            self.rotate()
        if self.random.random() < KILL:
            for worker in workers(running)[-1:]:    # not the oldest, which shows growth
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
                self.killed += 1
        if len(self.answers) % max(self.deliveries // 100, 1) == 0:
            self.memory.append(memory(running))

    def leaks(self):
        grown = max(self.memory[-5:]) - max(self.memory[:max(len(self.memory) // 4, 1)])
        return [f"memory grew by {grown:.1f} MiB"] if grown > GROWTH_ALLOWED else []

    def compare(self, taken):
        """Returns a list of the recipients whose answer differs from the mail that arrived."""
        wrong = []
        for recipient in range(self.deliveries):
            arrived = taken.pop(f"r{recipient}@example.net", [])
            answer = self.answers[recipient]
            if len(arrived) != (answer == "K") or answer not in "KZD":
                wrong.append(f"{recipient}: {answer}, arrived {arrived}")
            elif arrived and (arrived[0].startswith("wrong")
                              or int(arrived[0][1:]) < self.given[recipient]):
                wrong.append(f"{recipient}: {arrived[0]}; s{self.given[recipient]} was in force")
        return wrong + [f"nobody sent {taken}"] * bool(taken)


def generate_key():
    from lib import crypto
    return crypto.generate_private_key("rsa", 1024)


def memory(running):
    """Returns the resident MiB of qmail-rspawn and its oldest signing process."""
    return sum(map(resident_size, [running.process.pid] + workers(running)[:1])) / 2**20


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("-n", dest="deliveries", type=int, default=100_000, metavar="DELIVERIES")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    arguments = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        soak = Soak(pathlib.Path(directory), arguments.deliveries, arguments.seed)
        wrong = soak.run()
    counts = collections.Counter(soak.answers.values())
    print(f"seed {arguments.seed}: {arguments.deliveries} deliveries in "
          f"{time.monotonic() - started:.0f} s: {dict(counts)}; {soak.generation} keys, "
          f"{soak.killed} processes killed; {soak.memory[0]:.1f} MiB at first, "
          f"{max(soak.memory):.1f} at most, {soak.memory[-1]:.1f} at last")
    for line in wrong[:20]:
        print(line)
    return 1 if wrong else 0
