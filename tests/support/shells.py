# SPDX-License-Identifier: MIT
"""The shells that may be a host's /bin/sh, and ways to run our scripts with them."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from tests.support import rspawn

NAMES = ("dash", "bash", "busybox", "mksh", "ksh93", "posh", "yash")

# Makes /bin/sh another program for a command and its children only.
OVER_SH = ["unshare", "--mount", "sh", "-c",
           'mount --bind "$1" "$(readlink -f /bin/sh)" && shift && exec "$@"', "sh"]

SCRIPTS = sorted(
    path for directory in (".", ".ci", "demo", "findings", "install", "launcher", "lib",
                           "service", "tests")
    for path in (rspawn.CHECKOUT / directory).glob("*" if directory == "." else "**/*")
    if path.is_file() and (path.suffix == ".sh" or path.read_bytes().startswith(b"#!/bin/sh")))


def program(name):
    """Returns the path of a shell; skips the test if it is missing."""
    return os.path.realpath(shutil.which(name) or pytest.skip(f"needs {name}"))


def shellcheck():
    """Returns the words in front of the scripts to check; skips the test without it.

    Older ones than 0.8, as that of Debian 11, know neither all directives nor all ways to
    set a variable.
    """
    path = shutil.which("shellcheck") or pytest.skip("needs shellcheck")
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"^version: (\d+)\.(\d+)", said, re.MULTILINE)
    if tuple(map(int, version.groups())) < (0, 8):
        pytest.skip("needs shellcheck 0.8 or later")
    return [path, "-x"]


def named_sh(directory, name):
    """Returns the path of a link named sh to a shell; some shells behave differently then."""
    link = pathlib.Path(directory) / f"{name}.as" / "sh"
    link.parent.mkdir(exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(program(name))
    return link


def over_sh(name):
    """Returns the words in front of a command for which a shell is to be /bin/sh.

    Skips the test if that is impossible.
    """
    if os.getuid() or not shutil.which("unshare"):
        pytest.skip("needs root and unshare")
    command = [*OVER_SH, program(name)]
    if subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("needs a mount namespace")
    return command


def run_by(shell, script):
    """Changes a script (path) so that a shell (path) runs it."""
    first, rest = script.read_text().split("\n", 1)
    assert first == "#!/bin/sh"
    script.write_text(f"#!{shell}\n{rest}")
