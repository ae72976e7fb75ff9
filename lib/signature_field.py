# SPDX-License-Identifier: MIT
"""Writes signature header fields: tag lists, folded.

RFC 6376 section 3.2 (tag lists), RFC 5322 section 2.1.1 (line lengths).
"""

WIDTH = 78              # columns of a line, where its words allow it
LONGEST_LINE = 998      # bytes, that no line may pass
LONGEST_FIELD = 16384   # bytes of a field: longer ones verifiers refuse


def folded(name, tags):
    """The field `name: tags`, LF line ends, without the final one; bytes.

    tags: list of (tag, words), both bytes; a fold may stand before a tag and
    between two words of it, nothing else is ever inserted.
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
    """Adds piece to the last of lines, or to a new one where it would pass WIDTH."""
    if len(lines[-1]) + len(piece) <= WIDTH:
        lines[-1] += piece
    else:
        lines.append(b" " + piece.lstrip(b" "))


def name_words(names):
    """The words of an h= tag: each name with the colon that follows it."""
    return [name + b":" for name in names[:-1]] + [names[-1]]


def with_value(field, value):
    """field, which ends with an empty b= tag, with value (base64 bytes) in it, and LF."""
    lines = field.split(b"\n")
    while value:
        room = max(WIDTH - len(lines[-1]), 0)
        lines[-1] += value[:room]
        value = value[room:]
        if value:
            lines.append(b" ")
    return b"\n".join(lines) + b"\n"


def is_sound(field):
    """Whether there is a field and keeps within LONGEST_LINE and LONGEST_FIELD."""
    return (0 < len(field) <= LONGEST_FIELD
            and all(len(line) <= LONGEST_LINE for line in field.split(b"\n")))
