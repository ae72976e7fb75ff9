# SPDX-License-Identifier: MIT
"""Signed messages, kept for their further recipients.

A signature is used again only while nothing that it depends on has changed:
the message, the signing keys, the settings.  What was consulted when it was
made is known by path, and looked at again for each delivery.
"""

import os
import stat
import time
from collections import OrderedDict

from . import process
from .settings import Settings

MOST = 64                           # messages kept
MOST_BYTES = 32 * 1024 * 1024       # of their copies together; one alone may be larger
LONGEST = 60                        # seconds: t= is to be about the time of the delivery

# Each recipient's qmail-remote reads the one copy from its start, so each needs
# an open file of its own.
OPEN_AGAIN = "/proc/self/fd/"


class NotedSettings(Settings):
    """Settings that note what is consulted.  files: {path: its identity}"""

    def __init__(self, environment):
        super().__init__(environment)
        self.files = {}

    def consulted(self, path):
        self.files.setdefault(path, identity(path))


def identity(path):
    """What tells a file, or a link and its target, from any other: a tuple.

    Taken before the file is read, so that a change after that shows.
    """
    try:
        state = os.lstat(path)
        found = stamp(state)
        if stat.S_ISLNK(state.st_mode):
            found += stamp(os.stat(path))
        return found
    except OSError as error:
        return (error.errno,)


def stamp(state):
    """The part of an os.stat_result that no change leaves as it was."""
    return (state.st_dev, state.st_ino, state.st_mode, state.st_size, state.st_mtime_ns,
            state.st_ctime_ns)


class SignedMessage:
    """What the recipients of a message have in common.

    original: descriptor of the message; while it is open, no other file gets
    its inode number.  copy: descriptor of its signed copy; None if it is sent
    as it is.  size: bytes of that, about; remarks: for outbound.log()
    files: {path: identity} of what was consulted
    until: time.monotonic() when it has to be signed anew
    """

    __slots__ = ("original", "copy", "size", "remarks", "files", "until")

    def __init__(self, original, copy, size, remarks, files, lifetime):
        self.original = original
        self.copy = copy
        self.size = size
        self.remarks = remarks
        self.files = files
        self.until = time.monotonic() + lifetime

    def holds(self):
        """Whether it could not come out otherwise now."""
        return (time.monotonic() < self.until
                and all(identity(path) == known for path, known in self.files.items()))

    def open_copy(self):
        """A descriptor of the signed copy, at its start, to be closed.  Raises OSError."""
        try:
            return os.open(OPEN_AGAIN + str(self.copy), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            if can_open_again():
                raise
            return os.dup(self.copy)    # then it serves for one delivery

    def close(self):
        process.close(self.original, self.copy)


def can_open_again():
    return os.path.exists(OPEN_AGAIN)


class Kept:
    """SignedMessages by what they were made from, the last used at the end."""

    def __init__(self):
        self.messages = OrderedDict()
        self.bytes = 0
        self.keeps = can_open_again()

    def get(self, key):
        """The SignedMessage that holds, or None."""
        signed = self.messages.get(key)
        if signed is not None:
            if signed.holds():
                self.messages.move_to_end(key)
                return signed
            self.drop(key)
        return None

    def add(self, key, signed):
        """Keeps signed, and closes what it has to make room for: perhaps signed."""
        if key in self.messages:
            self.drop(key)
        self.messages[key] = signed
        self.bytes += signed.size
        while self.messages and (
                not self.keeps or len(self.messages) > MOST
                or self.bytes > MOST_BYTES and len(self.messages) > 1):
            self.drop(next(iter(self.messages)))

    def drop(self, key):
        signed = self.messages.pop(key)
        self.bytes -= signed.size
        signed.close()

    def sweep(self):
        """Closes those that are too old."""
        now = time.monotonic()
        for key in [key for key, signed in self.messages.items() if now >= signed.until]:
            self.drop(key)
