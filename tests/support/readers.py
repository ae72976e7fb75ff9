# SPDX-License-Identifier: MIT
"""Reads Authentication-Results as others do: a strict reader, sloppy ones, two real ones.

Uses nothing of lib/.  A filter after our verifier trusts a field with our
authserv-id, so none of these readers may find one that was to be removed (RFC 8601
section 5).
"""

import email.errors
import email.parser
import email.policy
import functools
import os
import re
import subprocess
import zlib

import authres

from tests.support import opendmarc

NAME = re.compile("authentication-results", re.IGNORECASE)
FIELD = re.compile(rf"{NAME.pattern}[ \t]*:(.*)", re.DOTALL | re.IGNORECASE)
PARSER = email.parser.BytesHeaderParser(policy=email.policy.compat32)
HOSTILE = (email.errors.MessageError, AttributeError, LookupError, TypeError, ValueError)
DECODER = email.parser.BytesHeaderParser(policy=email.policy.default)

# (expression for the end of a line, expression for a fold)
LINE_ENDS = [(re.compile(line_end), re.compile(rf"(?:{line_end})(?=[ \t])"))
             for line_end in ("\n", "\r\n|\r|\n", "\r\n|[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]")]


def authserv_ids(header):
    """Yields each authserv-id (bytes) that some reader finds in a header (bytes, LF)."""
    for value in values(header):
        yield from (found.encode("utf-8", "surrogateescape")
                    for found in (strict(value), sloppy(value), without_comments(value),
                                  closed_up(value)) if found)


def values(header):
    """Returns the set of values of the fields, str.

    Reads them with email.parser, to which a CR ends a line, and with regular
    expressions to which it does not, or which accept blanks before the colon.
    """
    text = header.decode("utf-8", "surrogateescape")
    if not NAME.search(text):
        return set()
    found = {str(value) for name, value in PARSER.parsebytes(header).items()
             if NAME.fullmatch(name.strip())}
    if b"=?" in header:     # decoding is slow
        found.update(decoded(header))
    for line_end, fold in LINE_ENDS:
        matches = map(FIELD.fullmatch, line_end.split(fold.sub("", text)))
        found.update(match.group(1) for match in matches if match)
    return found


@functools.lru_cache(maxsize=20000)     # authres is slow
def strict(value):
    """Returns the authserv-id by the authres package (RFC 8601 section 2.2), or None."""
    unfolded = re.sub(r"[\r\n]+", "", value).strip()
    try:
        return authres.AuthenticationResultsHeader.parse(f"Authentication-Results: {unfolded}"
                                                         ).authserv_id
    except (authres.core.AuthResError, ValueError, IndexError, TypeError):
        return None


def sloppy(value):
    """Returns the first word, as a script would find it, or None."""
    words = value.split(";")[0].split()
    return words[0].strip('"') if words else None


def decoded(header):
    """Returns the values with encoded words decoded, though RFC 2047 allows none there."""
    try:
        return {str(value) for name, value in DECODER.parsebytes(header).items()
                if NAME.fullmatch(name.strip())}
    except HOSTILE:
        return set()


def without_comments(value, blank=" "):
    """Returns the first word after the comments are removed, innermost first."""
    before = None
    while before != value:
        before, value = value, re.sub(r"\([^()]*\)", blank, value)
    return sloppy(value)


def closed_up(value):
    """Does the same, but puts no blank in the place of a comment."""
    return without_comments(value, "")


PERL_SCRIPT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "perl",
                           "authserv_ids.pl")


class MailAuthenticationResults:
    """Perl's Mail::AuthenticationResults, in a process that runs as long as this one."""

    package = "libmail-authenticationresults-perl"

    def __init__(self):
        self.process = subprocess.Popen(["perl", PERL_SCRIPT], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    @staticmethod
    def is_installed():
        try:
            return not subprocess.run(["perl", "-MMail::AuthenticationResults::Parser", "-e1"],
                                      stderr=subprocess.DEVNULL).returncode
        except FileNotFoundError:
            return False

    def finds(self, value, name):
        """Returns whether it reads a name (lower case) in a field with a value; both bytes."""
        self.process.stdin.write(value.hex().encode() + b"\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer.endswith(b"\n"), "it has ended"
        return bytes.fromhex(answer.decode()).lower() == name


class OpenDmarc:
    """OpenDMARC, with a milter for each name."""

    package = "opendmarc"

    def __init__(self):
        self.milters = {}

    @staticmethod
    def is_installed():
        return opendmarc.path() is not None

    def finds(self, value, name):
        """As above, but only if the field has a DKIM result with header.d."""
        milter = self.milters.get(name)
        if milter is None or milter.asked >= opendmarc.MOST_QUESTIONS:
            if milter is not None:
                milter.end()
            milter = self.milters[name] = opendmarc.OpenDmarc(name.decode())
        return milter.takes_for_its_own(value)


JUDGES = (MailAuthenticationResults, OpenDmarc)


@functools.lru_cache(maxsize=None)
def judges(process):
    """Starts those of JUDGES that are installed.  process: os.getpid(), whose they are"""
    return [judge() for judge in JUDGES if judge.is_installed()]


def missing():
    """Returns the Debian packages of those that are not installed."""
    return [judge.package for judge in JUDGES if not judge.is_installed()]


def finders(header, name):
    """Returns the set of judges, by name, that find a name (lower case) in a header.

    header, name: bytes.  A question takes a judge 0.1 to 0.5 ms.  Neither judge
    decodes anything: it copies the authserv-id from the field byte by byte, in order.
    So it can't find the name in a field without the letters of the name in their
    order, even with others between them.  The judges are asked about one in a
    thousand of these fields all the same, to check this reasoning.
    """
    found = set()
    for value in values(header):
        value = value.encode("utf-8", "surrogateescape")
        if letters_follow(value.lower(), name) or not zlib.crc32(value) % 1000:
            found.update(type(judge).__name__ for judge in judges(os.getpid())
                         if judge.finds(value, name))
    return found


def letters_follow(text, name):
    """Returns whether a text contains all bytes of a name, in their order."""
    at = -1
    for byte in name:
        at = text.find(byte, at + 1)
        if at < 0:
            return False
    return True
