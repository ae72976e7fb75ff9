# SPDX-License-Identifier: MIT
"""Finds our programs' lines in blocks of a log.

A line counts only if it is ours from its start: a time, the host's name if syslog wrote
it, then the program.  Strangers choose much of other programs' lines, and parts of ours;
maillog keeps these parts within one line.  One expression finds all lines of a block,
because a log may have millions, most of them other programs'.
"""

import re

BLOCK = 512 * 1024      # bytes that are read at once
LONGEST = 16 * 1024     # bytes of a line; ours have some 1000 at most

# Times as syslog daemons write them, since 1980 or by RFC 3339, with the host's name behind; and as
# multilog does, or tai64nlocal or svlogd, without.  times.Clock reads them; here they are only
# recognized, fast: branches differ in their first bytes.  busybox's syslogd puts facility and
# level behind the host; of a line of RFC 5424, priority and version are in front.
HOST = rb" [^ \n]+"
RFC_3339 = rb"T[\d:.,+Z-]{9,30}" + HOST
HEAD = (rb"[A-Z][a-z][a-z] [ \d]\d [\d:]{8}" + HOST + rb"(?: [a-z\d]+\.[a-z]+)?"
        rb"|@[\da-f]{24}"
        rb"|\d\d\d\d-\d\d-\d\d(?:" + RFC_3339 + rb"|[ _][\d:.]{9,20})"
        rb"|[<1](?:\d{1,3}>1)? \d{4}-\d\d-\d\d" + RFC_3339)

# What follows the program's name: its process, or nothing, or the fields of RFC 5424.
MARK = (rb"(?:\[\d{1,10}\]: |: "
        rb"| (?:\d{1,10}|-) [^ \n]{1,32} (?:-|(?:\[(?:[^\]\\\n]|\\.)*\])+) "
        rb"(?:\xef\xbb\xbf)? ?)")

SIGNER, RESIDENT_SIGNER, VERIFIER, RESIDENT_VERIFIER = PROGRAMS = (
    b"remote-dk", b"rspawn", b"qfilter-verify", b"dk-verifyd")
DELIVERY = rb"; host=[^\n]*>"
ORIGIN = rb"; client=[^ \n]+ sender=[^ \n]+ message-id=[^ \n]+"
# The usual kinds without what differs from message to message, so that equal ones can be counted
# together; and all others, of which the rest is cut off if it can't be ours, since many are kept.
TEXT = (rb"(?:(?:(signed: [^;\n]{0,2000})" + DELIVERY
        + rb"|qp \d{1,10} ((?:accepted|rejected|deferred): [^\n]{0,2000}); dns \d{1,9}\.\d{3} s"
        rb"(?:(; resident|; no answer)(?: of [^\n]*?)?)?(?:" + ORIGIN + rb")?"
        rb"|[A-K], \d{1,12} bytes, dns \d{1,9}\.\d{3} s; \d{1,9}\.\d{3} s)(?=\n)"
        rb"|([^\n]{1,2000}))")


def expression(head):
    """Returns the compiled expression for a line.  head: that for HEAD and the blank behind it"""
    return re.compile(rb"\n(?:" + head + rb"|)qmail-(" + b"|".join(PROGRAMS) + rb")" + MARK + TEXT)


LINE = expression(b"(?:" + HEAD + b")( )")
TIMED_LINE = expression(b"(" + HEAD + b") ")


def rows(block):
    """Returns our lines of a block, a list of tuples of bytes.

    block: as blocks() yields them
    A tuple has a blank if the line has a time, else nothing; the program, of PROGRAMS; and
    the text in four parts: "signed: " and the signatures; the verdict and the results; the
    words about the resident verifier; or all of another text.  All four are empty for a
    result in that verifier's own log.
    """
    return LINE.findall(block)


def timed_rows(block):
    """Returns the same, with what is before the program in place of the blank: see time_in()."""
    return TIMED_LINE.findall(block)


def first_head(block):
    """Returns what is before the program in the first of our lines in a block, b"" for none."""
    found = TIMED_LINE.search(block)
    return found[1] or b"" if found else b""


def time_in(head):
    """Returns the time in what is before the program, without the host."""
    if head[:1] in (b"<", b"1"):
        head = head.partition(b" ")[2]
    return head[:15] if head[:1].isalpha() else head.partition(b" ")[0] if b"T" in head else head


def blocks(pieces):
    """Yields the whole lines in pieces (bytes) of a log; each block begins with a line end.

    Lines longer than LONGEST are left out.
    """
    left = b"\n"        # of the last line; empty if it is too long
    for piece in pieces:
        end = piece.rfind(b"\n") + 1
        if not end:
            left = left + piece if left and len(left) + len(piece) <= LONGEST else b""
            continue
        start = 0
        if not left:
            start = piece.find(b"\n")
        yield left + piece[start:end]
        left = b"\n" + piece[end:]
        if len(left) > LONGEST:
            left = b""
    if len(left) > 1:
        yield left + b"\n"
