# SPDX-License-Identifier: MIT
"""Compiles the verifier's launcher in C, with the compilers that are here."""

import os
import pathlib
import shutil
import subprocess

SOURCE = pathlib.Path(__file__).parents[2] / "launcher" / "qmail-dk-verify.c"
COMPILERS = [name for name in ("gcc", "clang", "musl-gcc", "cc", "tcc") if shutil.which(name)]
WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror")

# Python for what the launcher leaves: the words of the command.
SCRIPT = """#!/bin/sh
exec {command} "$@"
"""


def compiled(path, qmail, command, *options, compiler=None):
    """Compiles the launcher to path, for qmail's home and the command (list) of the verifier in
    Python.  Returns path (str)."""
    script = pathlib.Path(f"{path}.sh")
    script.write_text(SCRIPT.format(command=" ".join(f"'{word}'" for word in command)))
    script.chmod(0o755)
    subprocess.run([compiler or COMPILERS[0], *WARNINGS, *options, f'-DQMAIL="{qmail}"',
                    f'-DLAUNCHER="{script}"',
                    '-DPROGRAM="qmail_qfilter_verify.py"', str(SOURCE), "-o", str(path)], check=True)
    return os.fspath(path)
