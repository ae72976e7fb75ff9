# SPDX-License-Identifier: MIT
"""Runs other programs, and leaves none of them running."""

import contextlib
import os
import signal
import subprocess

from . import Failure

TIMEOUT = 60    # seconds; the programs take one or two


def run(command, text=None, **options):
    """Runs command in a process group of its own.  Returns (exit code, its output in bytes).

    text: bytes for a pipe on descriptor 0
    options: of subprocess.Popen; by default, descriptor 1 is a pipe
    Raises Failure after TIMEOUT, OSError if the program can't be started.
    """
    options.setdefault("stdin", subprocess.DEVNULL if text is None else subprocess.PIPE)
    options.setdefault("stdout", subprocess.PIPE)
    with subprocess.Popen(command, start_new_session=True, **options) as process:
        try:
            output, _ = process.communicate(text, TIMEOUT)
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise Failure(f"{command[0]} has not ended in {TIMEOUT} seconds") from error
            raise
    return process.returncode, output
