# SPDX-License-Identifier: MIT
"""Runs the verifier as qmail-smtpd and as qmail-qfilter do, with their descriptors."""

import fcntl
import json
import os
import sys
import threading
import time

from tests.support import native

PROGRAM = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
                       "qmail_qfilter_verify.py")
ENVELOPE = b"Falice@example.com\0Tbob@example.net\0\0"

# A queue program that records how it was run.
RECORDER = """#!{python} -IS
import json, os, stat, sys
state = os.fstat(0)
regular = stat.S_ISREG(state.st_mode)
at = os.lseek(0, 0, os.SEEK_CUR) if regular else None
for number, name in ((0, "message"), (1, "envelope")):
    with open(number, "rb", closefd=False) as file, open({directory!r} + "/" + name, "wb") as to:
        to.write(file.read())
with open({directory!r} + "/run.json", "w") as to:
    json.dump(dict(regular=regular, at=at, arguments=sys.argv, process=os.getpid(),
                   environment=dict(os.environ)), to)
sys.exit({code})
"""


class Outcome:
    """The result of a run of the verifier.

    code: exit code, or minus the signal; log, reason: bytes from descriptors 2 and 6
    queued: the input of the queue program, {} if it was not run
    output: bytes of a filter, else None
    process: id of the verifier's process
    """

    def __init__(self, code, log, reason, queued, output, process):
        self.code, self.log, self.reason = code, log, reason
        self.queued, self.output, self.process = queued, output, process

    def __repr__(self):
        return f"exit {self.code}, log {self.log!r}, reason {self.reason!r}, {self.queued.keys()}"


class Host:
    """A host with the verifier: its control files, environment and queue program.

    directory: path of an empty one
    """

    def __init__(self, directory):
        self.directory = directory
        for name in ("control", "bin", "queued"):
            (directory / name).mkdir()
        (directory / "control" / "me").write_text("mx.example.net\n")
        self.recorder = self.queue_program(directory / "bin" / "recorder")
        self.environment = {"PATH": "/usr/bin:/bin", "DKQUEUE": str(self.recorder),
                            "TCPREMOTEIP": "192.0.2.7",
                            "DKSERVER": "-"}    # not the resident verifier that runs here
        self.python = [sys.executable, "-IS", "-X", f"qmail={directory}"]
        self.program = [PROGRAM]
        self.native = None      # options of the compiler, if the launcher in C is to run
        self.prefix = []
        self.descriptors = {}       # number: descriptor that smtpd() passes there instead

    def queue_program(self, path, code=0):
        """Writes a queue program that records its run and exits with code.  Returns path."""
        text = RECORDER.format(python=sys.executable, directory=str(self.directory / "queued"),
                               code=code)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def queued(self):
        run = self.directory / "queued" / "run.json"
        if not run.exists():
            return {}
        found = json.loads(run.read_text())
        for name in ("message", "envelope"):
            found[name] = (self.directory / "queued" / name).read_bytes()
        return found

    def command(self, arguments=()):
        words = [*self.python, *self.program]
        if self.native is not None:
            words = [native.launcher(self.directory, words, self.native)]
        return [*self.prefix, *words, *arguments]

    def smtpd(self, message, envelope=ENVELOPE, pause=0, arguments=(), reason=True):
        """Runs the verifier as qmail.c does.  Returns an Outcome.

        Uses pipes, writes the message and then the envelope, and reads 6 to its end.
        message: bytes, or pieces of it, with a pause (seconds) after each
        envelope: bytes; None closes both pipes before it, as if qmail-smtpd had died
        """
        pieces = [message] if isinstance(message, bytes) else message
        message_pipe, envelope_pipe = os.pipe(), os.pipe()
        log_pipe, reason_pipe = os.pipe(), os.pipe()
        actions = [(os.POSIX_SPAWN_DUP2, message_pipe[0], 0),
                   (os.POSIX_SPAWN_DUP2, envelope_pipe[0], 1),
                   (os.POSIX_SPAWN_DUP2, log_pipe[1], 2)]
        if reason:
            actions.append((os.POSIX_SPAWN_DUP2, reason_pipe[1], 6))
        actions += [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in self.descriptors.items()]
        process = start(self.command(arguments), self.environment, actions)
        for fd in (message_pipe[0], envelope_pipe[0], log_pipe[1], reason_pipe[1]):
            os.close(fd)
        collected = Collector(log_pipe[0]), Collector(reason_pipe[0])
        feed(message_pipe[1], pieces, pause)
        feed(envelope_pipe[1], [envelope or b""], 0)
        code = wait(process)
        log, reason = [collector.all() for collector in collected]
        return Outcome(code, log, reason, self.queued(), None, process)

    def qfilter(self, message, envelope=ENVELOPE, arguments=(), descriptor_1=None):
        """Runs the verifier as qmail-qfilter does.  Returns an Outcome.

        Uses unlinked files open for reading and writing: 0 and 3 have content, 1, 4 and
        5 are empty.  descriptor_1: bytes that are already in the file of descriptor 1
        """
        contents = {0: message, 1: descriptor_1 or b"", 3: envelope, 4: b"", 5: b""}
        files = {number: self.temporary_file(content) for number, content in contents.items()}
        log_pipe = os.pipe()
        actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in files.items()]
        actions.append((os.POSIX_SPAWN_DUP2, log_pipe[1], 2))
        process = start(self.command(arguments), {
            **self.environment, "QMAILPPID": "1", "MSGSIZE": str(len(message)),
            "ENVSIZE": str(len(envelope)), "NUMRCPTS": "1"}, actions)
        os.close(log_pipe[1])
        log = Collector(log_pipe[0])
        code = wait(process)
        left = {}
        for number, fd in files.items():
            os.lseek(fd, 0, os.SEEK_SET)
            with open(fd, "rb") as file:
                left[number] = file.read()
        assert (left[3], left[4], left[5]) == (envelope, b"", b"")
        return Outcome(code, log.all(), b"", self.queued(), left[1], process)

    def temporary_file(self, content):
        """Returns a descriptor above 9, so that no earlier DUP2 replaces it."""
        path = self.directory / "temporary"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        path.unlink()
        os.write(fd, content)
        os.lseek(fd, 0, os.SEEK_SET)
        high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
        os.close(fd)
        return high


class Collector(threading.Thread):
    """Reads a descriptor to its end in the background."""

    def __init__(self, fd):
        super().__init__(daemon=True)
        self.fd = fd
        self.data = b""
        self.start()

    def run(self):
        with open(self.fd, "rb") as file:
            self.data = file.read()

    def all(self):
        self.join(30)
        assert not self.is_alive(), "a descriptor was left open"
        return self.data


def start(command, environment, actions):
    return os.posix_spawn(command[0], command, environment, file_actions=actions)


def feed(fd, pieces, pause):
    """Writes pieces and closes; stops if the reader is gone, as qmail.c does."""
    try:
        for piece in pieces:
            view = memoryview(piece)
            while view:
                view = view[os.write(fd, view[:65536]):]
            time.sleep(pause)
    except BrokenPipeError:
        pass
    finally:
        os.close(fd)


def wait(process):
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
