# SPDX-License-Identifier: MIT
"""Counts the answers of a day to each sender, in a file that deliveries share."""

import contextlib
import errno
import fcntl
import os

from ..errors import Trouble

MOST_BYTES = 256 * 1024     # of the file: some 8,000 answers a day


class Tally:
    """The answers of one day.

    The file has the day on its first line, then the address of each answer on a line.
    fd: of the file, open for reading and for writing at its end; day: bytes
    Another day empties the file.  Raises OSError.
    """

    def __init__(self, fd, day):
        self.fd = fd
        found, *self.addresses = os.pread(fd, 2 * MOST_BYTES, 0).split(b"\n")
        if found != day:
            os.ftruncate(fd, 0)
            self.addresses = []
            self.append(day)
        self.size = os.fstat(fd).st_size

    def allows(self, address, most):
        """Returns whether an address (bytes) has had fewer than `most` answers.

        Nobody is allowed one once the file is full.
        """
        return self.addresses.count(address) < most and self.size < MOST_BYTES

    @contextlib.contextmanager
    def counted(self, address):
        """A context in which an answer to an address (bytes) is sent.

        It is counted before, since one that can't be counted must not be sent, and no
        longer if the context is left with an exception.  Raises OSError.
        """
        self.append(address)
        try:
            yield
        except BaseException:
            os.ftruncate(self.fd, self.size)
            raise

    def append(self, line):
        """Appends a line (bytes) whole, or not at all, then raises OSError."""
        size = os.fstat(self.fd).st_size
        if os.write(self.fd, line + b"\n") != len(line) + 1:
            os.ftruncate(self.fd, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextlib.contextmanager
def opened(directory, day):
    """A context that gives the Tally of a day (bytes), which no other process has meanwhile.

    directory: path of the file's, made if it is missing.  Raises OSError, and Trouble if
    another process has it.
    """
    os.makedirs(directory, 0o700, exist_ok=True)
    fd = os.open(os.path.join(directory, "answers"),
                 os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        lock(fd)
        yield Tally(fd, day)
    finally:
        os.close(fd)


def lock(fd):
    """Raises Trouble if another process has the file; else nobody has it before fd is closed."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Trouble("another message is being answered: this one waits") from error
