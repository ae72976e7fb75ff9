# SPDX-License-Identifier: MIT
"""How others read Authentication-Results: a strict reader and sloppy ones.

Nothing of lib/ is used.  A filter behind our verifier trusts a field with our
authserv-id, so after the removal none of these may find it.
"""

import email.parser
import email.policy
import re

import authres

NAME = "authentication-results"
PARSER = email.parser.BytesHeaderParser(policy=email.policy.compat32)


def authserv_ids(header):
    """Yields each authserv-id (bytes) that some reader finds in a header (bytes, LF)."""
    for value in values(header):
        yield from (found.encode("utf-8", "surrogateescape")
                    for found in (strict(value), sloppy(value), without_comments(value)) if found)


def values(header):
    """The values of the fields by email.parser, which takes a CR for a line's end,
    and by regular expressions, which do not, or take blanks before the colon."""
    found = [str(value) for name, value in PARSER.parsebytes(header).items()
             if name.lower().strip() == NAME]
    text = header.decode("utf-8", "surrogateescape")
    for line_end in ("\n", "\r\n|\r|\n"):
        unfolded = re.sub(rf"(?:{line_end})(?=[ \t])", "", text)
        for line in re.split(line_end, unfolded):
            match = re.fullmatch(rf"{NAME}[ \t]*:(.*)", line, re.DOTALL | re.IGNORECASE)
            if match:
                found.append(match.group(1))
    return found


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


def without_comments(value):
    """The first word once comments are gone, innermost first."""
    before = None
    while before != value:
        before, value = value, re.sub(r"\([^()]*\)", " ", value)
    return sloppy(value)
