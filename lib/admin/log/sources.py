# SPDX-License-Identifier: MIT
"""Finds the files of a log and reads them, packed ones too."""

import glob
import itertools
import os
import stat
import time
import zlib
from typing import NamedTuple

from ...errors import RequestTrouble
from .lines import BLOCK

INPUT = "-"
SYSLOG = ("/var/log/mail.log", "/var/log/maillog")
CURRENT = "current"     # of multilog, svlogd and s6-log: what is being written
FINISHED = ("@*.s", "@*.u")

GZIP = b"\x1f\x8b"
PACKED = {b"BZh": "bzcat", b"\xfd7zXZ": "xzcat", b"\x28\xb5\x2f\xfd": "zstdcat"}
NOTHING = ("there is no log in the usual places; remedy: name its file or directory, or, of the "
           "journal: journalctl -o short-iso -t qmail-remote-dk -t qmail-rspawn "
           "-t qmail-qfilter-verify | qmail-dk log -")


class Unreadable(Exception):
    """A file can't be read, or not to its end; the text says why."""


class Source(NamedTuple):
    """A file of the log.  fd: descriptor, at its start; written: its last change, since 1970"""
    name: str
    fd: int
    written: float


def usual(directories, since):
    """Returns the paths of the usual places where there is a log, list of str.

    directories: where else there may be one; since: seconds since 1970, or None; if it is
    given, rotated files belong to them.  Raises RequestTrouble if there is none.
    """
    found = []
    for path in SYSLOG:
        rotated = [] if since is None else [*glob.glob(path + ".*"), *glob.glob(path + "-*")]
        found += [*sorted(other for other in rotated if is_after(other, since)),
                  *([path] if os.path.exists(path) else [])]
    found += [path for path in directories if os.path.exists(path)]
    if not found:
        raise RequestTrouble(NOTHING)
    return found


def is_after(path, since):
    """Returns whether a file has been written since some seconds since 1970."""
    try:
        return os.stat(path).st_mtime >= since
    except OSError:
        return False


def files(path):
    """Yields the paths of the files that a path (str) means: itself, or those of a directory.

    The finished files are looked for when the current one has been read, and may be one of
    them then.
    """
    if path == INPUT or not os.path.isdir(path):
        yield path
        return
    yield os.path.join(path, CURRENT)
    for ending in FINISHED:
        yield from sorted(glob.glob(os.path.join(glob.escape(path), ending)))


def opened(path, seen):
    """Returns the Source at a path, or None if it is in seen.  Raises Unreadable.

    seen: set of those that have been read, to which it is added
    """
    if path == INPUT:
        return Source("standard input", os.dup(0), time.time())
    try:
        # O_NONBLOCK, because opening a FIFO would wait for a writer.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        if os.path.basename(path) == CURRENT and os.path.isdir(os.path.dirname(path) or "."):
            raise Unreadable(f"there is no such file, so {os.path.dirname(path) or '.'} is no "
                             "directory of multilog; remedy: name the files") from None
        raise Unreadable("there is no such file") from None
    except OSError as error:
        raise Unreadable(error.strerror) from None
    state = os.fstat(fd)
    identity = state.st_dev, state.st_ino
    if identity in seen or not stat.S_ISREG(state.st_mode):
        os.close(fd)
        if identity in seen:
            return None
        raise Unreadable("it is not a file; remedy: - reads standard input")
    seen.add(identity)
    return Source(path, fd, state.st_mtime)


def pieces(source):
    """Yields the bytes of a Source, unpacked, in pieces; closes it.  Raises Unreadable."""
    with open(source.fd, "rb", buffering=0) as file:
        raw = pieces_of(file)
        start = next(raw, b"")
        for mark, program in PACKED.items():
            if start.startswith(mark):
                raise Unreadable(f"it is packed; remedy: {program} {source.name} | qmail-dk log -")
        chain = itertools.chain([start], raw)
        yield from inflated(chain) if start.startswith(GZIP) else chain


def pieces_of(file):
    """Yields the bytes of a file in pieces.  Raises Unreadable."""
    try:
        yield from iter(lambda: file.read(BLOCK), b"")
    except OSError as error:
        raise Unreadable(error.strerror) from None


def inflated(packed):
    """Yields the bytes in gzip files (RFC 1952), one behind the other.  Raises Unreadable."""
    engine = zlib.decompressobj(zlib.MAX_WBITS | 16)
    for piece in packed:
        while piece:
            if engine.eof:
                piece = piece.lstrip(b"\0")     # as gzip(1) does
                if not piece:
                    break
                engine = zlib.decompressobj(zlib.MAX_WBITS | 16)
            try:
                yield engine.decompress(piece, BLOCK)
            except zlib.error:
                raise Unreadable("it is damaged: the rest is no gzip") from None
            piece = engine.unconsumed_tail or engine.unused_data
    # What zlib still holds, if the limit was reached just at the end of the last piece.
    yield engine.flush()
    if not engine.eof:
        raise Unreadable("it is cut short: the rest is missing")
