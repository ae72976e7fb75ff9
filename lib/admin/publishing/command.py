# SPDX-License-Identifier: MIT
"""Runs a program that publishes: without a shell, with little environment, and not for ever."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile

from ...maillog import printable

LONGEST = 60            # seconds that a program may take
LONGEST_TEXT = 200      # characters of its last line that are shown
LAST_BYTES = 4096       # of what it wrote, in which the last line is looked for

# What it gets of our environment, so that cron and a shell lead to the same result.
KEPT = ("HOME", "LOGNAME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR")

# Behind PATH: cron's has none of these, where make and tinydns-data may be.
PLACES = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


def environment():
    """Returns the environment of the program, {str: str}."""
    return {"PATH": path(), **{name: os.environ[name] for name in KEPT if name in os.environ}}


def path():
    """Returns PATH with PLACES behind it."""
    named = [place for place in os.environ.get("PATH", "").split(":") if place.startswith("/")]
    return ":".join(dict.fromkeys([*named, *PLACES]))


def find(name):
    """Returns the path of a program in path(), or None."""
    return shutil.which(name, path=path())


def run(arguments, directory="/", inherited=(), seconds=None, umask=-1):
    """Runs a program in a directory.  Returns "" if it exits 0, else what went wrong, str.

    inherited: descriptors that stay open in it; seconds: that it may take, None for LONGEST
    umask: of the program, -1 for ours
    Raises OSError if it can't be started.
    """
    limit = LONGEST if seconds is None else seconds
    # A file, because a pipe would stay open as long as a process that it leaves behind.
    with tempfile.TemporaryFile() as written:
        process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=written,
            cwd=directory, env=environment(), pass_fds=inherited, start_new_session=True,
            umask=umask)
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            end(process)
            return f"took more than {limit} seconds"
        except BaseException:
            end(process)
            raise
        if code == 0:
            return ""
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"{last_line(written) or 'no message'} ({how})"


def end(process):
    """Kills a program and those that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def last_line(file):
    """Returns the last line of a file that is not blank, as printable ASCII, "" for none."""
    file.seek(max(0, file.seek(0, os.SEEK_END) - LAST_BYTES))
    lines = file.read().decode("latin-1").strip().splitlines()
    return printable(lines[-1].strip()[-LONGEST_TEXT:]) if lines else ""
