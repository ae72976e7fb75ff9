# SPDX-License-Identifier: MIT
"""How others read Authentication-Results: a strict reader and sloppy ones.

Nothing of lib/ is used.  A filter behind our verifier trusts a field with our
authserv-id, so after the removal none of these may find it.
"""

import email.errors
import email.parser
import email.policy
import functools
import re

import authres

NAME = re.compile("authentication-results", re.IGNORECASE)
FIELD = re.compile(rf"{NAME.pattern}[ \t]*:(.*)", re.DOTALL | re.IGNORECASE)
PARSER = email.parser.BytesHeaderParser(policy=email.policy.compat32)
HOSTILE = (email.errors.MessageError, AttributeError, LookupError, TypeError, ValueError)
DECODER = email.parser.BytesHeaderParser(policy=email.policy.default)

# (what ends a line, what folds it)
LINE_ENDS = [(re.compile(line_end), re.compile(rf"(?:{line_end})(?=[ \t])"))
             for line_end in ("\n", "\r\n|\r|\n", "\r\n|[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]")]


def authserv_ids(header):
    """Yields each authserv-id (bytes) that some reader finds in a header (bytes, LF)."""
    for value in values(header):
        yield from (found.encode("utf-8", "surrogateescape")
                    for found in (strict(value), sloppy(value), without_comments(value),
                                  closed_up(value)) if found)


def values(header):
    """The values of the fields by email.parser, which takes a CR for a line's end,
    and by regular expressions, which do not, or take blanks before the colon; a set."""
    text = header.decode("utf-8", "surrogateescape")
    if not NAME.search(text):
        return set()
    found = {str(value) for name, value in PARSER.parsebytes(header).items()
             if NAME.fullmatch(name.strip())}
    if b"=?" in header:     # it is slow
        found.update(decoded(header))
    for line_end, fold in LINE_ENDS:
        matches = map(FIELD.fullmatch, line_end.split(fold.sub("", text)))
        found.update(match.group(1) for match in matches if match)
    return found


@functools.lru_cache(maxsize=20000)     # it is slow
def strict(value):
    """By the authres package: RFC 8601's grammar."""
    unfolded = re.sub(r"[\r\n]+", "", value).strip()
    try:
        return authres.AuthenticationResultsHeader.parse(f"Authentication-Results: {unfolded}"
                                                         ).authserv_id
    except (authres.core.AuthResError, ValueError, IndexError, TypeError):
        return None


def sloppy(value):
    """The first word, as a line of a script would take it."""
    words = value.split(";")[0].split()
    return words[0].strip('"') if words else None


def decoded(header):
    """The values with their encoded words decoded; RFC 2047 has none there."""
    try:
        return {str(value) for name, value in DECODER.parsebytes(header).items()
                if NAME.fullmatch(name.strip())}
    except HOSTILE:
        return set()


def without_comments(value, blank=" "):
    """The first word once comments are gone, innermost first."""
    before = None
    while before != value:
        before, value = value, re.sub(r"\([^()]*\)", blank, value)
    return sloppy(value)


def closed_up(value):
    """The same where nothing is left in the place of a comment."""
    return without_comments(value, "")
