# SPDX-License-Identifier: MIT
"""What the process is to the system, and to the next program."""

import posix
import sys

import _signal      # the signal module proper imports enum, which costs 3 ms

PR_SET_DUMPABLE = 4     # linux/prctl.h
SEEK_SET, SEEK_CUR = 0, 1

ENCODING = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()


def environment():
    """The environment that this process was started with, {str: str} as os.environ is."""
    return {fsdecode(name): fsdecode(value) for name, value in posix.environ.items()}


def fsencode(text):
    """The bytes of text (str) from an argument, a path or the environment: os.fsencode()."""
    return text.encode(*ENCODING)


def fsdecode(data):
    """And back: os.fsdecode()."""
    return data.decode(*ENCODING)


def keep_memory_private():
    """No core dump of this process from now on, and nobody but root reads its memory.

    For a process with private keys.  The next exec undoes it.  prctl(2), Linux
    only: elsewhere nothing happens.
    """
    try:
        from .c_library import Library
        Library(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        pass


def restore_signals(ignored=0):
    """For the next program: undoes what Python did, and the scripts' timer.

    Python ignores SIGPIPE and SIGXFSZ.  ignored: mask of the signals that are
    to stay ignored; bit 0 is signal 1.  Raises OSError.
    """
    _signal.setitimer(_signal.ITIMER_PROF, 0)
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
        if not ignored >> (number - 1) & 1:
            _signal.signal(number, _signal.SIG_DFL)


def takes_longer(seconds, function, *arguments):
    """Calls the function -> whether it took longer.

    A system call in which it waits is interrupted then, and every so many
    seconds again: for functions of C that give up by themselves when that
    happens.  No timer is left behind, for the next program would inherit it.
    """
    rung = []
    before = _signal.signal(_signal.SIGALRM, lambda number, frame: rung.append(number))
    _signal.setitimer(_signal.ITIMER_REAL, seconds, seconds)
    try:
        function(*arguments)
    finally:
        _signal.setitimer(_signal.ITIMER_REAL, 0)
        _signal.signal(_signal.SIGALRM, before)
    return bool(rung)


def is_at_start(fd):
    """Whether the offset of fd is 0."""
    return posix.lseek(fd, 0, SEEK_CUR) == 0


def rewind(fd):
    """Makes the offset of fd 0."""
    posix.lseek(fd, 0, SEEK_SET)


def close(*descriptors):
    """Closes those that are not None.  What a file system may say to that is of no use to us."""
    for descriptor in descriptors:
        if descriptor is not None:
            try:
                posix.close(descriptor)
            except OSError:
                pass
