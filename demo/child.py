# SPDX-License-Identifier: MIT
"""Runs other programs, and leaves none of them behind."""

import contextlib
import os
import signal
import subprocess

from . import Failure

TIMEOUT = 60    # seconds; what is run here takes one or two


def run(command, text=None, **options):
    """Runs command in a process group of its own -> (exit code, what it wrote).

    text: bytes for a pipe on its descriptor 0; options: subprocess.Popen's,
    where descriptor 1 is a pipe unless they say otherwise.  Raises Failure when
    TIMEOUT is over, and OSError if the program can't be started.
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
