# SPDX-License-Identifier: MIT
"""Runs qmail-dk commands on a scratch qmail host, as an administrator does."""

import grp
import os
import pathlib
import subprocess
import sys

import pytest

from tests.support import rspawn

LAUNCHER = rspawn.CHECKOUT / "launcher" / "qmail-dk"
GROUP = grp.getgrgid(os.getgid()).gr_name
DOMAIN = "example.com"


class Administrator:
    """An administrator of a scratch host.

    directory: an empty one, for qmail's home and the keys
    prefix: directory of the code
    environment: of the commands; a test can change settings in it
    """

    def __init__(self, directory, prefix=rspawn.CHECKOUT):
        self.directory = pathlib.Path(directory)
        self.control = self.directory / "control"
        self.control.mkdir()
        lock = self.directory / "queue" / "lock"
        lock.mkdir(parents=True)
        (lock / "tcpto").touch()        # qmail-dk takes its owner for qmailr
        self.keys = self.directory / "keys"
        self.environment = {"PATH": os.environ["PATH"], "DKSIGN": f"{self.keys}/%/default"}
        text = LAUNCHER.read_text()
        # The virtual environment's path of the interpreter, which leads it to its libraries.
        for name, value in (("@PYTHON@", sys.executable), ("@PREFIX@", prefix),
                            ("@QMAIL@", self.directory),
                            ("@ORIGINAL@", f"{self.directory}/bin/qmail-remote.orig")):
            text = text.replace(name, str(value))
        # A warning of Python's, of a file left open say, is an error or a line on descriptor 2.
        text = text.replace(" -IS ", " -IS -W error ")
        self.command = self.directory / "qmail-dk"
        self.command.write_text(text)
        self.command.chmod(0o755)

    def run(self, *arguments, stdin=b"", command=(), **options):
        """Returns a subprocess.CompletedProcess, stdout and stderr as str."""
        done = subprocess.run([*command, self.command, *map(str, arguments)], input=stdin,
                              capture_output=True, env=self.environment, **options)
        done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
        return done

    def succeed(self, *arguments, **options):
        """Runs a command that must succeed without warnings.  Returns its output."""
        done = self.run(*arguments, **options)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def refused(self, *arguments, **options):
        """Runs a command that must refuse and change nothing.  Returns the line it writes."""
        before = tree(self.directory)
        done = self.run(*arguments, **options)
        assert done.returncode in (100, 111) and done.stdout == "", done
        assert tree(self.directory) == before
        (line,) = done.stderr.splitlines()
        assert line.startswith("qmail-dk")
        return line

    def make_key(self, selector="s1", *arguments, domain=DOMAIN):
        """Makes a first key, which does not sign yet.  Returns the output of keygen."""
        return self.succeed("keygen", domain, "--selector", selector, "--group", GROUP, *arguments)

    def keygen(self, selector="s1", *arguments, domain=DOMAIN):
        """Makes a first key and lets it sign.  Returns the output of keygen."""
        output = self.make_key(selector, *arguments, domain=domain)
        of_type = arguments if arguments[:1] == ("--type",) else ()
        self.succeed("rotate", domain, "--activate", "--force", *of_type)
        return output


def tree(directory):
    """Returns everything below a directory except Python's caches.

    {path: (mode, link target or content or, for a directory, None)}
    """
    found = {}
    for path in sorted(pathlib.Path(directory).rglob("*")):
        if "__pycache__" in path.parts:
            continue
        content = (os.readlink(path) if path.is_symlink()
                   else path.read_bytes() if path.is_file() else None)
        found[str(path)] = (path.lstat().st_mode, content)
    return found


def records(output):
    """Returns {name: text} of the TXT records that keygen, dns and rotate print.

    output: theirs, of which only tinydns' lines count
    """
    found = {}
    for line in output.splitlines():
        if line.startswith("'"):
            name, text, _ = line[1:].split(":")
            found[name] = text
    return found


@pytest.fixture
def admin(tmp_path):
    return Administrator(tmp_path)


def make_next(admin, *arguments):
    return admin.succeed("rotate", DOMAIN, "--group", GROUP, *arguments)
