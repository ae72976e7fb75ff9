# SPDX-License-Identifier: MIT
"""Checks that the signer can read a key file, and that nobody else can read or change it."""

import os
import stat

from ..settings import QMAIL
from .account import eyes_of, signers_account, signers_eyes
from .findings import FAIL, OK, WARN, Finding

MOST_LINKS = 40     # that Linux follows on the way to a file


def reading_findings(path):
    """Checks that the signer can read the file at path."""
    account = signers_account()
    if os.geteuid() not in (0, account and account.user):
        return [Finding(WARN, path, "only root can see whether qmailr can read it",
                        "run this as root")]
    if account is None:
        return [Finding(WARN, path, f"{QMAIL}/queue/lock/tcpto, by which qmailr is known, is not "
                        "there, so whether qmailr can read this is not known", "install qmail")]
    try:
        with eyes_of(account):
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    except OSError as error:
        return [Finding(FAIL, path, f"{account.name} can't open it: {error.strerror}",
                        "chgrp qmail and chmod g+r the key, chgrp qmail and chmod g+x "
                        f"{os.path.dirname(path)}; all directories above need x for others")]
    return [Finding(OK, path, f"{account.name} can read it")]


def closed_directory(path):
    """Returns the first directory on the way to a path that the signer can't enter, or None.

    Returns None, too, if this process can't find out.
    """
    directories = directories_on_the_way(path)
    with signers_eyes() as seen:
        for directory in directories if seen else ():
            try:
                os.lstat(os.path.join(directory, "name"))
            except PermissionError:
                return directory
            except OSError:
                continue            # nothing has that name
    return None


def permission_findings(path):
    """Checks that nobody else can read, change or replace the key file at path.

    path may have links in it.  Raises OSError.
    """
    file = os.path.realpath(path)
    state = os.stat(file)
    findings = writing_findings(file, state)
    if state.st_mode & stat.S_IROTH:
        findings.append(Finding(WARN, file, "others can read it", f"chmod o= {file}"))
    findings += owner_findings(file, state)
    own = [os.path.realpath(os.path.dirname(name)) for name in (path, file)]
    for directory in directories_on_the_way(path):
        state = os.stat(directory)
        if directory in own:
            findings += writing_findings(directory, state)
        elif not state.st_mode & stat.S_ISVTX:
            findings += replacing_findings(directory, state)
        findings += owner_findings(directory, state)
    return findings or [Finding(OK, path, "nobody else can read or change it")]


def directories_on_the_way(path):
    """Returns the directories that open() passes through, also at links, each once; list of str.

    Where links lead in a circle, it gives up as open() does.
    """
    found, links = [], 0
    here, left = "/", os.path.abspath(path).split("/")[::-1]
    while left and links < MOST_LINKS:
        name = left.pop()
        if name == "..":
            here = os.path.dirname(here)
        elif name not in ("", "."):
            found.append(here)
            place = os.path.join(here, name)
            if not os.path.islink(place):
                here = place
                continue
            links += 1
            target = os.readlink(place)
            here = "/" if target.startswith("/") else here
            left += target.split("/")[::-1]
    return list(dict.fromkeys(found))


def writing_findings(name, state):
    """Checks that only its owner can write to a key or its directory.  state: os.stat_result"""
    if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return [Finding(FAIL, name, "others than its owner can change it", f"chmod go-w {name}")]
    return []


def replacing_findings(directory, state):
    """Checks that others can't replace a directory on the way to a key.  state: os.stat_result"""
    if state.st_mode & stat.S_IWOTH:
        return [Finding(FAIL, directory, "others can put other keys there",
                        f"chmod o-w {directory}")]
    if state.st_mode & stat.S_IWGRP and state.st_gid != 0:
        return [Finding(WARN, directory, f"group number {state.st_gid} can put other keys there",
                        f"chmod g-w {directory}")]
    return []


def owner_findings(name, state):
    """Checks that root owns a key, or a directory above it.  state: os.stat_result"""
    if state.st_uid != 0:
        return [Finding(WARN, name, f"belongs to user number {state.st_uid}, who can change it",
                        f"chown root {name}")]
    return []
