# SPDX-License-Identifier: MIT
"""Measures mail through a real qmail: its qmail-send, qmail-smtpd and tcpserver.

    python3 real_host.py        (run by sections(), in namespaces of its own)

The qmail in /var/qmail gets a control directory and a queue of its own, on the disk that
has the scratch directory; a network that has only loopback; and a log socket that is
read, since ours log each message.  An SMTP server that answers at once takes all mail.
Nothing of this is seen outside, and all of it ends with the process.
"""

import contextlib
import fcntl
import os
import pickle
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

import deliveries
from deliveries import QMAIL, original
from figures import Section
from scratch import HERE, with_packages

NAMESPACES = ["unshare", "--mount", "--net", "--propagation", "private"]
COMPILERS = "cc", "gcc", "clang"
DEVICES = "null", "zero", "full", "random", "urandom", "tty"
GROUPS = "list", "inbound"      # of sections


class Amounts(NamedTuple):
    """How much to measure with messages of one size.

    size: bytes of a message; rounds: of everything
    recipients: of the list's message; distinct: messages, with a recipient each
    inbound: messages to qmail-smtpd
    One-shot programs get a tenth of them.
    """
    size: int
    rounds: int
    recipients: int
    distinct: int
    inbound: int


def many(rounds):
    """Returns {title: Amounts}, large enough for figures."""
    return {"small": Amounts(1000, rounds, 10_000, 1500, 2000),
            "100 KB": Amounts(100_000, rounds, 1500, 500, 500)}


def few():
    """Returns the same, but amounts that only show that everything works, not how fast."""
    return {"small": Amounts(1000, 1, 200, 50, 100), "100 KB": Amounts(100_000, 1, 50, 50, 50)}


def obstacle(python):
    """Returns the reason why nothing can be measured here, or "".  python: the interpreter"""
    found = deliveries.obstacle()
    if found:
        return found
    if not compiler():
        return "needs a C compiler"
    if subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False).returncode:
        return "needs network namespaces"
    path = with_packages(python) or python
    while path != "/":
        if not os.stat(path).st_mode & stat.S_IXOTH:
            return f"needs an interpreter that qmail's users may run: {path} is closed to them"
        path = os.path.dirname(os.path.realpath(path))
    return ""


def compiler():
    return next(filter(None, map(shutil.which, COMPILERS)), None)


def sections(scratch, amounts, groups=GROUPS):
    """Yields the Sections.  scratch: scratch.Scratch; amounts: {title: Amounts}

    groups: which of GROUPS.  Call it while no other server uses the scratch directory.
    """
    import through_send
    import through_smtpd
    makers = {"list": through_send, "inbound": through_smtpd}
    why = obstacle(scratch.python)
    if why:
        for group in groups:
            for title in amounts:
                yield Section(makers[group].TITLE + title, makers[group].absent(why))
        return
    with subprocess.Popen([*NAMESPACES, sys.executable, f"{HERE}/real_host.py"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        pickle.dump((scratch, amounts, groups), program.stdin)
        program.stdin.close()
        while True:
            try:
                yield pickle.load(program.stdout)
            except EOFError:
                break
    if program.returncode:
        raise subprocess.CalledProcessError(program.returncode, "real_host.py")


def main():
    """Measures what sections() asks for on descriptor 0; writes each Section to 1."""
    import through_send
    import through_smtpd
    scratch, amounts, groups = pickle.load(sys.stdin.buffer)
    results = sys.stdout.buffer
    with RealHost(scratch) as host:
        for group, module in (("list", through_send), ("inbound", through_smtpd)):
            if group in groups:
                for title, amount in amounts.items():
                    pickle.dump(Section(module.TITLE + title, module.rows(host, title, amount)),
                                results)
                    results.flush()


class RealHost:
    """A private qmail, in this process's namespaces.  A context, in which the sink runs.

    scratch: scratch.Scratch; directory: for the files of this
    remote, rspawn: copies of qmail's own programs, which cover() may hide
    sink: Popen of the SMTP server, which reads the log as well; sink_port: of it
    source: path of the program that sends mail
    """

    def __init__(self, scratch):
        self.scratch = scratch
        self.directory = f"{scratch.directory}/real"
        os.makedirs(f"{self.directory}/control")
        self.source = self.compiled("smtp_source")
        self.remote, self.rspawn = map(self.copied, ("qmail-remote", "qmail-rspawn"))
        self.layout = queue_layout(f"{QMAIL}/queue")
        self.processes = contextlib.ExitStack()
        self.sink = self.sink_port = None

    def __enter__(self):
        set_loopback_up()
        mount("--bind", f"{self.directory}/control", f"{QMAIL}/control")
        self.mount_devices()
        self.sink = self.processes.enter_context(subprocess.Popen(
            [self.compiled("smtp_sink"), "/dev/log"], bufsize=0,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        self.processes.callback(self.sink.stdin.close)
        self.sink_port = int(self.sink.stdout.readline())
        for name, text in (("me", "host.example.com"), ("rcpthosts", "example.net"), ("locals", ""),
                           ("smtproutes", f":127.0.0.1:{self.sink_port}")):
            self.control(name, text)
        return self

    def __exit__(self, *error):
        self.processes.close()

    def signed(self):
        """Returns how many messages ours have logged as signed."""
        self.sink.stdin.write(b"?")
        return int(self.sink.stdout.readline())

    def have_signed(self, number):
        """Returns whether so many messages were signed.  Waits for the last of their lines."""
        deadline = time.monotonic() + 1
        while (found := self.signed()) < number and time.monotonic() < deadline:
            time.sleep(0.01)
        return found == number

    def compiled(self, name):
        path = f"{self.directory}/{name}"
        subprocess.run([compiler(), "-O2", "-o", path, f"{HERE}/{name}.c"], check=True)
        return path

    def copied(self, name):
        """Returns the path of a copy of a program, with the original's owner and mode."""
        path = shutil.copy2(original(name), self.directory)
        os.chmod(path, 0o755)
        return path

    def mount_devices(self):
        """Covers /dev with one that has the usual devices and room for a log socket."""
        new = f"{self.directory}/dev"
        os.mkdir(new)
        mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", new)
        for device in DEVICES:
            with open(f"{new}/{device}", "wb"):
                pass
            mount("--bind", f"/dev/{device}", f"{new}/{device}")
        os.symlink("/proc/self/fd", f"{new}/fd")
        mount("--rbind", new, "/dev")

    def control(self, name, text):
        with open(f"{QMAIL}/control/{name}", "w", encoding="ascii") as file:
            file.write(f"{text}\n" if text else "")

    @contextlib.contextmanager
    def queue(self):
        """A context in which the queue is a new one.

        It stays in the scratch directory afterwards: ext4 does not use an inode again within
        minutes of its deletion, and looks for another one for so long that thousands of
        deletions here would slow down the next run's qmail-send.
        """
        place, new = f"{QMAIL}/queue", tempfile.mkdtemp(prefix="queue.", dir=self.directory)
        os.chmod(new, 0o755)
        mount("--bind", new, place)
        try:
            for path, mode, owner, group, size in self.layout:
                path = place + path
                if stat.S_ISDIR(mode):
                    os.makedirs(path, exist_ok=True)
                elif stat.S_ISFIFO(mode):
                    os.mkfifo(path)
                else:
                    with open(path, "wb") as file:
                        file.write(bytes(size))
                os.chown(path, owner, group)
                os.chmod(path, stat.S_IMODE(mode))
            yield
        finally:
            subprocess.run(["umount", "-l", place], check=True)

    @contextlib.contextmanager
    def cover(self, name, program):
        """A context in which another program is in the place of one in bin/, if not None."""
        if program is None:
            yield
            return
        place = f"{QMAIL}/bin/{name}"
        mount("--bind", program, place)
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", place], check=True)


def queue_layout(top):
    """Returns the directories of a queue and the files of lock/, without messages.

    A list of (path below top, mode, owner, group, size), parents first.
    """
    found = []
    for directory, _, names in os.walk(top):
        paths = [directory]
        if directory == f"{top}/lock":
            paths += [f"{directory}/{name}" for name in names]
        for path in paths:
            state = os.lstat(path)
            found.append((path[len(top):], state.st_mode, state.st_uid, state.st_gid,
                          state.st_size))
    return found


def set_loopback_up():
    """Sets the flags of the interface lo (netdevice(7)), as "ip link set lo up" does."""
    get_flags, set_flags, up = 0x8913, 0x8914, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = fcntl.ioctl(control, get_flags, struct.pack("16sH14x", b"lo", 0))
        flags, = struct.unpack_from("H", request, 16)
        fcntl.ioctl(control, set_flags, struct.pack("16sH14x", b"lo", flags | up))


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)


def end(process):
    """Ends a process that was started, and waits for it.  process: subprocess.Popen"""
    process.send_signal(signal.SIGTERM)
    process.wait()


if __name__ == "__main__":
    main()
