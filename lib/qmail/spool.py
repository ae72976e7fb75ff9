# SPDX-License-Identifier: MIT
"""Anonymous files for the message that is handed on to the next program.

A small message is kept in memory, a large one on disk, because the next program keeps
it open as long as the remote side is slow.  Neither file has a name, so nothing is left
behind.  A pipe would be unsafe: if its writer died at the end of a line, qmail-remote
would send a truncated message and report success.
"""

import _stat as stat       # the half in C; stat itself adds one in Python
import posix

from .. import process
from ..errors import ReadTrouble, SpoolTrouble

IN_MEMORY = 1024 * 1024     # bytes; a larger message goes to disk
DIRECTORIES = ("/var/tmp", "/tmp")


def anonymous_file(size, directory=None):
    """Returns the descriptor of an open, empty file without a name, for about size bytes.

    directory: function that returns the directory for large files, such as
    Settings.temporary_directory; it is called only for those, so that an error in that
    setting affects no other mail.  Without it, or if it returns None, the first usable
    one of DIRECTORIES is taken.  Raises SpoolTrouble if there is none.
    """
    if size <= IN_MEMORY and hasattr(posix, "memfd_create"):
        try:
            fd = posix.memfd_create("message", posix.MFD_CLOEXEC)
            posix.fchmod(fd, 0o600)     # as on disk; a receiver could reopen it to write otherwise
            return fd
        except OSError:
            pass    # the kernel lacks it or a limit is reached: use the disk
    errors = []
    wanted = directory() if directory else None
    for place in (wanted,) if wanted else DIRECTORIES:
        try:
            return unlinked_file(place)
        except OSError as error:
            errors.append((place, error))
    reasons = "; ".join(f"{place}: {error.strerror}" for place, error in errors)
    raise SpoolTrouble(f"no place for a copy of the message: {reasons}; remedy: "
                       + remedy(errors[0][1].errno)) from errors[0][1]


def unlinked_file(directory):
    """Returns the descriptor of an open file without a name in directory.  Raises OSError."""
    if hasattr(posix, "O_TMPFILE"):
        try:
            return posix.open(directory, posix.O_TMPFILE | posix.O_RDWR | posix.O_CLOEXEC, 0o600)
        except OSError:
            pass    # many file systems lack it, and report that by different errors
    path = f"{directory}/qmail-dk.{posix.urandom(16).hex()}"
    fd = posix.open(path, posix.O_CREAT | posix.O_EXCL | posix.O_RDWR | posix.O_CLOEXEC, 0o600)
    try:
        posix.unlink(path)
    except OSError:
        posix.close(fd)
        raise
    return fd


def write(fd, data):
    """Writes all of data (bytes).  Raises SpoolTrouble, for instance if the disk is full."""
    view = memoryview(data)
    while view:
        try:
            view = view[posix.write(fd, view):]
        except OSError as error:
            raise SpoolTrouble(
                f"unable to write a copy of the message{place_of(fd)}: {error.strerror}; remedy: "
                + remedy(error.errno)) from error


def place_of(fd):
    """Returns " in DIRECTORY" of an open file, or "" if the system does not show it (not Linux)."""
    try:
        path = posix.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""
    return " in memory" if path.startswith("/memfd:") else f" in {path.rpartition('/')[0] or '/'}"


def remedy(number):
    """Returns the remedy (str) for an error (errno) in writing a copy of a message."""
    import errno
    if number == errno.EFBIG:
        return "raise the limit on the size of files (ulimit -f, softlimit -f)"
    if number in (errno.EMFILE, errno.ENFILE):
        return "raise the limit on open files (ulimit -n, softlimit -o)"
    if number == errno.ENOMEM:
        return "more memory, or a higher limit (softlimit -m)"
    if number in (errno.ENOSPC, errno.EDQUOT):
        return "make room there, or let TMPDIR name another directory"
    return "let qmail's users write there, or let TMPDIR name another directory"


def write_all(fd, text):
    """Writes the chunks of text (iterable).  Raises SpoolTrouble, and all that text raises."""
    for chunk in text:
        write(fd, chunk)


def from_start(fd, directory=None, what="message"):
    """Returns a descriptor of a file whose offset 0 is the start of the message on fd.

    This is fd itself if it is a regular file at its start.  For others, such as a pipe or
    a file that was read in part, it is a copy of the remaining bytes.  directory: as in
    anonymous_file(); what: its name in an error.  Raises OSError, ReadTrouble, SpoolTrouble.
    """
    if stat.S_ISREG(posix.fstat(fd).st_mode) and process.is_at_start(fd):
        return fd
    copy = None
    held = bytearray()
    while True:
        try:
            piece = posix.read(fd, 65536)
        except OSError as error:
            raise ReadTrouble(f"unable to read the {what}: {error.strerror}") from error
        held += piece
        if copy is None and (not piece or len(held) > IN_MEMORY):
            copy = anonymous_file(len(held), directory)
        if copy is not None:
            write(copy, held)
            held = bytearray()
        if not piece:
            process.rewind(copy)
            return copy

