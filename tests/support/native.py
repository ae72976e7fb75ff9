# SPDX-License-Identifier: MIT
"""Compiles the verifier's launcher in C, with the compilers that are here."""

import pathlib
import shutil
import subprocess

import pytest

SOURCE = pathlib.Path(__file__).parents[2] / "launcher" / "qmail-dk-verify.c"
COMPILERS = [name for name in ("gcc", "clang", "musl-gcc") if shutil.which(name)]
STRICT = ("-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror")
PATIENT = "-DPATIENCE=100000"       # milliseconds; see patient.py
LAUNCHERS = ("python", pytest.param("native", marks=pytest.mark.skipif(
    not COMPILERS, reason="needs a C compiler")))

# In the place of the launcher in sh: the words of the verifier in Python.
LEFT_TO = """#!/bin/sh
exec {command} "$@"
"""


def compiled(path, qmail, *options, compiler=None):
    """Compiles the launcher to path, for qmail's home.  It leaves mail to path + ".sh"."""
    subprocess.run([compiler or COMPILERS[0], *STRICT, *options, f'-DQMAIL="{qmail}"',
                    f'-DLAUNCHER="{path}.sh"', '-DPROGRAM="qmail_qfilter_verify.py"',
                    SOURCE, "-o", path], check=True)


def launcher(directory, command, options):
    """Returns the path (str) of a launcher for the host in a directory.

    command: the words of the verifier in Python; options: of the compiler, a tuple
    """
    path = directory / "-".join(["launcher", *(word.strip("-=") for word in options)])
    if not path.exists():
        compiled(path, directory, *options)
    script = pathlib.Path(f"{path}.sh")
    script.write_text(LEFT_TO.format(command=" ".join(f"'{word}'" for word in command)))
    script.chmod(0o755)
    return str(path)
