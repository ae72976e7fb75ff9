# SPDX-License-Identifier: MIT
"""The process's environment, memory, signals and descriptors, for itself and the next program."""

import posix
import sys

import _signal      # the signal module itself imports enum, which costs 3 ms

PR_SET_DUMPABLE = 4     # linux/prctl.h
M_ARENA_MAX, ONE_ARENA = -8, 1      # malloc.h
SEEK_SET, SEEK_CUR = 0, 1
MOST_PASSES = 8         # runs of one program, each started by the program that the last executed

ENCODING = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()


def environment():
    """Returns the environment that this process was started with, {str: str} as in os.environ."""
    return {fsdecode(name): fsdecode(value) for name, value in posix.environ.items()}


def passes(environment, mark):
    """Returns how many runs of the same program led to this one, 0 for none.

    environment: {str: str}; mark: the variable that counts them
    All descendants inherit the variable, including a scanner that sends a notice
    of its own.  Only a count distinguishes that from a loop.
    """
    count = environment.get(mark, "")
    return int(count) if count.isdecimal() and len(count) < 4 else 0


def fsencode(text):
    """Encodes an argument, a path or a word of the environment (str), as os.fsencode()."""
    return text.encode(*ENCODING)


def fsdecode(data):
    """Decodes such bytes to str, as os.fsdecode()."""
    return data.decode(*ENCODING)


def keep_memory_private():
    """Forbids core dumps of this process, and reading its memory by anyone but root.

    Called each time before a process gets a private key: the next exec undoes it, and so may
    another user's rights.  Uses prctl(2) of Linux; does nothing elsewhere.
    """
    try:
        from .c_library import Library
        Library(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        pass


def let_threads_share_memory():
    """Lets all threads get their memory from one arena of glibc.

    Each would have one of its own, for which glibc reserves 64 MB of addresses, and
    softlimit -m limits these.  Does nothing elsewhere; musl has no arenas.
    """
    try:
        from .c_library import Library
        Library(None).mallopt(M_ARENA_MAX, ONE_ARENA)
    except (ImportError, OSError, AttributeError):
        pass


def restore_signals(ignored=0):
    """Undoes Python's changes to signals, and the scripts' timer, for the next program.

    Python ignores SIGPIPE and SIGXFSZ; both get their default action.  ignored:
    mask of the signals that stay ignored; bit 0 is signal 1.  Raises OSError.
    """
    _signal.setitimer(_signal.ITIMER_PROF, 0)
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
        if not ignored >> (number - 1) & 1:
            _signal.signal(number, _signal.SIG_DFL)


def takes_longer(seconds, function, *arguments):
    """Calls function(*arguments).  Returns whether it took longer than `seconds` (float).

    After that time, and each time it passes again, SIGALRM interrupts a system call
    in which the function waits: this suits C functions that give up when that
    happens.  The timer is stopped, because the next program would inherit it.
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


def is_link(path):
    """Returns whether a path is a symbolic link, whether or not its target exists."""
    try:
        posix.readlink(path)
    except OSError:
        return False
    return True


def is_at_start(fd):
    """Returns whether the offset of fd is 0.  Raises OSError."""
    return posix.lseek(fd, 0, SEEK_CUR) == 0


def rewind(fd):
    """Sets the offset of fd to 0.  Raises OSError."""
    posix.lseek(fd, 0, SEEK_SET)


def close(*descriptors):
    """Closes the descriptors that are not None; ignores errors, as no caller could act on them."""
    for descriptor in descriptors:
        if descriptor is not None:
            try:
                posix.close(descriptor)
            except OSError:
                pass
