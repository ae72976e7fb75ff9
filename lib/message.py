# SPDX-License-Identifier: MIT
"""A message as it lies in the queue: text with LF line ends, a header, a body.

A header field is a tuple (name, field): the name in lower case without the
blanks around it, the field with its exact bytes, folds and final LF included.
Tuples, because a hostile message has a hundred thousand of them.
"""

import io
import posix

CHUNK = 64 * 1024            # bytes read at a time: fits the L2 cache
HEADER_LIMIT = 1024 * 1024   # bytes of header that we look at
FIELD_LIMIT = 65000          # bytes of a field: OpenDKIM hashes only the first 64 KiB

# RFC 5322 section 3.6.8: printable US-ASCII except the colon; and the
# semicolon, with which OpenDKIM refuses the whole message.
FIELD_NAME = bytes(c for c in range(33, 127) if c not in b":;")

# Which verifiers take for the end of the text, or for a blank.
DISPUTED = (b"\0", b"\v", b"\f")


class Header:
    """The header of a message.

    fields: list of (name, field), in order
    flaw: why the header is not one that all verifiers read alike, or ""
    body_follows: whether an empty line ends it (False: the message ends first)
    too_long: whether it is over HEADER_LIMIT, so that fields is empty
    """

    __slots__ = ("fields", "flaw", "body_follows", "too_long", "known_disputed")

    def __init__(self, fields, flaw, body_follows, too_long=False):
        self.fields = fields
        self.flaw = flaw
        self.body_follows = body_follows
        self.too_long = too_long
        self.known_disputed = None

    def named(self, name):
        """The fields of one name (lower-case bytes), in order."""
        return [field for field_name, field in self.fields if field_name == name]

    def disputed(self):
        """Index of the first field in which some readers find another, or the header's end.

        At a line that is no field or has a blank before its colon, and behind a
        CR.  That after the last field if there is none.
        """
        if self.known_disputed is None:
            self.known_disputed = first_disputed(self.fields)
        return self.known_disputed


def first_disputed(fields):
    """Header.disputed() of fields."""
    on_top = True
    for index, (name, field) in enumerate(fields):
        if is_disputed(name, field) and not (on_top and is_mbox_separator(field)):
            return index
        on_top = on_top and name == b"received"
    return len(fields)


def is_disputed(name, field):
    """Whether some readers find more in a field than one, or the end of the header."""
    if not name or field[len(name):len(name) + 1] != b":":
        return True
    return b"\r" in field and any(
        line[:1] not in (b" ", b"\t")
        for number, line in enumerate(io.BytesIO(cr_made_lf(field))) if number)


def is_mbox_separator(field):
    """Whether a field is the line that mbox has above a message, which readers know."""
    return field.startswith((b"From ", b">From ")) and cr_made_lf(field).count(b"\n") == 1


def cr_made_lf(text):
    """The text with each CR LF and each lone CR made LF."""
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def chunks(fd, start=0, length=None):
    """Yields the bytes of a regular file, CHUNK at a time.  Raises OSError.

    start: offset of the first; length: how many, None for all
    pread, for mapped pages would count as resident and the offset must stay.
    A file that ends before its size is an error: else two passes over it could
    see different messages.
    """
    end = posix.fstat(fd).st_size if length is None else start + length
    while start < end:
        chunk = posix.pread(fd, min(CHUNK, end - start), start)
        if not chunk:
            import errno
            raise OSError(errno.EIO, "the message ends before the size of its file")
        yield chunk
        start += len(chunk)


def has_cr(fd):
    """Whether there is a CR in a regular file.  Raises OSError."""
    return any(b"\r" in chunk for chunk in chunks(fd))


def without_cr(text):
    """Yields the chunks of text with every CR LF and every lone CR made LF.

    The flavours of qmail-remote put CRs on the wire in two ways, so only a
    message that has none can be signed for both.  Chunks without CR pass
    through as they are.
    """
    held = b""
    for chunk in text:
        if held:
            chunk = held + chunk
        held = b""
        if b"\r" in chunk:
            if chunk.endswith(b"\r"):
                chunk, held = chunk[:-1], b"\r"
            chunk = cr_made_lf(chunk)
        yield chunk
    if held:
        yield b"\n"


def split(text):
    """Splits chunks of LF text at the first empty line.

    -> (Header, iterator over the chunks of the body).  A header longer than
    HEADER_LIMIT is not parsed: its flaw says so, and the body is empty.
    """
    text = iter(text)
    block = b""
    for chunk in text:
        searched = max(len(block) - 1, 0)
        block += chunk
        end = 0 if block.startswith(b"\n") else block.find(b"\n\n", searched) + 1
        if end or block.startswith(b"\n"):
            if end <= HEADER_LIMIT:
                return parse_header(block[:end], True), rest(block[end + 1:], text)
        if len(block) > HEADER_LIMIT:
            flaw = f"the header is longer than {HEADER_LIMIT} bytes"
            return Header([], flaw, True, too_long=True), iter(())
    return parse_header(block, False), iter(())


def rest(first, text):
    """Yields first, then the chunks of text."""
    if first:
        yield first
    yield from text


def parse_header(block, body_follows):
    """Header from its bytes (LF line ends, no empty line).

    A line that is no header field is kept under the name b"", with whatever
    continues it, so that nothing is lost; the flaw names the first such line.
    """
    fields = []
    flaw = "the header has a NUL, VT or FF" if any(c in block for c in DISPUTED) else ""
    if block[-1:] not in (b"", b"\n"):
        flaw = flaw or "the message ends within a header line"
    field_name, parts = b"", []     # of the field that is being read
    names = {}      # each kept once, for there may be 300,000 fields
    for number, line in enumerate(io.BytesIO(block), 1):
        if line[:1] in (b" ", b"\t") and parts:
            parts.append(line)
            continue
        if parts:
            fields.append((field_name, b"".join(parts)))
        name, colon, _ = line.partition(b":")
        if not colon or not name or name.translate(None, FIELD_NAME):
            flaw = flaw or f"header line {number} is not a header field"
            name = name.rstrip(b" \t") if colon else b""
            if name.translate(None, FIELD_NAME):
                name = b""
        name = name.lower()
        field_name, parts = names.setdefault(name, name), [line]
    if parts:
        fields.append((field_name, b"".join(parts)))
    if any(len(field) > FIELD_LIMIT for _, field in fields):
        flaw = flaw or f"a header field is longer than {FIELD_LIMIT} bytes"
    return Header(fields, flaw, body_follows)


class LongField:
    """A field of a header that is too long, itself longer than CHUNK: not kept in memory.

    name: as in Header; size: in bytes
    """

    __slots__ = ("name", "size")

    def __init__(self, name, size):
        self.name = name
        self.size = size


def long_header(fd):
    """Yields the header that was too long for split() in parts, from the top.

    Each is a Header with whole fields, of CHUNK bytes at most, or a LongField.
    """
    start = 0
    size = posix.fstat(fd).st_size
    while True:
        block = b"".join(chunks(fd, start, min(CHUNK, size - start)))
        if block[:1] in (b"", b"\n"):
            return
        end = block.find(b"\n\n") + 1
        if end or start + len(block) == size:
            yield parse_header(block[:end] if end else block, bool(end))
            return
        end = last_field(block)
        if end:
            yield parse_header(block[:end], True)
        else:
            end = field_size(fd, start)
            yield LongField(parse_header(block, True).fields[0][0], end)
        start += end


def field_size(fd, start):
    """How many bytes the field has that starts there."""
    import re       # few messages need it
    line_end = re.compile(rb"\n[^ \t]")
    at, held = start, b""
    for chunk in chunks(fd, start):
        chunk = held + chunk
        found = line_end.search(chunk)
        if found:
            return at + found.start() + 1 - start
        held = chunk[-1:]
        at += len(chunk) - 1
    return at + len(held) - start


def last_field(block):
    """Where the last field starts in a part of a header; 0 if it has only one."""
    end = block.rfind(b"\n", 0, -1)
    while end >= 0 and block[end + 1:end + 2] in (b" ", b"\t"):
        end = block.rfind(b"\n", 0, end)
    return end + 1
