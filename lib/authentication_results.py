# SPDX-License-Identifier: MIT
"""Authentication-Results and DomainKey-Status: writes ours, knows those that pretend to be.

RFC 8601 section 2.2 (syntax), section 5 (removal); RFC 4870 section 3.5.1.
"""

from . import message
from .signature_field import place

NAME = b"authentication-results"
STATUS_NAME = b"domainkey-status"

# RFC 2045 section 5.1
SPECIALS = b'()<>@,;:\\"/[]?='
TOKEN = bytes(c for c in range(0x21, 0x7f) if c not in SPECIALS)
CONTROLS = bytes(range(0x21))
BLANKS = b" \t\r\n"
AFTER_ID = (b"", b" ", b"\t", b"\r", b"\n", b"(", b";")    # or it goes on, for some readers

# Letters that Python's re.IGNORECASE or str.lower() takes for ASCII ones.
LOOK_ALIKES = [(letter.encode(), plain) for letter, plain in (
    ("\N{LATIN SMALL LETTER LONG S}", b"s"), ("\N{LATIN SMALL LETTER DOTLESS I}", b"i"),
    ("\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}", b"i"), ("\N{KELVIN SIGN}", b"k"))]

# What is the end of a line for Python's str.splitlines(), in ASCII and beyond: NEL (in
# Latin-1, too), LS, PS.
LINE_ENDS_TO_LF = bytes.maketrans(b"\r\v\f\x1c\x1d\x1e", b"\n" * 6)
MORE_LINE_ENDS = ("\x85".encode(), "\u2028".encode(), "\u2029".encode(), b"\x85")
NO_NAME = bytes(set(range(256)) - set(message.FIELD_NAME))
NO_START = NO_NAME.replace(b":", b"")

LONGEST_REASON = 200    # characters
LONGEST_NAME = 64       # bytes, of ours with such letters


def field(authserv_id, results):
    """The Authentication-Results field for SignatureResults; bytes, LF line ends.

    authserv_id: bytes
    """
    groups = ([result_words(result) for result in results]
              or [[b"dkim=none"], [b"domainkeys=none"]])
    for words in groups[:-1]:
        words[-1] += b";"
    lines = [b"Authentication-Results: " + value(authserv_id) + b";"]
    for words in groups:
        lines.append(b" ")
        for word in words:
            place(lines, b" " + word)
    return b"\n".join(lines) + b"\n"


def result_words(result):
    """A resinfo of RFC 8601 in words, between which it may be folded."""
    words = [f"{result.protocol}={result.status}".encode("ascii")]
    if result.test_mode:
        words += [b"(test", b"mode)"]
    reason = " ".join(result.reason[:LONGEST_REASON].split()).encode("ascii", "replace")
    if reason:
        words += (b"reason=" + quoted(reason)).split(b" ")
    for name, content in properties(result):
        if content:
            words.append(name.encode("ascii") + b"=" + value(content.encode("ascii", "replace")))
    return words


def properties(result):
    """What says whose signature it is: list of (name, str), as IANA has them for the method.

    RFC 8601 section 2.7.1, RFC 6008; DomainKeys' are d, from and sender.
    """
    if result.protocol == "dkim":
        return [("header.d", result.domain), ("header.s", result.selector),
                ("header.a", result.algorithm), ("header.b", result.signature_start)]
    if result.domain:
        return [("header.d", result.domain)]
    return [("header." + result.sender_field, result.sender_domain)]


def value(content):
    """Bytes as a token where they can be one, else as a quoted string."""
    return quoted(content) if not content or content.translate(None, TOKEN) else content


def quoted(content):
    """Bytes as a quoted string (RFC 5322 section 3.2.4); control characters become ?."""
    content = bytes(c if 0x20 <= c < 0x7f else ord("?") for c in content)
    return b'"' + content.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def status_field(word, test_mode):
    """The DomainKey-Status field; bytes, LF line end."""
    comment = b" (test mode)" if test_mode else b""
    return b"DomainKey-Status: " + word.encode("ascii") + comment + b"\n"


def is_ours(name, content, authserv_id):
    """Whether a field of a message from outside pretends to be ours, bytes all.

    Some readers take a CR, or more, for the end of a line, and so does notqmail
    1.09 when it sends the message on: a field may come to light in another one.
    """
    return pretends(name, content, authserv_id) or any(
        pretends(*hidden, authserv_id) for hidden in hidden_fields(content))


def may_pretend(field, content):
    """Whether a message.LongField could be one of ours for some reader.

    content: its chunks.  What it says under our names is not asked: we write
    none that long.
    """
    if field.name in (NAME, STATUS_NAME):
        return True
    start = b""         # of a line that is no field
    held = b""
    has_line_end = has_name = False
    for chunk in content:
        if not field.name and b":" not in start and len(start) < LONGEST_NAME:
            start += lower(chunk).translate(None, NO_START)
        has_line_end = has_line_end or with_all_line_ends(chunk) != chunk
        text = lower(held + chunk)
        has_name = has_name or NAME in text or STATUS_NAME in text
        held = (held + chunk)[-LONGEST_NAME:]
    return has_line_end and has_name or start.partition(b":")[0] in (NAME, STATUS_NAME)


def hidden_fields(content):
    """The fields that a field has where all that may end a line does; [] without a name of ours.

    Empty lines are left out: a million of them as fields takes seconds, and 100 MB.
    """
    lowered = lower(content)
    if NAME not in lowered and STATUS_NAME not in lowered:
        return []
    lines = with_all_line_ends(content)
    if lines == content:
        return []
    while b"\n\n" in lines:
        lines = lines.replace(b"\n\n", b"\n")
    return message.parse_header(lines, True).fields


def with_all_line_ends(content):
    """The content with LF in the place of all that a reader may take for the end of a line."""
    for line_end in MORE_LINE_ENDS:
        content = content.replace(line_end, b"\n")
    return content.translate(LINE_ENDS_TO_LF)


def pretends(name, content, authserv_id):
    """Whether a field pretends to be ours, by its name and value.

    Readers differ on lines that are no fields (name b""), so these count by
    what stands before their colon, and can be part of a name.
    """
    if not name:
        name = lower(content.partition(b":")[0]).translate(None, NO_NAME)
    if name == NAME:
        return claims(content.partition(b":")[2], authserv_id)
    return name == STATUS_NAME


def claims(content, authserv_id):
    """Whether the value of an Authentication-Results field has our authserv-id.

    In any case, after any comments and folds, as token or quoted string.  Where
    it is not in the grammar, readers differ: then the name anywhere is a claim,
    and so is what may be a name in disguise.
    """
    wanted = authserv_id.lower().rstrip(b".")
    found = claimed_id(content)
    if found is not None:
        return found.lower().rstrip(b".") == wanted
    return is_disguised(content) or any(
        mentions(text.replace(b"\\", b"").lower(), wanted)
        for text in (content, without_comments(content)))


def mentions(text, name):
    """Whether a name is anywhere in the value (bytes, lower case) of a field.

    Microsoft's have no authserv-id but begin with a result, and have other
    domains behind it: there it must stand alone.
    """
    method, equals, _ = text.lstrip(BLANKS).partition(b"=")
    if equals and method and not method.translate(None, TOKEN):
        return name in text.replace(b";", b" ").split()
    return name in text.translate(None, BLANKS)


def is_disguised(content):
    """Whether some readers would decode it: an encoded word (RFC 2047), other letters, a NUL."""
    return (b"=?" in content or not content.isascii()
            or content.translate(None, BLANKS) != content.translate(None, CONTROLS + b"\x7f"))


def lower(text):
    """The text (bytes) in lower case, as readers see it that take it for UTF-8."""
    if not text.isascii():
        for letter, plain in LOOK_ALIKES:
            text = text.replace(letter, plain)
    return text.lower()


def claimed_id(content):
    """The authserv-id of the value of a field; None where it is not in the grammar.

    RFC 8601 section 2.2: then come a version perhaps, and a semicolon; both may be missing.
    """
    at = after_comments(content)
    if at is None or at == len(content):
        return None
    if content[at:at + 1] == b'"':
        found, at = quoted_text(content, at)
    else:
        end = at
        while end < len(content) and content[end] in TOKEN:
            end += 1
        found, at = content[at:end], end
    if not found or content[at:at + 1] not in AFTER_ID:
        return None
    at = after_comments(content, at)
    if at is None:
        return None
    while content[at:at + 1].isdigit():
        at += 1
    at = after_comments(content, at)
    return None if at is None or content[at:at + 1] not in (b"", b";") else found


def without_comments(content):
    """The content without its comments, but for one that does not end."""
    if b"(" not in content:
        return content
    left = bytearray()
    at = depth = opened = 0
    while at < len(content):
        byte = content[at]
        if byte == ord("\\") and depth:
            at += 1
        elif byte == ord("("):
            opened = opened if depth else at
            depth += 1
        elif byte == ord(")") and depth:
            depth -= 1
        elif not depth:
            left.append(byte)
        at += 1
    return bytes(left + content[opened:]) if depth else bytes(left)


def after_comments(content, at=0):
    """The index after the comments and blanks at an index; None if one does not end."""
    depth = 0
    while at < len(content) and (depth or content[at] in b" \t\r\n("):
        byte = content[at:at + 1]
        if byte == b"\\" and depth:
            at += 1
        elif byte == b"(":
            depth += 1
        elif byte == b")":
            depth -= 1
        at += 1
    return None if depth else at


def quoted_text(content, at):
    """-> (text of the quoted string that starts at an index, index after it).

    No text if it does not end, or has what no token may have: no name has any of
    it, and readers end the name there, or leave that out.
    """
    text = bytearray()
    at += 1
    while at < len(content):
        byte = content[at]
        if byte == ord('"'):
            return b"" if text.translate(None, TOKEN) else bytes(text), at + 1
        if byte == ord("\\"):
            at += 1
            byte = content[at] if at < len(content) else ord("\\")
        text.append(byte)
        at += 1
    return b"", at
