# SPDX-License-Identifier: MIT
"""Two install.sh at once, and whether the end is that of one after the other.

After each pair, all files must be byte for byte as after the one order or the
other, with the exit codes of that order; if one ended because the other removed
what it waited for, as if it had not been started.  Status must say whether signing
is on, a delivery must be signed or not accordingly, and all deliveries meanwhile
must arrive.  One of the two, or both, can be delayed: by strace at system calls,
or by a stop at any instant.
"""

import argparse
import contextlib
import hashlib
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from tests.support import fault_sweep, rspawn
from tests.support.install_driver import DeliveriesAllTheWhile, Host

PAUSES = ("none", "stop", "strace")
# Groups of system calls; some processors lack some of a group.
HELD_UP = ("?rename,?renameat,?renameat2", "?link,linkat", "?unlink,unlinkat", "?mkdir,mkdirat",
           "?rmdir", "?symlink,symlinkat", "?chmod,fchmod,fchmodat", "flock", "openat", "execve")
OFTEN = ("openat", "execve")    # a thousand times in one run
LONGEST_PAUSE = 0.3             # seconds for a call; far less for those of OFTEN
LONGEST = 600                   # seconds for a pair
BETWEEN_DELIVERIES = 0.25

# The message of one whose prefix another has removed: it has changed nothing.
OVERTAKEN = "run this again if that is still wanted"

SIGN = ("--sign",)
HOSTS = (("netqmail", SIGN), ("netqmail", (*SIGN, "--resident")), ("notqmail", SIGN),
         ("qmail 1.03", ("--sign", "--verify", "--system-packages")))


def pairs(host, options):
    """Returns {name: (the state before, two commands)}; command: checkout and arguments."""
    here, there = (("--qmail", host.qmail, "--prefix", prefix)
                   for prefix in (host.prefix, host.prefix.with_name("other")))
    without = ("--qmail", host.qmail)
    beside, elsewhere = (("--qmail", host.directory / "second", "--prefix", prefix)
                         for prefix in (host.prefix, host.prefix.with_name("other")))
    return {
        "upgrades": ("installed", ("new", "install", *here), ("newer", "install", *here)),
        "upgrade, uninstall": ("installed", ("new", "install", *here), ("old", "uninstall", *here)),
        "installs": ("clean", ("new", "install", *here, *options),
                     ("newer", "install", *here, *options)),
        "uninstalls": ("installed", ("new", "uninstall", *here), ("old", "uninstall", *here)),
        "prefixes": ("clean", ("new", "install", *here, *options),
                     ("newer", "install", *there, *options)),
        "prefix, uninstall": ("installed", ("new", "install", *there, *options),
                              ("old", "uninstall", *here)),
        "qmails": ("clean", ("new", "install", *here, *options),
                   ("newer", "install", *beside, *options)),
        "hosts": ("clean", ("new", "install", *here, *options),
                  ("newer", "install", *elsewhere, *options)),
        "repairs": ("lost", ("new", "install", *without), ("newer", "install", *without)),
    }


PAIRS = ("upgrades", "upgrade, uninstall", "installs", "uninstalls", "prefixes",
         "prefix, uninstall", "qmails", "hosts", "repairs")


class Races:
    """A scratch host on which pairs run, each from one of the host's states.

    directory: a new one that every user can enter; flavour, options: as in HOSTS
    """

    def __init__(self, directory, flavour, options):
        self.directory = directory
        live = directory / "live"
        live.mkdir()
        self.held = []
        self.host = host = Host(live, flavour)
        host.environment["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"   # without shims, which are slow
        if flavour == "notqmail":
            host.make_start_script()
        subprocess.run(["cp", "-a", host.qmail, live / "second"], check=True)
        for number, name in enumerate(("old", "new", "newer"), 7):
            shutil.copytree(host.checkout, directory / name)
            (directory / name / "lib" / "__init__.py").write_text(f'__version__ = "0.{number}"\n')
        shutil.rmtree(host.checkout)
        self.pairs = pairs(host, options)
        self.keep("clean")
        _, arguments, _ = self.pairs["installs"]
        code, _, said = self.run(("old", *arguments[1:]))
        assert code == 0, said
        self.keep("installed")
        shutil.rmtree(host.prefix)
        self.keep("lost")
        self.ends = {}

    def keep(self, state):
        subprocess.run(["cp", "-a", self.host.directory, self.directory / state], check=True)

    def restore(self, state):
        shutil.rmtree(self.host.directory)
        subprocess.run(["cp", "-a", self.directory / state, self.host.directory], check=True)
        # Held open, since the number of a file that is gone may soon be another's.
        for file in self.held:
            file.close()
        self.held = [path.open("rb") for path in (self.host.qmail / "bin").iterdir()]
        self.originals = {os.fstat(file.fileno()).st_ino for file in self.held}

    def start(self, command, before=()):
        """Starts install.sh.  Returns a Popen.  before: words in front of the command"""
        checkout, *arguments = command
        return subprocess.Popen(
            [*before, *self.host.shell, self.directory / checkout / "install.sh", *arguments],
            env=self.host.environment, cwd="/", stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)

    def run(self, command):
        """Runs install.sh.  Returns (exit code, stdout, stderr)."""
        return result(self.start(command))

    def state(self):
        """Returns {path: its mode, owner and content} of the host.

        For qmail's programs, it also shows whether the file is one of those before; for
        compiled files, which contain times, it leaves the content out.
        """
        found = {}
        for path in sorted(self.host.directory.rglob("*")):
            state = path.lstat()
            seen = [oct(state.st_mode), state.st_uid, state.st_gid]
            if path.is_symlink():
                seen.append(os.readlink(path))
            elif path.is_file() and path.suffix != ".pyc":
                seen += [digest(path),
                         path.parent == self.host.qmail / "bin" and state.st_ino in self.originals]
            found[str(path.relative_to(self.host.directory))] = seen
        return found

    def legal(self, name):
        """Yields the legal ends: (name, exit codes, state); code None: one that did nothing."""
        before, *commands = self.pairs[name]
        for order in (0, 1), (1, 0), (0,), (1,):
            if (name, order) not in self.ends:
                self.restore(before)
                codes = [None, None]
                for number in order:
                    codes[number] = self.run(commands[number])[0]
                self.ends[name, order] = codes, self.state()
            yield (order, *self.ends[name, order])

    def race(self, name, pauses, chance):
        """Runs a pair.  Returns a list of lines that say what is wrong.

        pauses: of PAUSES; chance: random.Random
        """
        before, *commands = self.pairs[name]
        self.restore(before)
        order = chance.sample((0, 1), 2)
        processes, helpers = {}, []
        with DeliveriesAllTheWhile(self, BETWEEN_DELIVERIES) as deliveries:
            for number in order:
                held_up = number == order[0] or chance.random() < 0.5
                processes[number] = self.start(
                    commands[number], strace(chance) if held_up and pauses == "strace" else ())
                if held_up and pauses == "stop":
                    helpers.append(threading.Thread(target=stop, args=(processes[number], chance)))
                    helpers[-1].start()
                if number == order[0]:
                    time.sleep(chance.random() ** 3)
            done = [result(processes[number]) for number in (0, 1)]
            for helper in helpers:
                helper.join()
        state = self.state()
        wrong = [f"delivery: {seen}" for seen in deliveries.seen
                 if seen[0] != "K" and (seen[0] != "Z" or before != "lost")]
        return wrong + self.flaws_of_status() + self.flaws_of_end(name, done, state)

    def deliver(self):
        """Delivers by the program that a qmail started now would run.  Returns the Delivery."""
        script = self.host.qmail / "rc"
        named = re.search(r"QMAILREMOTE=(\S+)", script.read_text()) if script.exists() else None
        try:
            return self.host.deliver(named and named[1])
        except OSError as error:        # qmail-rspawn would bounce the message
            return rspawn.Delivery("D", repr(error).encode())

    def flaws_of_end(self, name, done, state):
        """Returns what is wrong with the state and the output of a pair; done: of result()."""
        wrong = [f"exit code {code}, and it said: {errors!r}" for code, _, errors in done
                 if not all(line.startswith("install.sh: ") for line in errors.splitlines())
                 or code and len(errors.splitlines()) != 1]
        nearest = None
        for order, codes, legal in self.legal(name):
            differences = [path for path in sorted({*legal, *state})
                           if legal.get(path) != state.get(path)]
            fits = all(code == mine or mine is None and code and OVERTAKEN in errors
                       for (code, _, errors), mine in zip(done, codes))
            if fits and not differences:
                return wrong
            nearest = min(filter(None, (nearest, (len(differences), order, codes, differences))))
        return wrong + [f"{[code for code, *_ in done]}; the nearest end: {nearest}; {done}"]

    def flaws_of_status(self):
        wrong = []
        signing = False
        for prefix in self.host.prefix, self.host.prefix.with_name("other"):
            record = prefix / "installed"
            serves = record.exists() and f"\nqmail={self.host.qmail}\n" in record.read_text()
            if record.exists() and not serves:
                continue        # about another qmail
            code, text, _ = self.run(("old", "status", "--qmail", self.host.qmail,
                                      "--prefix", prefix))
            if (code == 0) != serves or ("signing:   on" in text) != serves:
                wrong.append(f"status: {code}, {text}")
            signing = signing or serves
        if self.deliver() != ("K", b"signed\n" if signing else b"unsigned\n"):
            wrong.append(f"{'not ' * (not signing)}installed, and {self.deliver()}")
        return wrong


def digest(path):
    """Returns a hash of a file's content, for comparison."""
    data = path.read_bytes()
    if path.name == "made":     # chance decides which of two has made a directory
        data = b"".join(line for line in data.splitlines(True) if line.startswith(b"page"))
    return hashlib.sha256(data).hexdigest()


def result(process):
    """Waits for a process.  Returns (exit code, stdout, stderr)."""
    try:
        said, errors = process.communicate(timeout=LONGEST)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, said, errors


def strace(chance):
    """Returns the words in front of a command to delay it at some system calls."""
    command = ["strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null"]
    chosen = chance.sample(HELD_UP, chance.choice((1, 1, 2, 3)))
    command += ["-e", "trace=" + ",".join(chosen)]
    for call in chosen:
        delay = chance.random() ** 2 * LONGEST_PAUSE / (40 if call in OFTEN else 1)
        when = chance.choice(("delay_enter", "delay_exit"))
        command += ["-e", f"inject={call}:{when}={int(delay * 1e6)}"]
    return command


def stop(process, chance):
    """Stops a process and its children for a while, one to three times."""
    for _ in range(chance.choice((1, 2, 3))):
        time.sleep(chance.random())
        if process.poll() is not None:
            return
        for number in signal.SIGSTOP, signal.SIGCONT:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            if number == signal.SIGSTOP:
                time.sleep(chance.random())


def main():
    parser = argparse.ArgumentParser(prog="tests/races", description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=PAIRS, action="append", help="what runs beside what")
    parser.add_argument("--pauses", choices=PAUSES, default="none")
    parser.add_argument("--number", type=int, default=200, help="of each; default: %(default)s")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    arguments = parser.parse_args()
    if arguments.pauses == "strace" and not fault_sweep.can_trace():
        sys.exit("races: strace is missing, or not allowed; on Debian: apt-get install strace")
    print(f"seed {arguments.seed}", flush=True)
    chance = random.Random(arguments.seed)
    with contextlib.ExitStack() as stack:
        hosts = []
        for flavour, options in HOSTS:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="qmail-dk-"))
            os.chmod(directory, 0o755)
            hosts.append(Races(pathlib.Path(directory), flavour, options))
        return sum([tried(hosts, name, arguments, chance)
                    for name in arguments.only or PAIRS]) and 1


def tried(hosts, name, arguments, chance):
    """Runs a pair many times.  Returns the number of wrong ends."""
    started, wrong = time.monotonic(), 0
    for number in range(1, arguments.number + 1):
        flaws = chance.choice(hosts).race(name, arguments.pauses, chance)
        wrong += bool(flaws)
        for flaw in flaws:
            print(f"wrong: {name}: {flaw}", flush=True)
        if number % 20 == 0 or number == arguments.number:
            seconds = time.monotonic() - started
            print(f"{name}: {number}, wrong: {wrong}, {seconds:.0f} s", flush=True)
    return wrong
