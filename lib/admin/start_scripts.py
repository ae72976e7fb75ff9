# SPDX-License-Identifier: MIT
"""Finds the scripts that start this qmail, their replacement for qmail-remote, and their logs."""

import glob
import os
import re

from ..settings import without_waiting

# The same as in install/host.sh.
PLACES = ("/service/*/run", "/etc/service/*/run", "/var/service/*/run", "/etc/sv/*/run")

STARTS_QMAIL = re.compile(r"^(?![ \t]*#).*qmail-start", re.MULTILINE)
# Leaves out a path that is followed by more, such as a variable.
REMOTE = re.compile(r"^(?![ \t]*#).*?QMAILREMOTE=[\"']?(/[A-Za-z0-9/._@+-]*)"
                    r"(?![A-Za-z0-9/._@+$`{-])", re.MULTILINE)
VERIFIES = re.compile(r"^(?![ \t]*#).*(?:qmail-smtpd|qmail-dk-verifyd)", re.MULTILINE)
LOGGER = re.compile(r"^(?![ \t]*#).*\b(?:multilog|svlogd|s6-log)\b(.*)", re.MULTILINE)
DIRECTORY = re.compile(r"[\"']?[./][A-Za-z0-9/._@+-]*[\"']?$")     # multilog knows it by that


def remotes(qmail):
    """Returns the paths that scripts set QMAILREMOTE to: list of (script, path), str."""
    return [(path, named) for path, text in sorted(scripts(qmail).items())
            for named in REMOTE.findall(text)]


def scripts(qmail):
    """Returns {path: text} of the scripts that start the qmail with that home (str)."""
    return {path: text for path, text in texts(qmail, f"{qmail}/rc").items()
            if STARTS_QMAIL.search(text)
            and (path.startswith(qmail + "/") or f"{qmail}/" in text)}


def log_directories(qmail):
    """Returns the paths of the directories that what verifies logs to, list of str.

    qmail: its home; they are those of the services that start qmail-smtpd, or the resident
    verifier, as far as their log/run says it without variables.
    """
    found = []
    for path, text in sorted(texts(qmail).items()):
        service = os.path.dirname(path) + "/log"
        if VERIFIES.search(text):
            for words in LOGGER.findall(read(service + "/run").replace("\\\n", " ")):
                named = [word.strip("\"'") for word in words.split() if DIRECTORY.match(word)]
                # Others get a selection of the same lines.
                found += [os.path.normpath(os.path.join(service, name)) for name in named[:1]]
    return list(dict.fromkeys(found))


def texts(qmail, *others):
    """Returns {path: text} of the run scripts of services, and of others.  qmail: its home"""
    found = {}
    for pattern in (*others, f"{qmail}/supervise/*/run", *PLACES):
        for path in glob.glob(pattern):
            # A service often has two paths, one through a link to its directory.
            path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
            text = read(path)
            if text:
                found[path] = text
    return found


def read(path):
    """Returns the text of a file, "" if it can't be read."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", opener=without_waiting) as file:
            return file.read()
    except OSError:
        return ""
