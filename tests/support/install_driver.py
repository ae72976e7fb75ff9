# SPDX-License-Identifier: MIT
"""Scratch qmail hosts of each flavour for install.sh, with deliveries as by qmail-rspawn."""

import copy
import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading

import pytest

from tests.support import rspawn, signing
from tests.support.checkout import copy_parts

PARTS = ("install.sh", "install", "launcher", "lib", "man", "service", "qmail_remote_dk.py",
         "qmail_qfilter_verify.py", "requirements.txt", "requirements.lock",
         "requirements-build.lock")

NOBODY = 65534      # stands in for qmailr
STRANGER = 54321    # neither root nor one of qmail's users

SIGNED = ("K", b"signed\n")
UNSIGNED = ("K", b"unsigned\n")

# The texts that install.sh looks for in qmail's programs.
FLAVOURS = {
    "qmail 1.03": (b"", b""),
    "netqmail": (b"", b"QMAILQUEUE"),
    "notqmail": (b"QMAILREMOTE", b"QMAILQUEUE"),
}

# The options for a resident verifier, with its user and group.
SERVER = ("--resident", "--verify", "--system-packages", "--user", "nobody", "--group", "nogroup")

MESSAGE = b"From: joe@example.com\nTo: jane@example.net\nSubject: test\n\nHello.\n"

# The original is a copy of sh, run as `qmail-remote host sender recipient`: the host
# is -c, and the sender the commands to run.
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
    """A directory that qmail's user can enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="qmail-dk-") as path:
        os.chmod(path, 0o755)
        yield pathlib.Path(path)


@pytest.fixture
def host(directory):
    return Host(directory)


@pytest.fixture(params=FLAVOURS)
def any_host(request, directory):
    return Host(directory, request.param)


@pytest.fixture
def notqmail(directory):
    """A Host with a notqmail that is started by a script."""
    host = Host(directory, "notqmail")
    host.rc = host.make_start_script()
    return host


def packages():
    """Skips the test if the system's Python can't verify."""
    python = shutil.which("python3", path="/usr/bin:/bin")
    if not python or not verifies(python):
        pytest.skip("needs python3-dkim, python3-dnspython, python3-cryptography, none too old")


def verifies(python, become=(), checkout=rspawn.CHECKOUT):
    """Returns whether an interpreter has the packages for verifying.

    become: words in front of the command, which change the user
    checkout: a directory in which this user can read lib/
    """
    # Started by sh, since setpriv itself may run more than the user.
    return not subprocess.run(
        [*become, "sh", "-c", '"$0" -ISB -c "$1" "$2"', python,
         "import sys; sys.path.insert(0, sys.argv[1]); from lib.admin import check_packages\n"
         "sys.exit(bool(check_packages.flaws()))", checkout],
        stderr=subprocess.DEVNULL).returncode


def manifest(*trees):
    """Returns {path: everything that an administrator can see of it} for directories' files."""
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


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def started_with(script):
    """Returns QMAILREMOTE as qmail-start gets it from a script, str."""
    return subprocess.run([script], capture_output=True, text=True, check=True,
                          env={"PATH": os.environ["PATH"]}).stdout.strip()


def copy_checkout(directory):
    """Copies the parts of the checkout that install.sh needs, so that a test can change them."""
    directory.mkdir()
    copy_parts(PARTS, directory)


# The last commit before lib/ had wings.
FLAT = "8e1f07334756e4161737b9ae716efc041d7a58e1"


def earlier_checkout(directory):
    """Extracts the release before this one, with lib/ in one folder -> its directory."""
    archive = shutil.which("git") and subprocess.run(
        ["git", "archive", FLAT], cwd=rspawn.CHECKOUT, capture_output=True)
    if not archive or archive.returncode:
        pytest.skip("needs git, and the history of this repository")
    directory.mkdir()
    subprocess.run(["tar", "-xf", "-"], cwd=directory, input=archive.stdout, check=True)
    return directory


def binary(*names):
    """Returns the bytes of the first program that exists, which must run under any name."""
    for name in names:
        if shutil.which(name):
            return pathlib.Path(shutil.which(name)).read_bytes()
    return pytest.skip("needs " + " or ".join(names))


class Host:
    """A scratch host: checkout, qmail, prefix and keys under one directory.

    directory: a new one that every user can enter; flavour: a key of FLAVOURS
    """

    def __init__(self, directory, flavour="netqmail"):
        self.directory = directory
        self.checkout = directory / "checkout"
        copy_checkout(self.checkout)
        self.qmail = directory / "qmail"
        self.prefix = directory / "usr" / "lib" / "qmail-dk"
        self.shell = ["sh"]
        self.environment = {"PATH": os.environ["PATH"]}
        (self.qmail / "bin").mkdir(parents=True)
        in_rspawn, in_smtpd = FLAVOURS[flavour]
        # echo writes one byte: the line end, 10.
        self.program("qmail-rspawn", binary("echo") + in_rspawn, 0o711)
        self.program("qmail-smtpd", b"\x7fELF\0" + in_smtpd, 0o755)
        self.program("qmail-start", b"#!/bin/sh\necho \"$QMAILREMOTE\"\n", 0o755)
        sh = binary("bash", "dash")
        self.program("qmail-remote", sh, 0o711)
        self.program("qmail-queue", sh, 0o4711)
        self.make_signers_file()
        self.make_key()
        self.remote = self.qmail / "bin" / "qmail-remote"
        self.original = self.qmail / "bin" / "qmail-remote.orig"
        self.launcher = self.qmail / "bin" / "qmail-remote.launcher"
        self.beside = self.qmail / "bin" / "qmail-remote-dk"    # the value of QMAILREMOTE
        self.message = directory / "message"
        self.message.write_bytes(MESSAGE)

    def program(self, name, data, mode):
        """Installs a program of qmail, as qmail's own installation replaces an older one."""
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

    def second(self):
        """Returns a Host with another qmail; it shares the checkout and the prefix's parent."""
        other = copy.copy(self)
        other.qmail = self.directory / "qmail2"
        other.prefix = self.prefix.with_name("second")
        subprocess.run(["cp", "-a", self.qmail, other.qmail], check=True)
        other.remote = other.qmail / "bin" / "qmail-remote"
        return other

    def with_tool(self, name, text):
        """Puts a script in front of one of the tools, which it then runs.

        Returns the path of a directory `once`, which the script can make.
        """
        tools = self.directory / "tools"
        tools.mkdir()
        (tools / name).write_text(f"""#!/bin/sh
            PATH='{self.environment["PATH"]}'
            {text}
            exec {name} "$@"
        """)
        (tools / name).chmod(0o755)
        self.environment["PATH"] = f"{tools}:{self.environment['PATH']}"
        return self.directory / "once"

    def run(self, *arguments, prefix=True):
        """Runs install.sh.  Returns a subprocess.CompletedProcess."""
        return subprocess.run(**self.command(arguments, prefix), capture_output=True)

    def start(self, *arguments):
        """Starts install.sh.  Returns a Popen with pipes for its output."""
        return subprocess.Popen(**self.command(arguments), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)

    def command(self, arguments, prefix=True):
        """Returns the keyword arguments with which subprocess runs install.sh."""
        where = ["--qmail", self.qmail, *(["--prefix", self.prefix] if prefix else [])]
        verb = [arguments[0]] if arguments and not arguments[0].startswith("-") else []
        return {"args": [*self.shell, self.checkout / "install.sh", *verb, *where,
                         *arguments[len(verb):]],
                "env": self.environment, "cwd": "/", "stdin": subprocess.DEVNULL, "text": True}

    def install(self, *arguments):
        """Runs install.sh, which must succeed.  Returns its output.  Default: --sign."""
        done = self.run(*(arguments or ["--sign"]))
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def uninstall(self):
        done = self.run("uninstall")
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def status(self):
        """Returns (exit code, text) of install.sh status."""
        done = self.run("status")
        assert done.stderr == ""
        return done.returncode, done.stdout

    def refused(self, *arguments, code=1):
        """Runs install.sh, which must not change qmail.  Returns the one line that it writes."""
        before = manifest(self.qmail)
        done = self.run(*arguments)
        assert (done.returncode, manifest(self.qmail)) == (code, before), done.stderr
        line = done.stderr.rstrip("\n")
        assert line.startswith("install.sh: ") and "\n" not in line
        return line

    def deliver(self, launcher=None):
        """Delivers a message from a domain with a key.  Returns the Delivery."""
        user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
        return rspawn.deliver([launcher or self.remote], self.message, self.environment,
                              (HOST, SENDER, "jane@example.net"), cwd=self.qmail, **user)

    def recorded(self, name):
        lines = (self.prefix / "installed").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)[name]


class DeliveriesAllTheWhile:
    """A context in which two threads each make one delivery after the other.

    pause: seconds between two
    seen: set of their Deliveries; counted: number of deliveries
    """

    def __init__(self, host, pause=0):
        self.host = host
        self.pause = pause
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
            self.end.wait(self.pause)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exception):
        self.end.set()
        for thread in self.threads:
            thread.join()
