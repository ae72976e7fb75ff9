# SPDX-License-Identifier: MIT
"""qmail-rspawn's side of a delivery: starts the program under test, reads its report.

The rules are those of report() and spawn() in qmail-rspawn.c, and what
qmail-send would see is their answer: "K" delivered, "Z" deferred, "D" bounced.
"""

import os
import pathlib
import subprocess
import sys
from typing import NamedTuple

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
LAUNCHER = CHECKOUT / "launcher" / "qmail-remote"
SCRIPT = CHECKOUT / "qmail_remote_dk.py"

# The interpreter itself: a virtual environment's link costs it its libraries' paths.
PYTHON = os.path.realpath(sys.executable)


class Delivery(NamedTuple):
    """What qmail-send sees of a delivery."""
    verdict: str        # K, Z or D
    text: bytes         # for the log, or the bounce message


def verdict(wait_status, report):
    """Delivery from a wait status and all bytes that came through the pipe."""
    if os.WIFSIGNALED(wait_status):
        return Delivery("Z", b"qmail-remote crashed.\n")
    code = os.WEXITSTATUS(wait_status)
    if code:
        return Delivery("Z" if code == 111 else "D", b"Unable to run qmail-remote.\n")
    if not report:
        return Delivery("Z", b"qmail-remote produced no output.\n")
    # Only what a NUL ends is a part of the report.
    parts = report.split(b"\0")[:-1]
    severity = {"K": 1, "Z": 0, "D": -1}
    message_result = next((p[:1].decode() for p in parts if p[:1] in (b"K", b"Z", b"D")), "D")
    first = {b"s": "Z", b"h": "D"}.get(report[:1], message_result)
    text = parts[0][1:] if parts else b""
    if severity[message_result] <= severity[first] and parts[1:] and parts[1][:1] in b"KZD":
        text += parts[1][1:]
    return Delivery(first, text)


def install_launcher(directory, python=PYTHON, script=SCRIPT, qmail=None):
    """Writes the launcher with its names filled in; -> its path."""
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

    command: list, to which arguments are added; message: path; -> Delivery
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
    """The status that wait() gave, from subprocess's returncode."""
    return -returncode if returncode < 0 else returncode << 8
