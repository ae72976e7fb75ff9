# SPDX-License-Identifier: MIT
"""The checkout of a newcomer, on a machine that has only a few tools."""

import os
import shlex
import shutil
import subprocess
import sys

import pytest

from tests.support.checkout import copy_parts

# All that the demonstration and tests/run need of a machine besides Python.
TOOLS = ("sh", "dirname", "cat", "rm", "env")

# Debian's python3 without python3-venv.
INCOMPLETE_PYTHON = f"""#!/bin/sh
case $* in
*ensurepip* | *"-m pip"*) exit 1 ;;
*) exec {shlex.quote(sys.executable)} "$@" ;;
esac
"""

UNREACHABLE = "http://127.0.0.1:9/simple"


class Copy:
    """A copy of the checkout's parts (paths), and a machine with TOOLS and what a test adds.

    name: of its directory, by default one with a blank and a quote
    """

    def __init__(self, directory, parts, name="the admin's checkout"):
        self.directory = directory / name
        copy_parts(parts, self.directory)
        self.temporary = directory / "tmp"
        self.temporary.mkdir()
        self.bin = directory / "bin"
        self.bin.mkdir()
        for tool in TOOLS:
            self.add_tool(tool)
        self.environment = {"PATH": str(self.bin), "TMPDIR": str(self.temporary),
                            "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": UNREACHABLE}

    def add_tool(self, name):
        path = shutil.which(name)
        if path is None:
            pytest.skip(f"needs {name}")
        (self.bin / name).symlink_to(path)

    def add_program(self, name, text):
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)

    def use_our_environment(self):
        """Spares the copy the making of .venv."""
        if sys.prefix == sys.base_prefix:
            pytest.skip("needs to run in a virtual environment")
        (self.directory / ".venv").symlink_to(sys.prefix)

    def edit(self, part, old, new):
        path = self.directory / part
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def run(self, *arguments, program="install.sh", become=(), shell="sh"):
        """A program's outcome; become: a command that runs another, as another user."""
        return subprocess.run(
            [*become, shell, str(self.directory / program), *arguments],
            env=self.environment, cwd="/", stdin=subprocess.DEVNULL, capture_output=True,
            text=True, encoding="utf-8")
