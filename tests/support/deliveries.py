# SPDX-License-Identifier: MIT
"""A scratch host for deliveries through the installed launcher, and ways to break it."""

import os
import resource
import shutil

import pytest

from tests.support import judges, rspawn, signing

SMALL = b"From: joe@example.com\nTo: jane@example.net\nSubject: test\n\nHello.\n"
LARGE = SMALL + b"A line of a large message.\n" * 80_000      # 2 MB, over spool.IN_MEMORY

# An original that reads the message, writes down what it got, and reports success.
ORIGINAL = """#!/bin/sh
printf '%s\\n' "$@" >"$SCRATCH/arguments"
grep 'Sig[BIC]' /proc/self/status >"$SCRATCH/signals"
cat >"$SCRATCH/sent"
printf 'r\\0Kaccepted\\n\\0'
"""


class Host:
    """A scratch qmail host with a key for example.com."""

    def __init__(self, directory):
        self.directory = directory
        (directory / "control").mkdir()
        self.original = self.program("original", ORIGINAL)
        self.keys = directory / "keys"
        signer = signing.Signer(self.keys, (("example.com", "default", "rsa.pem"),))
        self.records = signer.records
        self.message = directory / "message"
        self.message.write_bytes(SMALL)
        self.launcher = rspawn.install_launcher(directory)
        self.environment = {"PATH": os.environ["PATH"], "SCRATCH": str(directory),
                            "DKSIGN": f"{self.keys}/%/default", "DKREMOTE": str(self.original)}

    def program(self, name, text):
        path = self.directory / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def deliver(self, **options):
        return rspawn.deliver([self.launcher], self.message, self.environment, **options)

    @property
    def sent(self):
        """The bytes that the original read, or None if it was not run."""
        path = self.directory / "sent"
        return path.read_bytes() if path.exists() else None

    def sent_signed(self, message=None):
        """Returns whether the whole message was sent, with signatures that verify."""
        message = self.message.read_bytes() if message is None else message
        if self.sent is None or not self.sent.endswith(message):
            return False
        verdicts = judges.dkimpy(self.sent.replace(b"\n", b"\r\n"), self.records)
        return [(v.domain, v.result) for v in verdicts] == [("example.com", "pass")]


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def shell_in_place_of_the_original(directory):
    """Returns the path of a shell that reports its argv[0], which a script can't do.

    directory: the shell runs there, and its first argument, the host, names a file there
    """
    shell = next(filter(None, map(shutil.which, ("dash", "bash", "ksh"))), None)
    if shell is None or not os.path.exists("/proc/self/cmdline"):
        pytest.skip("needs /proc, and a shell that has no other program in the same file")
    (directory / "example.net").write_text(
        "name=$(tr '\\0' '\\n' </proc/$$/cmdline | head -n 1)\n"
        "printf 'r\\0K%s\\n\\0' \"$name\"\n")
    return shell


def garbage_key(host):
    (host.keys / "example.com" / "default").write_bytes(b"no key\n")


def original_missing(host):
    host.original.unlink()


def original_leads_back(host):
    host.environment["DKREMOTE"] = str(host.launcher)


def interpreter_missing(host):
    rspawn.install_launcher(host.directory, python="/no/such/python")


def interpreter_dies_at_start(host):
    rspawn.install_launcher(host.directory, python=host.program(
        "python", "#!/bin/sh\necho 'hopeless: no memory' >&2\nexit 1\n"))


def interpreter_is_killed(host):
    rspawn.install_launcher(host.directory, python=host.program(
        "python", "#!/bin/sh\nkill -KILL $$\n"))


def script_missing(host):
    rspawn.install_launcher(host.directory, script=host.directory / "gone.py")


def library_missing(host):
    shutil.copy(rspawn.SCRIPT, host.directory)
    rspawn.install_launcher(host.directory, script=host.directory / rspawn.SCRIPT.name)


def library_zeroed(host):
    library_missing(host)
    (host.directory / "lib").mkdir()
    (host.directory / "lib" / "process.py").write_bytes(bytes(1000))


def message_is_a_directory(host):
    host.message = host.directory / "directory"
    host.message.mkdir()


def bad_setting(host):
    host.environment["DKPROTOCOLS"] = "dkim domainkey"


def control_file_unreadable(host):
    (host.directory / "control" / "dkimcanon").mkdir()


def bad_on_error(host):
    garbage_key(host)
    host.environment["DKONERROR"] = "ignore"


def launcher_cut_short(host):
    """By a full disk, or half a backup: within the command, of which less could run the message."""
    text = host.launcher.read_text()
    host.launcher.write_text(text[:text.index(" -X original=")])


def null_device_lost(host):
    """As a file of root's that was made in its place."""
    host.launcher.write_text(host.launcher.read_text().replace(
        "exec 2>/dev/null", f"exec 2>{host.directory}/none/null"))


ALWAYS_DEFERRED = {
    launcher_cut_short: b"is cut short; remedy: run install.sh again",
    null_device_lost: b"/dev/null cannot be written to",
    original_missing: b"DKREMOTE",
    original_leads_back: b"DKREMOTE leads back",
    interpreter_missing: b"ended with status 127",
    interpreter_dies_at_start: b"ended with status 1 ",
    interpreter_is_killed: b"Unable to run",
    script_missing: b"ended with status 1",
    library_missing: b"No module named 'lib'; remedy: run install.sh again",
    library_zeroed: b" null bytes; remedy: run install.sh again",
    message_is_a_directory: b"ended with status 1 ",
    bad_setting: b"'domainkey' is not one of: dkim domainkeys",
    control_file_unreadable: b"dkimcanon",
    bad_on_error: b"'ignore' is not one of",
}

ENDS_BADLY = {      # what the original does: qmail-send's text for it, without the first letter
    "echo 'qmail-remote: error while loading shared libraries' >&2; exit 127":
        ("Z", b"mail-remote: error while loading shared libraries\n"),
    "printf 'rhalf a rep'; exit 1": ("Z", b"half a rep"),
    "exit 111": ("Z", b"qmail-remote-dk: "),
    "printf 'r\\0Kaccepted\\n\\0'; exit 1": ("K", b"accepted\n"),
    "printf 'hno such host\\n\\0Dgive up\\n\\0'; exit 1": ("D", b"no such host\ngive up\n"),
    "kill -KILL $$": ("Z", b"Unable to run qmail-remote.\n"),
}


def limited(which, value):
    def limit():
        resource.setrlimit(which, (value, value))
    return limit
