# SPDX-License-Identifier: MIT
"""An administrator at a scratch qmail host, who types qmail-dk commands."""

import grp
import os
import pathlib
import subprocess
import sys

from tests import rspawn

LAUNCHER = rspawn.CHECKOUT / "launcher" / "qmail-dk"
GROUP = grp.getgrgid(os.getgid()).gr_name
DOMAIN = "example.com"


class Administrator:
    """directory: empty, for qmail's home and the keys; prefix: where the code lies

    environment: of the commands, in which a test can change settings
    """

    def __init__(self, directory, prefix=rspawn.CHECKOUT):
        self.directory = pathlib.Path(directory)
        self.control = self.directory / "control"
        self.control.mkdir()
        lock = self.directory / "queue" / "lock"
        lock.mkdir(parents=True)
        (lock / "tcpto").touch()        # its owner is taken for qmailr
        self.keys = self.directory / "keys"
        self.environment = {"PATH": os.environ["PATH"], "DKSIGN": f"{self.keys}/%/default"}
        text = LAUNCHER.read_text()
        # The virtual environment's own name for the interpreter: by it, its libraries are found.
        for name, value in (("@PYTHON@", sys.executable), ("@PREFIX@", prefix),
                            ("@QMAIL@", self.directory),
                            ("@ORIGINAL@", f"{self.directory}/bin/qmail-remote.orig")):
            text = text.replace(name, str(value))
        self.command = self.directory / "qmail-dk"
        self.command.write_text(text)
        self.command.chmod(0o755)

    def run(self, *arguments, stdin=b"", command=(), **options):
        """-> subprocess.CompletedProcess, stdout and stderr as text."""
        done = subprocess.run([*command, self.command, *map(str, arguments)], input=stdin,
                              capture_output=True, env=self.environment, **options)
        done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
        return done

    def succeed(self, *arguments, **options):
        """What a command writes that succeeds and has nothing to complain about."""
        done = self.run(*arguments, **options)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def refused(self, *arguments, **options):
        """What a command says that does nothing: one line."""
        before = tree(self.directory)
        done = self.run(*arguments, **options)
        assert done.returncode in (100, 111) and done.stdout == ""
        assert tree(self.directory) == before
        (line,) = done.stderr.splitlines()
        assert line.startswith("qmail-dk")
        return line

    def make_key(self, selector="s1", *arguments, domain=DOMAIN):
        """Makes a first key, which does not sign yet -> what keygen writes."""
        return self.succeed("keygen", domain, "--selector", selector, "--group", GROUP, *arguments)

    def keygen(self, selector="s1", *arguments, domain=DOMAIN):
        """Makes a first key and lets it sign -> what keygen writes."""
        output = self.make_key(selector, *arguments, domain=domain)
        of_type = arguments if arguments[:1] == ("--type",) else ()
        self.succeed("rotate", domain, "--activate", "--force", *of_type)
        return output


def tree(directory):
    """Everything below a directory: path -> (mode, link target or content).

    Python's caches are left out.
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
    """The TXT records in what keygen, dns and rotate print: {name: text}, by tinydns' lines."""
    found = {}
    for line in output.splitlines():
        if line.startswith("'"):
            name, text, _ = line[1:].split(":")
            found[name] = text
    return found
