# SPDX-License-Identifier: MIT
"""Writes signature header fields as folded tag lists.

RFC 6376 section 3.2 (tag lists), RFC 5322 section 2.1.1 (line lengths).
"""

WIDTH = 78              # columns of a line, if its words allow that
LONGEST_LINE = 998      # bytes that a line must not exceed
LONGEST_FIELD = 16384   # bytes of a field; verifiers refuse longer ones

NAME = b"abcdefghijklmnopqrstuvwxyz0123456789-_."
LONGEST_NAME = 76       # bytes; with its colon and a fold it fits in a line


def folded(name, tags):
    """Returns the field `name: tags` (bytes, LF line ends, without the final one).

    name: bytes; tags: list of (tag, list of words), all bytes
    Inserts folds before tags and between the words of a tag, and nothing else.
    """
    lines = [name + b":"]
    for tag, words in tags:
        pieces = list(words)
        pieces[0] = tag + b"=" + pieces[0]
        if tag != tags[-1][0]:
            pieces[-1] += b";"
        place(lines, b" " + pieces[0])
        for piece in pieces[1:]:
            place(lines, piece)
    return b"\n".join(lines)


def place(lines, piece):
    """Adds piece to the last of lines, or to a new line if it would exceed WIDTH."""
    if len(lines[-1]) + len(piece) <= WIDTH:
        lines[-1] += piece
    else:
        lines.append(b" " + piece.lstrip(b" "))


def can_be_listed(name):
    """Returns whether a field name (bytes, lower case) can be listed in an h= tag."""
    return len(name) <= LONGEST_NAME and not name.translate(None, NAME)


def name_words(names):
    """Returns the words of an h= tag (RFC 6376 section 3.5): each name with its colon."""
    return [name + b":" for name in names[:-1]] + [names[-1]]


def with_value(field, value):
    """Returns field, which ends with an empty b= tag, with value (base64 bytes) there and LF."""
    lines = field.split(b"\n")
    while value:
        room = max(WIDTH - len(lines[-1]), 0)
        lines[-1] += value[:room]
        value = value[room:]
        if value:
            lines.append(b" ")
    return b"\n".join(lines) + b"\n"


def is_sound(field):
    """Returns whether a field is not empty and exceeds neither LONGEST_LINE nor LONGEST_FIELD."""
    return (0 < len(field) <= LONGEST_FIELD
            and all(len(line) <= LONGEST_LINE for line in field.split(b"\n")))
