# SPDX-License-Identifier: MIT
"""Unpacks the XML in a gzip or zip file while it is read.

Nothing is written to disk, no name in a file is used, and a bomb is noticed at the
limit, whatever size it claims.  Python's zipfile needs the whole file, and holds the
whole directory at its end in memory.
"""

import itertools
import struct
import zlib

from .bounds import CHUNK, Refused

GZIP = b"\x1f\x8b"              # RFC 1952 section 2.3.1
ZIP = b"PK\3\4"                 # APPNOTE.TXT section 4.3.7: a local file header
DESCRIPTOR = b"PK\7\x08"        # section 4.3.9: may begin the data descriptor
LOCAL_HEADER = struct.Struct("<4s3H4x3I2H")
LONGEST_DESCRIPTOR = 24         # bytes, with its signature
ENCRYPTED, SIZES_FOLLOW = 1, 8  # bits of the flags, section 4.4.4
STORED, DEFLATED = 0, 8         # methods, section 4.4.5
UNKNOWN = 0xffffffff            # a size that is in an extension

XML_STARTS = (b"<", b"\xef\xbb\xbf<", b"\xff\xfe<\0", b"\xfe\xff\0<")
LONGEST_START = 64              # bytes in which XML must begin


def is_document(start):
    """Returns whether a file that starts with these bytes is gzip, zip or XML."""
    return (start.startswith((GZIP, ZIP))
            or start[:LONGEST_START].lstrip(b" \t\r\n").startswith(XML_STARTS))


def document(pieces):
    """Returns the XML in a file as an iterator of bytes, None unless is_document().

    pieces: iterator of the file's bytes.  Raises Refused, as the iterator does.
    """
    stream = Stream(pieces)
    start = stream.peek(LONGEST_START)
    if start.startswith(GZIP):
        return inflated(stream, zlib.MAX_WBITS | 16)
    if start.startswith(ZIP):
        return unzipped(stream)
    return stream.pieces() if is_document(start) else None


class Stream:
    """Bytes that arrive in pieces.  held: those that come before the source's"""

    def __init__(self, source):
        self.source = iter(source)
        self.held = b""

    def peek(self, length):
        """Returns the next bytes without taking them; fewer than length at the end."""
        while len(self.held) < length:
            piece = next(self.source, None)
            if piece is None:
                break
            self.held += piece
        return self.held[:length]

    def take(self, length):
        """Returns the next bytes.  Raises Refused if there are fewer than length."""
        found = self.peek(length)
        if len(found) < length:
            raise Refused("a file that ends too early")
        self.held = self.held[length:]
        return found

    def pieces(self):
        """Yields what is left."""
        held, self.held = self.held, b""
        return itertools.chain([held], self.source)


def inflated(stream, format_of_zlib):
    """Yields the inflated bytes of a Stream, which is left behind them.  Raises Refused.

    format_of_zlib: as in zlib.decompressobj(), which checks gzip's checksum
    """
    engine = zlib.decompressobj(format_of_zlib)
    for piece in stream.pieces():
        while True:
            try:
                found = engine.decompress(piece, CHUNK)
            except zlib.error as error:
                raise Refused("a damaged gzip or zip file") from error
            piece = engine.unconsumed_tail
            if found:
                yield found
            if engine.eof:
                stream.held = engine.unused_data
                return
            if not piece and len(found) < CHUNK:
                break
    raise Refused("a file that ends too early")


def unzipped(stream):
    """Yields the bytes of the one file in a zip file.  Raises Refused."""
    _, _, flags, method, checksum, size, _, name, extra = LOCAL_HEADER.unpack(
        stream.take(LOCAL_HEADER.size))
    require_plain(stream.take(name))
    stream.take(extra)
    if flags & ENCRYPTED or method not in (STORED, DEFLATED):
        raise Refused("a zip file that is encrypted or packed in an unusual way")
    if method == DEFLATED:
        found = inflated(stream, -zlib.MAX_WBITS)
    elif flags & SIZES_FOLLOW or size == UNKNOWN:
        raise Refused("a zip file that does not say how long its content is")
    else:
        found = stored(stream, size)
    computed = 0
    for piece in found:
        computed = zlib.crc32(piece, computed)
        yield piece
    after = stream.peek(LONGEST_DESCRIPTOR + len(ZIP))
    if flags & SIZES_FOLLOW:
        checksum, = struct.unpack("<I", after.removeprefix(DESCRIPTOR)[:4].ljust(4, b"\0"))
    if computed != checksum:
        raise Refused("a damaged zip file")
    if ZIP in after:
        raise Refused("a zip file of more than one file; remedy: unpack it, and add what is in it")


def stored(stream, size):
    """Yields the next bytes of a Stream in pieces.  Raises Refused if there are too few."""
    while size:
        piece = stream.take(min(size, CHUNK))
        size -= len(piece)
        yield piece


def require_plain(name):
    """Raises Refused for a name (bytes) that leads to another directory.

    No name is used here, but receivers send none like that.
    """
    if b"/" in name or b"\\" in name or b"\0" in name or name == b"..":
        raise Refused("a zip file with a path instead of a file's name")
