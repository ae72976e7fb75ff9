# SPDX-License-Identifier: MIT
"""A message as qmail's queue stores it: text with LF line ends, a header, a body.

A header field has a name, in lower case without the blanks around it, and its
exact bytes, including folds and the final LF.
"""

import posix
from _io import BytesIO     # io, which Python 3.14 no longer starts with, costs 1 ms

CHUNK = 64 * 1024            # bytes read at a time; fits in the L2 cache
HEADER_LIMIT = 1024 * 1024   # bytes of a header that split() parses
FIELD_LIMIT = 65000          # bytes of a field; OpenDKIM hashes only the first 64 KiB

# RFC 5322 section 3.6.8: printable US-ASCII except the colon.  The semicolon is excluded too,
# because OpenDKIM refuses a whole message for one.
FIELD_NAME = bytes(c for c in range(33, 127) if c not in b":;")

WEEKDAYS = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun",
          b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")

MOST_KNOWN = 10_000     # names that are stored once for all their fields
AT_ONCE = 8192          # fields that are joined in one step: join() takes 80 bytes for each

# Fields of DKIM2 (drafts of the IETF's dkim working group), whose signatures cover all fields
# but a fixed list.  DKIM-Signature and Authentication-Results are on it, DomainKeys' are not.
DKIM2 = (b"dkim2-signature", b"message-instance")

# Bytes that some verifiers take for the end of the text, or for a blank.
DISPUTED = (b"\0", b"\v", b"\f")


class Fields:
    """The fields of a header, in order: a sequence of tuples (name, field), both bytes.

    names, texts: a list of each.  The tuples are not stored, because there may be
    345,000 fields, and tuples would double the memory.
    """

    __slots__ = ("names", "texts")

    def __init__(self, names: "list[bytes]", texts: "list[bytes]"):
        self.names = names
        self.texts = texts

    def __len__(self):
        return len(self.names)

    def __iter__(self):
        return zip(self.names, self.texts)

    def __getitem__(self, index):
        """Returns a field's tuple for an index, Fields for a slice."""
        if isinstance(index, slice):
            return Fields(self.names[index], self.texts[index])
        return self.names[index], self.texts[index]


def in_parts(fields):
    """Yields (index of its first field, part) for each part of AT_ONCE fields or fewer.

    fields: Fields, or a list, as each part then is
    """
    for start in range(0, len(fields), AT_ONCE):
        yield start, fields[start:start + AT_ONCE]


class Header:
    """The header of a message.

    fields: Fields
    flaw: the reason why verifiers may read the header differently, or ""
    body_follows: whether an empty line ends it (False: the message ends first)
    too_long: whether it exceeds HEADER_LIMIT; fields is empty then
    unsound: the indexes of the fields whose name is not sound, see name_of()
    distinct: the set of the fields' names
    """

    __slots__ = ("fields", "flaw", "body_follows", "too_long", "unsound", "distinct",
                 "known_disputed", "known_positions")

    def __init__(self, fields: Fields, flaw: str, body_follows: bool, too_long: bool = False,
                 unsound: "list[int] | tuple[()]" = ()):
        self.fields = fields
        self.flaw = flaw
        self.body_follows = body_follows
        self.too_long = too_long
        self.unsound = unsound
        self.distinct = frozenset(fields.names)
        self.known_disputed: "bool | None" = None
        self.known_positions = {}

    def named(self, name: bytes) -> "list[bytes]":
        """Returns the fields of one name (lower-case bytes), in order."""
        return [self.fields.texts[position] for position in self.positions(name)]

    def positions(self, name: bytes) -> "list[int]":
        """Returns the indexes into fields of the fields of one name (lower-case bytes)."""
        if name not in self.distinct:
            return []
        if name not in self.known_positions:
            self.known_positions[name] = [position for position, found
                                          in enumerate(self.fields.names) if found == name]
        return self.known_positions[name]

    def has_dkim2(self) -> bool:
        """Returns whether the message has DKIM2 fields, so that a DomainKeys field would break
        a signature."""
        return not self.distinct.isdisjoint(DKIM2)

    def is_disputed(self) -> bool:
        """Returns whether some readers find other fields than we do, or another end.

        They may at a line that is no field or has a blank before its colon, and after
        a CR.  The first line may be mbox's separator, which all readers know.
        """
        if self.known_disputed is None:
            texts = self.fields.texts
            self.known_disputed = any(
                index or not is_mbox_separator(texts[0]) for index in self.unsound
            ) or any(map(has_field_after_cr, texts))
        return self.known_disputed


def has_field_after_cr(field):
    """Returns whether readers to whom a CR ends a line find several fields in this one."""
    return b"\r" in field and any(
        line[:1] not in (b" ", b"\t")
        for number, line in enumerate(BytesIO(cr_made_lf(field))) if number)


def is_mbox_separator(field):
    """Returns whether a field is mbox's "From sender Thu Jan  1 00:00:00 1970".

    RFC 4155 appendix A.  All readers recognize it only with a date, and none with ">"
    in front.
    """
    words = field.split()
    if (not field.startswith(b"From ") or len(words) != 7
            or cr_made_lf(field).count(b"\n") != 1):
        return False
    weekday, month, day, time, year = words[2:]
    numbers = [day, *time.split(b":"), year]
    return (weekday in WEEKDAYS and month in MONTHS
            and [len(number) for number in numbers[1:]] == [2, 2, 2, 4] and len(day) < 3
            and all(number.isdigit() for number in numbers))


def cr_made_lf(text):
    """Returns the text with LF for each CR LF and each lone CR."""
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def chunks(fd, start=0, length=None):
    """Yields the bytes of a regular file in chunks of at most CHUNK.  Raises OSError.

    start: offset of the first byte; length: number of bytes, None for all
    Uses pread, because mapped pages would count as resident and the offset must not
    change.  A file that ends before its size raises OSError, because two passes over
    it could otherwise read different messages.
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
    """Returns whether there is a CR in a regular file.  Raises OSError."""
    return any(b"\r" in chunk for chunk in chunks(fd))


def without_cr(text):
    """Yields the chunks of text with LF for every CR LF and every lone CR.

    The flavours of qmail-remote send CRs in two ways, so only a message without CR
    can be signed for both.  Chunks without CR pass through unchanged.
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
    """Splits a message, an iterable of chunks with LF line ends, at the first empty line.

    Returns (Header, iterator over the chunks of the body).  A header longer than
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
            return Header(Fields([], []), flaw, True, too_long=True), iter(())
    return parse_header(block, False), iter(())


def rest(first, text):
    """Yields first, then the chunks of text."""
    if first:
        yield first
    yield from text


def parse_header(block, body_follows):
    """Returns the Header of a block (bytes, LF line ends, no empty line).

    A line that is no header field is stored under the name b"", with the lines that
    continue it, so that nothing is lost; the flaw names the first such line.
    """
    flaw = "the header has a NUL, VT or FF" if any(c in block for c in DISPUTED) else ""
    if block[-1:] not in (b"", b"\n"):
        flaw = flaw or "the message ends within a header line"
    names, texts, unsound = [], [], []
    known = {}          # bytes up to the colon: what name_of() returns
    start = end = 0     # of the field that is being read
    for number, line in enumerate(BytesIO(block), 1):
        if line[0] in b" \t" and names:
            end += len(line)
            continue
        if names:
            texts.append(block[start:end])
        start, end = end, end + len(line)
        before = line[:line.find(b":") + 1]
        found = known.get(before)
        if found is None:
            found = name_of(before[:-1])
            if len(known) < MOST_KNOWN:
                known[before] = found
        name, sound = found
        if not sound:
            flaw = flaw or f"header line {number} is not a header field"
            unsound.append(len(names))
        names.append(name)
    if names:
        texts.append(block[start:])
    if max(map(len, texts), default=0) > FIELD_LIMIT:
        flaw = flaw or f"a header field is longer than {FIELD_LIMIT} bytes"
    return Header(Fields(names, texts), flaw, body_follows, unsound=unsound)


def name_of(before):
    """Returns (a field's name, b"" for none; whether it is sound) for the bytes before its colon.

    A name with blanks before the colon (RFC 5322 section 4.5) is not sound.
    """
    if before and not before.translate(None, FIELD_NAME):
        return before.lower(), True
    name = before.rstrip(b" \t")
    return b"" if name.translate(None, FIELD_NAME) else name.lower(), False


class LongField:
    """A field longer than CHUNK, in a header that is too long; it is not kept in memory.

    name: as in Header; size: in bytes
    """

    __slots__ = ("name", "size")

    def __init__(self, name, size):
        self.name = name
        self.size = size


def long_header(fd):
    """Yields a header that was too long for split() in parts, from the top.

    fd: a regular file.  Each part is a Header with whole fields, of CHUNK bytes at most,
    or a LongField.  Raises OSError.
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
    """Returns the size in bytes of the field that starts at an offset of a regular file."""
    import re       # imported here because few messages need it
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
    """Returns the offset of the last field in a part of a header, 0 if it has only one."""
    end = block.rfind(b"\n", 0, -1)
    while end >= 0 and block[end + 1:end + 2] in (b" ", b"\t"):
        end = block.rfind(b"\n", 0, end)
    return end + 1
