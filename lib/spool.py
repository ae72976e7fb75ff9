# SPDX-License-Identifier: MIT
"""Anonymous files for the message that is handed on.

A small one lies in memory, a large one on disk, for the next program keeps it
open as long as the remote side is slow.  Neither has a name, so nothing is
left behind.  Never a pipe: if its feeder died at a line's end, qmail-remote
would send the message cut short and report success.
"""

import posix
import stat

from . import process
from .errors import ReadTrouble, SpoolTrouble

IN_MEMORY = 1024 * 1024     # bytes, up to which a message is kept in memory
DIRECTORIES = ("/var/tmp", "/tmp")


def anonymous_file(size, directory=None):
    """An open, empty file without a name, for about size bytes -> descriptor.

    directory: where large ones go (TMPDIR); else the first of DIRECTORIES that
    serves.  Raises SpoolTrouble if none does.
    """
    if size <= IN_MEMORY and hasattr(posix, "memfd_create"):
        try:
            fd = posix.memfd_create("message", posix.MFD_CLOEXEC)
            posix.fchmod(fd, 0o600)     # as on disk: else whoever it is handed to could write to it
            return fd
        except OSError:
            pass    # a kernel without it, or its limit: the disk serves as well
    reasons = []
    for place in (directory,) if directory else DIRECTORIES:
        try:
            return unlinked_file(place)
        except OSError as error:
            reasons.append(f"{place}: {error.strerror}")
    raise SpoolTrouble("no place for a copy of the message: " + "; ".join(reasons))


def unlinked_file(directory):
    """An open file in directory that has no name.  Raises OSError."""
    if hasattr(posix, "O_TMPFILE"):
        try:
            return posix.open(directory, posix.O_TMPFILE | posix.O_RDWR | posix.O_CLOEXEC, 0o600)
        except OSError:
            pass    # many file systems don't have it, and say so in many ways
    path = f"{directory}/qmail-dk.{posix.urandom(16).hex()}"
    fd = posix.open(path, posix.O_CREAT | posix.O_EXCL | posix.O_RDWR | posix.O_CLOEXEC, 0o600)
    try:
        posix.unlink(path)
    except OSError:
        posix.close(fd)
        raise
    return fd


def write(fd, data):
    """Writes all of data.  Raises SpoolTrouble, for instance if the disk is full."""
    view = memoryview(data)
    while view:
        try:
            view = view[posix.write(fd, view):]
        except OSError as error:
            raise SpoolTrouble(
                f"unable to write a copy of the message: {error.strerror}") from error


def write_all(fd, text):
    """Writes the chunks of text.  Raises SpoolTrouble, and what text raises."""
    for chunk in text:
        write(fd, chunk)


def from_start(fd, directory=None):
    """A descriptor whose offset 0 is the start of the message on fd.

    That is fd itself where it is such a file, else a copy of what can be read
    from it: a pipe, or a file that was read in part.  A copy is in memory up
    to IN_MEMORY.  Raises OSError, ReadTrouble, SpoolTrouble.
    """
    if stat.S_ISREG(posix.fstat(fd).st_mode) and process.is_at_start(fd):
        return fd
    copy = None
    held = bytearray()
    while True:
        try:
            piece = posix.read(fd, 65536)
        except OSError as error:
            raise ReadTrouble(f"unable to read the message: {error.strerror}") from error
        held += piece
        if copy is None and (not piece or len(held) > IN_MEMORY):
            copy = anonymous_file(len(held), directory)
        if copy is not None:
            write(copy, held)
            held = bytearray()
        if not piece:
            process.rewind(copy)
            return copy

