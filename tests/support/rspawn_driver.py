# SPDX-License-Identifier: MIT
"""Gives qmail-rspawn commands and reads its answers, as qmail-send does.

Drives ours and, if qmail is installed and we are root, the original, in a mount
namespace with a scratch queue mounted over /var/qmail/queue.
"""

import contextlib
import os
import pathlib
import pwd
import select
import signal
import subprocess
import time

from tests.support import rspawn, signing
from tests.support.namespaces import can_mount
from tests.support.processes import state

PROGRAM = rspawn.CHECKOUT / "lib" / "qmail_rspawn.py"
QMAIL = "/var/qmail"
OVER_QUEUE = ["unshare", "--mount", "sh", "-c",
              f'mount --bind "$1" {QMAIL}/queue && shift && exec "$@"', "sh"]
OVER_CONTROL = ["unshare", "--map-root-user", "--mount", "sh", "-c",
                f'mount --bind "$1" {QMAIL}/control && shift && exec "$@"', "sh"]

CONCURRENCY = 120       # conf-spawn, unless qmail was built otherwise
LONGEST_WAIT = 120      # seconds for any answer
MESSAGE = b"From: joe@example.com\nTo: jane@example.net\nSubject: test\n\nHello.\n"

# A qmail-remote that obeys its arguments: it writes the octal escapes in the sender, then
# ends as the local part of the recipient says.
OBEDIENT = """#!/bin/sh
case $3 in sleep*) sleep 0.3 ;; long*) head -c 300000 /dev/zero | tr '\\0' h ;; esac
printf "$2"
case $3 in
exit*) code=${3%@*}; exit "${code#exit}" ;;
kill*) code=${3%@*}; kill -"${code#kill}" $$ ;;
late*) (sleep 0.3; printf 'more\\0') & ;;
closes*) exec >&- 2>&-; sleep 2.5 ;;
esac
"""


def original():
    """Returns the path of the original qmail-rspawn, or None if it can't be driven."""
    if os.getuid() or not can_mount():
        return None
    for name in ("qmail-rspawn.orig", "qmail-rspawn"):
        if os.access(f"{QMAIL}/bin/{name}", os.X_OK):
            return f"{QMAIL}/bin/{name}"
    return None


class Queue:
    """A scratch qmail directory with a queue, a key, and an obedient qmail-remote."""

    def __init__(self, directory, remote=OBEDIENT):
        self.directory = pathlib.Path(directory)
        self.mess = self.directory / "queue" / "mess"
        (self.mess / "0").mkdir(parents=True)
        (self.directory / "queue" / "lock").mkdir()
        (self.directory / "control").mkdir()
        self.timeouts = self.directory / "queue" / "lock" / "tcpto"
        self.timeouts.write_bytes(b"x" * 1024)
        self.owner = os.getuid()
        if not self.owner and original():
            self.owner = pwd.getpwnam("qmailq").pw_uid
        os.chown(self.mess, self.owner, -1)
        self.signer = signing.Signer(self.directory / "keys", (("example.com", "s1", "rsa.pem"),))
        self.remote = self.program("remote", remote)
        self.environment = {"PATH": os.environ["PATH"], "SCRATCH": str(self.directory),
                            "DKREMOTE": str(self.remote), "QMAILREMOTE": str(self.remote),
                            **self.signer.environment}

    def program(self, name, text):
        path = self.directory / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def add(self, number, message=MESSAGE):
        """Puts a message into the queue.  Returns its name for commands, bytes."""
        path = self.mess / "0" / str(number)
        path.write_bytes(message)
        os.chown(path, self.owner, -1)
        return b"0/%d" % number

    def ours(self, **options):
        return Running(self.ours_command(), self.environment, **options)

    def ours_command(self):
        return [rspawn.PYTHON, "-IS", "-X", f"qmail={self.directory}", PROGRAM, CONCURRENCY]

    def originals(self, **options):
        return Running([*OVER_QUEUE, self.directory / "queue", original()], self.environment,
                       **options)


def command(number, name=b"0/5", sender=b"joe@example.com", recipient=b"jane@example.net"):
    """Returns the bytes of a command."""
    return bytes((number,)) + b"\0".join((name, sender, recipient, b""))


def octal(output):
    """Returns the sender that makes OBEDIENT write output; both bytes."""
    return b"".join(b"\\%03o" % byte for byte in output)


class Running:
    """A running qmail-rspawn; a context manager.  first: its first byte."""

    def __init__(self, arguments, environment, **options):
        self.process = subprocess.Popen(
            list(map(str, arguments)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
            env=environment, **options)
        self.unfinished = bytearray()
        self.first = self.process.stdout.read(1)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def send(self, data):
        self.process.stdin.write(data)

    def answers(self, count):
        """Returns the next count answers, list of (number, words); fewer if the output ends."""
        found = []
        deadline = time.monotonic() + LONGEST_WAIT
        while len(found) < count:
            end = self.unfinished.find(b"\0", 1)
            if end > 0:
                found.append((self.unfinished[0], bytes(self.unfinished[1:end])))
                del self.unfinished[:end + 1]
                continue
            ready, _, _ = select.select([self.process.stdout], [], [],
                                        max(deadline - time.monotonic(), 0))
            if not ready:
                raise TimeoutError(f"{len(found)} of {count} answers: {found}")
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                break
            self.unfinished += data
        return found

    def deliver(self, *arguments, **options):
        """Gives one command.  Returns the words of its answer."""
        self.send(command(*arguments, **options))
        (number, words), = self.answers(1)
        return words

    def finish(self):
        """Ends the program's input.  Returns (the remaining answers, exit code)."""
        self.process.stdin.close()
        answers = self.answers(256)
        assert not self.unfinished
        return answers, self.process.wait(LONGEST_WAIT)

    def wait_until_read(self):
        """Waits until everything that was sent has been read."""
        import fcntl
        import termios
        while fcntl.ioctl(self.process.stdin.fileno(), termios.FIONREAD, bytes(4)) != bytes(4):
            time.sleep(0.001)

    def wait_until_idle(self):
        """Waits until everything that was sent has been read and the program sleeps."""
        self.wait_until_read()
        while state(self.process.pid) != "S":
            time.sleep(0.001)


def kill(running, worker):
    """Kills a signing process, and waits until qmail-rspawn has waited for it.

    Until then its command line is already empty while its socket is still open.
    """
    os.kill(worker, signal.SIGKILL)
    while os.path.exists(f"/proc/{worker}"):
        time.sleep(0.001)
    running.wait_until_idle()


def workers(running):
    """Returns the ids of the signing processes."""
    found = []
    with open(f"/proc/{running.process.pid}/task/{running.process.pid}/children",
              encoding="ascii") as file:
        for child in file.read().split():
            try:
                with open(f"/proc/{child}/cmdline", "rb") as command_line:
                    if b"--sign" in command_line.read():
                        found.append(int(child))
            except (FileNotFoundError, ProcessLookupError):     # the process has just ended
                pass
    return found


def open_files(process_id):
    """Returns {descriptor: the target of its link in /proc}."""
    directory = f"/proc/{process_id}/fd"
    found = {}
    for name in os.listdir(directory):
        with contextlib.suppress(FileNotFoundError):    # the descriptor has just been closed
            found[int(name)] = os.readlink(f"{directory}/{name}")
    return found


def files_opened_by_us(process_id):
    """Returns open_files() without libffi's own, which newer versions keep open until exec."""
    return {number: path for number, path in open_files(process_id).items()
            if "/libffi." not in path}
