# SPDX-License-Identifier: MIT
"""Scratch qmail hosts of each flavour for install.sh, and deliveries as qmail-rspawn does them."""

import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading

import pytest

from tests import rspawn, signing

PARTS = ("install.sh", "install", "launcher", "lib", "man", "service", "qmail_remote_dk.py",
         "qmail_qfilter_verify.py", "requirements.txt", "requirements.lock",
         "requirements-build.lock")

NOBODY = 65534      # stands in for qmailr

# What install.sh looks for in qmail's programs.
FLAVOURS = {
    "qmail 1.03": (b"", b""),
    "netqmail": (b"", b"QMAILQUEUE"),
    "notqmail": (b"QMAILREMOTE", b"QMAILQUEUE"),
}

MESSAGE = b"From: joe@example.com\nTo: jane@example.net\nSubject: test\n\nHello.\n"

# The original is a copy of sh, run as `qmail-remote host sender recipient`: for
# it the host is -c, and the sender what to do.
HOST = "-c"
SENDER = r"""
signed=un
while read -r line; do
	case $line in DKIM-Signature:*) signed= ;; esac
	last=$line
done
[ "$last" = Hello. ] && printf 'r\0K%ssigned\n\0' "$signed"
"""

RC = """#!/bin/sh
# starts qmail-start
exec env - PATH="$BIN:$PATH" \\
qmail-start ./Mailbox splogger qmail
"""


@pytest.fixture
def directory():
    """qmail's user has to pass it, and can't pass pytest's own."""
    with tempfile.TemporaryDirectory(prefix="qmail-dk-") as path:
        os.chmod(path, 0o755)
        yield pathlib.Path(path)


@pytest.fixture
def host(directory):
    return Host(directory)


def packages():
    """Skips the test where the system's Python can't verify."""
    python = shutil.which("python3", path="/usr/bin:/bin")
    if not python or not verifies(python):
        pytest.skip("needs python3-dkim, python3-dnspython, python3-cryptography, none too old")


def verifies(python, become=()):
    """Whether an interpreter has the packages that verifying needs, for who it is run by."""
    # By sh, for what setpriv itself may run is more.
    return not subprocess.run(
        [*become, "sh", "-c", '"$0" -ISB -c "$1" "$2"', python,
         "import sys; sys.path.insert(0, sys.argv[1]); from lib import admin_packages\n"
         "sys.exit(bool(admin_packages.flaws()))", rspawn.CHECKOUT],
        stderr=subprocess.DEVNULL).returncode


def manifest(*trees):
    """{path: all that an administrator could see of it} of the files under directories."""
    found = {}
    for tree in trees:
        for path in sorted(pathlib.Path(tree).rglob("*")):
            state = path.lstat()
            seen = [oct(state.st_mode), state.st_uid, state.st_gid]
            if path.is_symlink():
                seen.append(os.readlink(path))
            elif path.is_file():
                seen += [state.st_ino, hashlib.sha256(path.read_bytes()).hexdigest()]
            found[str(path)] = seen
    return found


def copy_checkout(directory):
    """What install.sh needs, where a test can change it."""
    directory.mkdir()
    for part in PARTS:
        source = rspawn.CHECKOUT / part
        if source.is_dir():
            shutil.copytree(source, directory / part,
                            ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, directory / part)


def binary(*names):
    """The first of some programs that is there: bytes of an ELF file that runs under any name."""
    for name in names:
        if shutil.which(name):
            return pathlib.Path(shutil.which(name)).read_bytes()
    return pytest.skip("needs " + " or ".join(names))


class Host:
    """A scratch host: checkout, qmail, prefix and keys under one directory.

    directory: a new one that every user can enter; flavour: of FLAVOURS
    """

    def __init__(self, directory, flavour="netqmail"):
        self.directory = directory
        self.checkout = directory / "checkout"
        copy_checkout(self.checkout)
        self.qmail = directory / "qmail"
        self.prefix = directory / "usr" / "lib" / "qmail-dk"
        self.shell = "sh"
        self.environment = {"PATH": os.environ["PATH"]}
        (self.qmail / "bin").mkdir(parents=True)
        in_rspawn, in_smtpd = FLAVOURS[flavour]
        # It writes one byte: the line end, 10.
        self.program("qmail-rspawn", binary("echo") + in_rspawn, 0o711)
        self.program("qmail-smtpd", b"\x7fELF\0" + in_smtpd, 0o755)
        self.program("qmail-start", b"#!/bin/sh\necho \"$QMAILREMOTE\"\n", 0o755)
        sh = binary("dash", "bash")
        self.program("qmail-remote", sh, 0o711)
        self.program("qmail-queue", sh, 0o4711)
        self.make_signers_file()
        self.make_key()
        self.remote = self.qmail / "bin" / "qmail-remote"
        self.original = self.qmail / "bin" / "qmail-remote.orig"
        self.launcher = self.qmail / "bin" / "qmail-remote.launcher"
        self.message = directory / "message"
        self.message.write_bytes(MESSAGE)

    def program(self, name, data, mode):
        """Installs a program of qmail, as qmail's own installation does over an older one."""
        path = self.qmail / "bin" / name
        new = path.with_suffix(".tmp")
        new.write_bytes(data)
        new.chmod(mode)
        new.rename(path)

    def make_signers_file(self):
        lock = self.qmail / "queue" / "lock"
        lock.mkdir(parents=True)
        (lock / "tcpto").touch()
        if os.getuid() == 0:
            os.chown(lock / "tcpto", NOBODY, NOBODY)

    def make_key(self):
        keys = self.directory / "keys" / "example.com"
        keys.mkdir(parents=True)
        (keys / "default").write_bytes(signing.key("rsa.pem"))
        (keys / "default").chmod(0o644)
        control = self.qmail / "control"
        control.mkdir(exist_ok=True)
        (control / "me").write_text("host.example.com\n")
        (control / "dksign").write_text(f"{self.directory}/keys/%/default\n")

    def make_start_script(self, text=RC, name="rc"):
        path = self.qmail / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("$BIN", f"{self.qmail}/bin"))
        path.chmod(0o755)
        return path

    def run(self, *arguments, prefix=True):
        """install.sh's outcome."""
        where = ["--qmail", self.qmail, "--prefix", self.prefix] if prefix else []
        verb = [arguments[0]] if arguments and not arguments[0].startswith("-") else []
        return subprocess.run(
            [self.shell, self.checkout / "install.sh", *verb, *where, *arguments[len(verb):]],
            env=self.environment, cwd="/", stdin=subprocess.DEVNULL, capture_output=True,
            text=True)

    def install(self, *arguments):
        """What install.sh says where it succeeds; signing alone unless told otherwise."""
        done = self.run(*(arguments or ["--sign"]))
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def uninstall(self):
        done = self.run("uninstall")
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def status(self):
        """-> (exit code, text)."""
        done = self.run("status")
        assert done.stderr == ""
        return done.returncode, done.stdout

    def refused(self, *arguments, code=1):
        """The one line that install.sh says where it changes nothing of qmail's."""
        before = manifest(self.qmail)
        done = self.run(*arguments)
        assert (done.returncode, manifest(self.qmail)) == (code, before), done.stderr
        line = done.stderr.rstrip("\n")
        assert line.startswith("install.sh: ") and "\n" not in line
        return line

    def deliver(self, launcher=None):
        """The Delivery of a message from a domain with a key."""
        user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
        return rspawn.deliver([launcher or self.remote], self.message, self.environment,
                              (HOST, SENDER, "jane@example.net"), **user)

    def recorded(self, name):
        lines = (self.prefix / "installed").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)[name]


class DeliveriesAllTheWhile:
    """A context in which deliveries run one after the other, in two threads.

    seen: the set of their Deliveries; counted: how many
    """

    def __init__(self, host):
        self.host = host
        self.seen = set()
        self.counted = 0
        self.end = threading.Event()
        self.threads = [threading.Thread(target=self.run) for _ in range(2)]

    def run(self):
        while not self.end.is_set():
            try:
                self.seen.add(self.host.deliver())
            except OSError as error:        # qmail-rspawn would bounce the message
                self.seen.add(repr(error))
            self.counted += 1

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exception):
        self.end.set()
        for thread in self.threads:
            thread.join()
