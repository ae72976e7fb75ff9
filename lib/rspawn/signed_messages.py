# SPDX-License-Identifier: MIT
"""Signed messages, kept for their other recipients.

A signature is reused only while nothing that it depends on has changed: the
message, the signing keys, the settings.  The paths that were consulted when it
was made are checked again for each delivery.

A kept message saves work, and must not occupy what a delivery needs:
descriptors, memory, disk space.
"""

import errno
import os
import resource
import stat
import time
from collections import OrderedDict

from .. import process
from ..errors import Trouble
from ..settings import Settings
from ..qmail.spool import IN_MEMORY

MOST = 64                           # messages kept
MOST_BYTES = 32 * 1024 * 1024       # of all their copies in memory
LONGEST = 60                        # seconds; t= should be close to the time of the delivery

# A kept message holds two descriptors.  All of them may hold a quarter of the
# descriptors that this process may open.
DESCRIPTORS_FOR_EACH = 8

# Nanoseconds.  Time stamps have steps of one second on ext3 and with inodes of 128 bytes,
# and two for FAT's modification times; elsewhere the few milliseconds of the kernel's clock.
CLOCK_STEP = 2_010_000_000
STAMPS, CHANGED = 6, 5      # length of stamp(), and index of the time of the last change

NOTHING = (errno.ENOENT,)       # identity() of a path where there is not even a link

# Errors of system calls if something has run out that a kept message may hold.
SCARCE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.ENOBUFS)

# The qmail-remote of each recipient reads the same copy from its start, so each needs
# its own file offset: a dup() would share one.
OPEN_AGAIN = "/proc/self/fd/"


class NotedSettings(Settings):
    """Settings that record what is consulted.  files: {path: lasting_identity()}"""

    def __init__(self, environment):
        super().__init__(environment)
        self.files = {}

    def consulted(self, path):
        if path not in self.files:
            self.files[path] = lasting_identity(path)
        return self.files[path] != NOTHING


def lasting_identity(path):
    """Returns identity(path), or None if a further change might not alter it.

    A file that is changed, read and changed again within one step of its file
    system's clock looks the same.  That clock can't be read, since the signer
    may not write there; but the kernel stamps local files with the time that
    we see, rounded down to the step.
    """
    found = identity(path)
    oldest = time.time_ns() - CLOCK_STEP
    return None if any(changed > oldest for changed in found[CHANGED::STAMPS]) else found


def identity(path):
    """Returns a tuple that identifies a file, or a link and its target.

    It is stamp(), for a link followed by that of its target; or the error number
    in the place of one that is missing.  Call it before the file is read, so that a
    later change shows.
    """
    found = ()
    try:
        state = os.lstat(path)
        found = stamp(state)
        return found + stamp(os.stat(path)) if stat.S_ISLNK(state.st_mode) else found
    except OSError as error:
        return (*found, error.errno)


def stamp(state):
    """Returns the fields of an os.stat_result that show a change, as a tuple."""
    return (state.st_dev, state.st_ino, state.st_mode, state.st_size, state.st_mtime_ns,
            state.st_ctime_ns)      # STAMPS of them


class SignedMessage:
    """A message with the result of signing it, shared by its recipients.

    original: descriptor of the message; while it is open, no other file gets
    its inode number
    copy: descriptor of the signed copy; None if the message is sent as it is
    size: bytes of the larger of the two
    remarks: list for outbound.log()
    files: {path: lasting_identity()} of the files that were consulted
    until: time.monotonic() at which it must be signed anew
    key: its key in Kept, or None; deliveries: number in progress
    """

    __slots__ = ("original", "copy", "size", "remarks", "files", "until", "key", "deliveries")

    def __init__(self, original, copy, size, remarks, files, lifetime):
        self.original = original
        self.copy = copy
        self.size = size
        self.remarks = remarks
        self.files = files
        self.until = time.monotonic() + lifetime
        self.key = None
        self.deliveries = 0

    def in_memory(self):
        """Returns the bytes of memory that the copy takes.  A large copy is on disk."""
        return 0 if self.copy is None or self.is_large() else self.size

    def is_large(self):
        return self.size > IN_MEMORY

    def holds(self):
        """Returns whether signing the message now would give the same result."""
        return (time.monotonic() < self.until
                and all(identity(path) == known for path, known in self.files.items()))

    def open_copy(self):
        """Returns a new descriptor of the signed copy, at its start.  Raises OSError."""
        try:
            return os.open(OPEN_AGAIN + str(self.copy), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            if can_open_again():
                raise
            return os.dup(self.copy)    # good for one delivery; most_kept() is 0 then

    def close(self):
        process.close(self.original, self.copy)


def can_open_again():
    return os.path.exists(OPEN_AGAIN)


def is_scarcity(trouble):
    """Returns whether an exception, or one of its causes, says that something has run out."""
    while trouble is not None:
        if isinstance(trouble, MemoryError) or getattr(trouble, "errno", None) in SCARCE:
            return True
        trouble = trouble.__cause__
    return False


def most_kept():
    """Returns how many messages may be kept: none without OPEN_AGAIN."""
    if not can_open_again():
        return 0
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (MOST if descriptors == resource.RLIM_INFINITY
            else min(MOST, descriptors // DESCRIPTORS_FOR_EACH))


class Kept:
    """SignedMessages by dispatcher.message_key(), the most recently used at the end.

    checked: keys of those that were found to hold since look_again()

    A large message is kept only during its deliveries, which need its disk space
    in any case.
    """

    def __init__(self):
        self.messages = OrderedDict()
        self.bytes = 0
        self.most = most_kept()
        self.checked = set()

    def look_again(self):
        """Forgets which messages were found to hold, so their files are looked at again."""
        self.checked.clear()

    def get(self, key):
        """Returns the SignedMessage for a key if it still holds, else None."""
        signed = self.messages.get(key)
        if signed is not None:
            if key in self.checked or signed.holds():
                self.checked.add(key)
                self.messages.move_to_end(key)
                return signed
            self.drop(key)
        return None

    def add(self, key, signed):
        """Keeps a SignedMessage.  Closes others, or this one, if there are too many."""
        if key in self.messages:
            self.drop(key)
        signed.key = key
        self.messages[key] = signed
        self.bytes += signed.in_memory()
        while len(self.messages) > self.most or self.bytes > MOST_BYTES:
            self.drop(next(iter(self.messages)))
        self.drop_unused(signed)

    def drop(self, key):
        signed = self.messages.pop(key)
        self.checked.discard(key)
        self.bytes -= signed.in_memory()
        signed.close()

    def begun(self, signed):
        """Records that a delivery of signed has begun."""
        signed.deliveries += 1

    def ended(self, signed):
        """Records that a delivery of signed has ended."""
        signed.deliveries -= 1
        self.drop_unused(signed)

    def drop_unused(self, signed):
        """Closes a large message that is still kept but has no delivery in progress."""
        kept = self.messages.get(signed.key) is signed
        if kept and signed.is_large() and not signed.deliveries:
            self.drop(signed.key)

    def make_room(self, spared=None):
        """Closes all messages but spared.  Returns whether there were any."""
        keys = [key for key, signed in self.messages.items() if signed is not spared]
        for key in keys:
            self.drop(key)
        return bool(keys)

    def with_room(self, function, spared=None):
        """Returns function(); if something has run out, makes room and calls it again.

        spared: a SignedMessage that function needs, or None.  Raises what function
        raises.
        """
        try:
            return function()
        except (OSError, Trouble) as trouble:
            if not is_scarcity(trouble) or not self.make_room(spared):
                raise
        return function()

    def sweep(self):
        """Closes the messages that are too old to be used again."""
        now = time.monotonic()
        for key in [key for key, signed in self.messages.items() if now >= signed.until]:
            self.drop(key)
