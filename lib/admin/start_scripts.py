# SPDX-License-Identifier: MIT
"""Finds the scripts that start this qmail, and their replacement for qmail-remote."""

import glob
import os
import re

# The same as in install/host.sh.
PLACES = ("/service/*/run", "/etc/service/*/run", "/var/service/*/run", "/etc/sv/*/run")

STARTS_QMAIL = re.compile(r"^(?![ \t]*#).*qmail-start", re.MULTILINE)
# Leaves out a path that is followed by more, such as a variable.
REMOTE = re.compile(r"^(?![ \t]*#).*?QMAILREMOTE=[\"']?(/[A-Za-z0-9/._@+-]*)"
                    r"(?![A-Za-z0-9/._@+$`{-])", re.MULTILINE)


def remotes(qmail):
    """Returns the paths that scripts set QMAILREMOTE to: list of (script, path), str."""
    return [(path, named) for path, text in sorted(scripts(qmail).items())
            for named in REMOTE.findall(text)]


def scripts(qmail):
    """Returns {path: text} of the scripts that start the qmail with that home (str)."""
    found = {}
    for pattern in (f"{qmail}/rc", f"{qmail}/supervise/*/run", *PLACES):
        for path in glob.glob(pattern):
            # A service often has two paths, one through a link to its directory.
            path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
            try:
                with open(path, encoding="utf-8", errors="surrogateescape") as file:
                    text = file.read()
            except OSError:
                continue
            if STARTS_QMAIL.search(text) and (path.startswith(qmail + "/") or f"{qmail}/" in text):
                found[path] = text
    return found
