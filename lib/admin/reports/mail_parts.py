# SPDX-License-Identifier: MIT
"""Finds the parts of a message and decodes them, one line after the other.

The message is never in memory, which Python's email package would need several times
over.  Only what leads to an attachment is read: Content-Type and
Content-Transfer-Encoding (RFC 2045), and the boundaries of RFC 2046 section 5.1.
"""

import binascii
import re

from .bounds import LONGEST_HEADER, MOST_MULTIPARTS, MOST_PARTS, Refused

LONGEST_LINE = 64 * 1024    # bytes; a longer one is read in pieces
BLOCK = 48 * 1024           # characters of base64 decoded at a time, a multiple of 4

FOLD = re.compile(rb"\r?\n(?=[ \t])")
FIELD = re.compile(rb"^content-(type|transfer-encoding)[ \t]*:(.*)$", re.I | re.M)
BOUNDARY = re.compile(rb';\s*boundary\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))', re.I)
NOT_BASE64 = bytes(c for c in range(256) if not (chr(c).isascii() and chr(c).isalnum())
                   and c not in b"+/=")


class Parts:
    """The parts of a message that have no parts of their own.

    lines: iterator of the message's lines (bytes), longer ones in pieces of LONGEST_LINE
    """

    def __init__(self, lines):
        self.source = lines
        self.delimiters = set()     # of the multiparts around the present part
        self.stopped_at = None      # the delimiter that ended the present part
        self.count = 0

    def __iter__(self):
        """Yields (media type in lower case, iterator of the decoded content), both of bytes.

        Raises Refused, as the iterators do.
        """
        return self.entity(0)

    def entity(self, depth):
        """Yields the same for the entity that begins here.  depth: multiparts around it"""
        self.count += 1
        if self.count > MOST_PARTS:
            raise Refused(f"a message of more than {MOST_PARTS} parts")
        kind, boundary, encoding = described(self.header())
        if kind.startswith(b"multipart/") and boundary and depth < MOST_MULTIPARTS:
            yield from self.multipart(boundary, depth)
            return
        body = self.lines()
        yield kind, DECODERS.get(encoding, iter)(body)
        skip(body)

    def multipart(self, boundary, depth):
        """Yields the same for the parts between delimiters.  boundary: bytes"""
        opening, closing = b"--" + boundary, b"--" + boundary + b"--"
        self.delimiters |= {opening, closing}
        skip(self.lines())          # the preamble
        while self.stopped_at == opening:
            self.stopped_at = None
            yield from self.entity(depth + 1)
        self.delimiters -= {opening, closing}
        if self.stopped_at == closing:
            self.stopped_at = None
            skip(self.lines())      # the epilogue

    def lines(self):
        """Yields the lines up to the next delimiter, or to the end of the message."""
        if self.stopped_at is not None:
            return
        for line in self.source:
            if line[:2] == b"--" and line.rstrip() in self.delimiters:
                self.stopped_at = line.rstrip()
                return
            yield line

    def header(self):
        """Returns the header that begins here (bytes), without its folds.  Raises Refused."""
        lines, length = [], 0
        for line in self.lines():
            if not line.strip(b"\r\n"):
                break
            lines.append(line)
            length += len(line)
            if length > LONGEST_HEADER:
                raise Refused(f"a header of more than {LONGEST_HEADER >> 10} KiB")
        return FOLD.sub(b"", b"".join(lines))


def described(header):
    """Returns (media type in lower case, boundary or None, transfer encoding) of an entity.

    header: bytes without folds.  The defaults are those of RFC 2045 sections 5.2 and 6.1.
    """
    fields = {name.lower(): value for name, value in reversed(FIELD.findall(header))}
    kind = fields.get(b"type", b"text/plain")
    found = BOUNDARY.search(kind)
    boundary = found and (re.sub(rb"\\(.)", rb"\1", found[1]) if found[1] else found[2])
    encoding = fields.get(b"transfer-encoding", b"7bit").strip().lower()
    return kind.partition(b";")[0].strip().lower(), boundary, encoding


def skip(lines):
    for _ in lines:
        pass


def base64_decoded(lines):
    """Yields the bytes that lines of base64 encode (RFC 2045 section 6.8).  Raises Refused."""
    held = bytearray()
    for line in lines:
        held += line.translate(None, NOT_BASE64)
        if len(held) >= BLOCK:
            cut = len(held) & ~3
            yield from_base64(held[:cut])
            del held[:cut]
    yield from_base64(held)


def from_base64(text):
    try:
        return binascii.a2b_base64(text)
    except binascii.Error as error:
        raise Refused("damaged base64") from error


def quoted_printable_decoded(lines):
    """Yields the bytes that lines of quoted-printable encode (RFC 2045 section 6.7)."""
    return map(binascii.a2b_qp, lines)


DECODERS = {b"base64": base64_decoded, b"quoted-printable": quoted_printable_decoded}
