# SPDX-License-Identifier: MIT
"""Delivers a message as qmail-rspawn does: through the signer, to the loopback sink.

The original qmail-remote delivers to the port in control/smtproutes.  So it runs in a
mount namespace of its own with our control and queue directories: the machine's are
neither read nor changed.
"""

import os
import shutil
import subprocess
import sys
from typing import NamedTuple

from . import Failure, child

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LAUNCHER = os.path.join(CHECKOUT, "launcher", "qmail-remote")
SIGNER = os.path.join(CHECKOUT, "qmail_remote_dk.py")
STAND_IN = os.path.join(CHECKOUT, "demo", "qmail_remote_stand_in.py")

QMAIL = "/var/qmail"
# If the signer is installed in its place, the original has the first name.
ORIGINALS = (QMAIL + "/bin/qmail-remote.orig", QMAIL + "/bin/qmail-remote")

# Arguments: our control directory, our queue directory, the command to run.
IN_NAMESPACE = f"""
mount --bind "$1" {QMAIL}/control
mount --bind "$2" {QMAIL}/queue
shift 2
exec "$@"
"""


class Original(NamedTuple):
    """The program that sends the message."""
    path: str
    home: str           # qmail's home directory for the signer
    prefix: list        # words in front of the signer's command
    description: str    # for the reader


def find_original(home, smtp_port):
    """Returns the Original: the real qmail-remote if it can be used, else the stand-in.

    home: a new directory, in the place of qmail's own
    smtp_port: of the sink
    """
    for name in ("control", "queue"):
        os.makedirs(os.path.join(home, name))
    for name, value in (("me", "mail.example.com"), ("smtproutes", f":127.0.0.1:{smtp_port}")):
        with open(os.path.join(home, "control", name), "w", encoding="ascii") as file:
            file.write(value + "\n")
    path = next((path for path in ORIGINALS if os.access(path, os.X_OK)), None)
    if path is None:
        return Original(STAND_IN, home, [], f"no qmail-remote in {QMAIL}/bin, so a stand-in")
    prefix = ["unshare", "--map-root-user", "--mount", "sh", "-euc", IN_NAMESPACE, "sh",
              os.path.join(home, "control"), os.path.join(home, "queue")]
    refused = why_not(prefix + ["test", "-x", path])
    if refused:
        return Original(STAND_IN, home, [], f"a stand-in, for {path} can't have a mount namespace "
                        f"of its own here ({refused})")
    return Original(path, home, prefix, f"{path}, in a mount namespace of its own")


def why_not(command):
    """Runs command.  Returns "" if it succeeds, else the reason."""
    if shutil.which(command[0]) is None:
        return f"no {command[0]} in PATH"
    code, output = child.run(command, stderr=subprocess.STDOUT)
    words = " ".join(output.decode(errors="replace").split())
    return "" if code == 0 else words or f"exit code {code}"


def install_launcher(home):
    """Writes the launcher, filled in, to home.  Returns the command that starts it."""
    with open(LAUNCHER, encoding="utf-8") as file:
        text = file.read()
    for name, value in (("PYTHON", sys.executable), ("PROGRAM", SIGNER), ("QMAIL", home)):
        text = text.replace(f"@{name}@", value.replace("'", r"'\''"))
    path = os.path.join(home, "qmail-remote")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return ["/bin/sh", path]    # by sh, since home may be mounted noexec


def deliver(message, arguments, original, settings):
    """Passes a message through the signer to the original.  Returns the report, str.

    message: path of the queue file; arguments: host, sender, recipient
    settings: the environment, besides PATH and the variable for the original
    Raises Failure unless the message was accepted.
    """
    # The stand-in finds its python3 through PATH.
    path = os.path.dirname(sys.executable) + os.pathsep + os.environ.get("PATH", os.defpath)
    environment = {"PATH": path, "DKREMOTE": original.path, "QMAIL_DK_TRIAL": "1", **settings}
    with open(message, "rb") as queue_file:
        code, report = child.run(
            original.prefix + install_launcher(original.home) + arguments, env=environment,
            stdin=queue_file, stderr=subprocess.STDOUT)
    parts = report.split(b"\0")
    text = " | ".join(" ".join(part.decode(errors="replace").split()) for part in parts if part)
    if code or parts[0] != b"r" or not parts[1].startswith(b"K"):
        raise Failure(f"the message was not delivered: exit code {code}, report: {text}")
    return text
