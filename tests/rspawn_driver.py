# SPDX-License-Identifier: MIT
"""qmail-send's side of qmail-rspawn: gives commands, reads answers.

Drives ours and, where qmail is installed and we are root, the original: that
one in a mount namespace in which a scratch queue lies over /var/qmail/queue.
"""

import os
import pathlib
import pwd
import select
import shutil
import subprocess
import time

from tests import rspawn, signing

PROGRAM = rspawn.CHECKOUT / "lib" / "qmail_rspawn.py"
QMAIL = "/var/qmail"
OVER_QUEUE = ["unshare", "--mount", "sh", "-c",
              f'mount --bind "$1" {QMAIL}/queue && shift && exec "$@"', "sh"]

CONCURRENCY = 120       # conf-spawn, unless qmail was built otherwise
LONGEST_WAIT = 60       # seconds, for any answer
MESSAGE = b"From: joe@example.com\nTo: jane@example.net\nSubject: test\n\nHello.\n"

# A qmail-remote that does what its arguments say: writes the sender's octal
# escapes, then ends as the local part of the recipient says.
OBEDIENT = """#!/bin/sh
case $3 in sleep*) sleep 0.3 ;; long*) head -c 300000 /dev/zero | tr '\\0' h ;; esac
printf "$2"
case $3 in
exit*) code=${3%@*}; exit "${code#exit}" ;;
kill*) code=${3%@*}; kill -"${code#kill}" $$ ;;
late*) (sleep 0.3; printf 'more\\0') & ;;
esac
"""


def original():
    """The path of the original qmail-rspawn, or None where it can't be driven."""
    if os.getuid() or not shutil.which("unshare") or subprocess.run(
            ["unshare", "--mount", "true"], capture_output=True).returncode:
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
        """Puts a message into the queue -> its name as in commands."""
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
    """A command's bytes."""
    return bytes((number,)) + b"\0".join((name, sender, recipient, b""))


def octal(output):
    """output (bytes) as the sender that makes OBEDIENT write it."""
    return b"".join(b"\\%03o" % byte for byte in output)


class Running:
    """A qmail-rspawn that runs; a context manager.  first: its first byte."""

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
        """The next answers: list of (number, words).  Fewer if the output ends."""
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
        """One command, its answer's words."""
        self.send(command(*arguments, **options))
        (number, words), = self.answers(1)
        return words

    def finish(self):
        """Ends its input -> (all answers to come, exit code)."""
        self.process.stdin.close()
        answers = self.answers(256)
        assert not self.unfinished
        return answers, self.process.wait(LONGEST_WAIT)

    def wait_until_read(self):
        """Waits until all that was sent has been read."""
        import fcntl
        import termios
        while fcntl.ioctl(self.process.stdin.fileno(), termios.FIONREAD, bytes(4)) != bytes(4):
            time.sleep(0.001)


def workers(running):
    """The ids of the processes that sign."""
    found = []
    with open(f"/proc/{running.process.pid}/task/{running.process.pid}/children",
              encoding="ascii") as file:
        for child in file.read().split():
            try:
                with open(f"/proc/{child}/cmdline", "rb") as command_line:
                    if b"--sign" in command_line.read():
                        found.append(int(child))
            except (FileNotFoundError, ProcessLookupError):     # it has just ended
                pass
    return found


def open_files(process_id):
    """{descriptor: what it is}"""
    directory = f"/proc/{process_id}/fd"
    return {int(name): os.readlink(f"{directory}/{name}") for name in os.listdir(directory)}
