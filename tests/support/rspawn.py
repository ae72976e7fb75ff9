# SPDX-License-Identifier: MIT
"""Starts the program under test and reads its report, as qmail-rspawn does.

Follows report() and spawn() in qmail-rspawn.c.  The verdict is the one that
qmail-send would see: "K" delivered, "Z" deferred, "D" bounced.
"""

import atexit
import functools
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from typing import NamedTuple

from tests.support.checkout import CHECKOUT

LAUNCHER = CHECKOUT / "launcher" / "qmail-remote"
SCRIPT = CHECKOUT / "qmail_remote_dk.py"

# The interpreter itself: a virtual environment's link costs it its libraries' paths.
PYTHON = os.path.realpath(sys.executable)


@functools.lru_cache(maxsize=None)
def open_checkout():
    """Returns a directory with our programs for another user: the checkout or a copy.

    A checkout in root's home directory is closed to others.
    """
    library = CHECKOUT / "lib"
    if (all(directory.stat().st_mode & 0o001 for directory in (library, *library.parents))
            and SCRIPT.stat().st_mode & 0o004):
        return CHECKOUT
    copy = pathlib.Path(tempfile.mkdtemp(prefix="qmail-dk-"))
    atexit.register(shutil.rmtree, copy)
    copy.chmod(0o755)
    for path in (*CHECKOUT.glob("*.py"), *CHECKOUT.glob("lib/**/*.py"),
                 CHECKOUT / "tests" / "support" / "patient.py"):
        target = copy / path.relative_to(CHECKOUT)
        for directory in reversed(path.relative_to(CHECKOUT).parents):
            (copy / directory).mkdir(exist_ok=True)
            (copy / directory).chmod(0o755)
        target.write_bytes(path.read_bytes())
        target.chmod(0o755)
    return copy


class Delivery(NamedTuple):
    """The result of a delivery as qmail-send sees it."""
    verdict: str        # K, Z or D
    text: bytes         # for the log, or the bounce message


def verdict(wait_status, report):
    """Returns the Delivery for a wait status and all bytes read from the pipe."""
    if os.WIFSIGNALED(wait_status):
        return Delivery("Z", b"qmail-remote crashed.\n")
    code = os.WEXITSTATUS(wait_status)
    if code:
        return Delivery("Z" if code == 111 else "D", b"Unable to run qmail-remote.\n")
    if not report:
        return Delivery("Z", b"qmail-remote produced no output.\n")
    # Text counts as part of the report only if a NUL ends it.
    parts = report.split(b"\0")[:-1]
    severity = {"K": 1, "Z": 0, "D": -1}
    message_result = next((p[:1].decode() for p in parts if p[:1] in (b"K", b"Z", b"D")), "D")
    first = {b"s": "Z", b"h": "D"}.get(report[:1], message_result)
    text = parts[0][1:] if parts else b""
    if severity[message_result] <= severity[first] and parts[1:] and parts[1][:1] in b"KZD":
        text += parts[1][1:]
    return Delivery(first, text)


def install_launcher(directory, python=PYTHON, script=SCRIPT, qmail=None):
    """Writes the launcher with its names filled in.  Returns its path."""
    qmail = qmail or directory
    text = LAUNCHER.read_text()
    for name, value in (("@PYTHON@", python), ("@PROGRAM@", script), ("@QMAIL@", qmail),
                        ("@ORIGINAL@", f"{qmail}/bin/qmail-remote.orig")):
        text = text.replace(name, str(value))
    path = pathlib.Path(directory) / "qmail-remote"
    path.write_text(text)
    path.chmod(0o755)
    return path


def deliver(command, message, environment, arguments=("example.net", "joe@example.com",
                                                      "jane@example.net"), **options):
    """Runs command as qmail-rspawn does: message file on 0, one pipe on 1 and 2.

    command: list, to which arguments are added; message: path.  Returns a Delivery.
    """
    read_end, write_end = os.pipe()
    try:
        with open(message, "rb") as queue_file:
            process = subprocess.Popen(
                [*map(str, command), *arguments], stdin=queue_file, stdout=write_end,
                stderr=write_end, env=environment, **options)
        os.close(write_end)
        write_end = None
        with open(read_end, "rb") as report:
            output = report.read()
        return verdict(wait_status(process.wait()), output)
    finally:
        if write_end is not None:
            os.close(write_end)
            os.close(read_end)


def wait_status(returncode):
    """Returns the status as wait() gave it, from subprocess's returncode."""
    return -returncode if returncode < 0 else returncode << 8
