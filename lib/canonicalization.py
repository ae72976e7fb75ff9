# SPDX-License-Identifier: MIT
"""Canonicalization of header fields and bodies, for DKIM and DomainKeys.

Input has LF line ends, output CR LF.  A body goes in by chunks of any size
and comes out by pieces to an update function, such as a hash's: no regular
expression, no list of lines, so that the speed is that of bytes.replace().
Runs of blanks and of empty lines are carried over chunk ends as counters.
"""

EMPTY_LINES = b"\r\n" * 4096


def relaxed_field(field):
    """RFC 6376 section 3.4.2: name in lower case, unfolded, blanks collapsed."""
    name, _, value = field.partition(b":")
    words = value.replace(b"\n", b" ").replace(b"\t", b" ").split(b" ")
    return name.lower().rstrip(b" \t") + b":" + b" ".join(filter(None, words)) + b"\r\n"


def simple_field(field):
    """RFC 6376 section 3.4.1: as it is on the wire."""
    return field.replace(b"\n", b"\r\n")


def nofws_field(field):
    """RFC 4870 section 3.4.2.2: unfolded, without blanks."""
    return field.translate(None, b" \t\r\n") + b"\r\n"


class Body:
    """What the three have in common: trailing empty lines don't count.

    update: takes each piece of the canonical body
    empty_lines: how many lines ends are already held back
    """

    def __init__(self, update, empty_lines=0):
        self.update = update
        self.line_ends = empty_lines    # held back until other text follows
        self.any_text = False           # so that the last line needs its end

    def feed(self, chunk):
        """Takes the next chunk of the body, LF line ends."""
        raise NotImplementedError

    def pass_on(self, text):
        """Passes text on with its line ends made CR LF, but for those at its end."""
        lines = text.rstrip(b"\n")
        if lines:
            self.pass_line_ends(self.line_ends)
            self.update(lines.replace(b"\n", b"\r\n"))
            self.line_ends = 0
            self.any_text = True
        self.line_ends += len(text) - len(lines)

    def pass_line_ends(self, count):
        while count > 0:
            self.update(EMPTY_LINES[:2 * count])
            count -= len(EMPTY_LINES) // 2

    def finish(self):
        """Ends the last line that is not empty; an empty body stays empty."""
        if self.any_text:
            self.update(b"\r\n")


class RelaxedBody(Body):
    """RFC 6376 section 3.4.4: blanks at line ends go, other runs become one space."""

    def __init__(self, update):
        super().__init__(update)
        self.blank = False              # a run of blanks was held back

    def feed(self, chunk):
        if b"\t" in chunk:
            chunk = chunk.replace(b"\t", b" ")
        if self.blank:
            chunk = b" " + chunk
        # A search for one byte is ten times as fast as for two, and attachments have no blanks.
        if b" " in chunk:
            chunk = self.collapsed(chunk)
        self.pass_on(chunk)

    def collapsed(self, chunk):
        """chunk with runs of spaces made one, and without those before LF and at its end."""
        while b"  " in chunk:
            # Halves every run; the first step keeps long runs to a few rounds.
            chunk = chunk.replace(b" " * 16, b" ").replace(b"  ", b" ")
        self.blank = chunk.endswith(b" ")
        if self.blank:
            chunk = chunk[:-1]
        if b" \n" in chunk:
            chunk = chunk.replace(b" \n", b"\n")
        return chunk


class SimpleBody(Body):
    """RFC 6376 section 3.4.3: as it is on the wire; an empty body is one empty line."""

    def feed(self, chunk):
        self.pass_on(chunk)

    def finish(self):
        self.update(b"\r\n")


class SimpleDomainKeysBody(Body):
    """RFC 4870 section 3.4.2.1: as it is on the wire, with the empty line before it.

    That line, between header and body, is the first of its lines, for it does
    not count either if all that follows is empty.
    """

    def __init__(self, update, separator=True):
        super().__init__(update, empty_lines=1 if separator else 0)

    def feed(self, chunk):
        self.pass_on(chunk)


class NofwsBody(SimpleDomainKeysBody):
    """RFC 4870 section 3.4.2.2: no blanks at all."""

    def feed(self, chunk):
        if b" " in chunk or b"\t" in chunk or b"\r" in chunk:
            chunk = chunk.translate(None, b" \t\r")
        self.pass_on(chunk)


FIELD = {"relaxed": relaxed_field, "simple": simple_field}
BODY = {"relaxed": RelaxedBody, "simple": SimpleBody}
DOMAINKEYS_FIELD = {"simple": simple_field, "nofws": nofws_field}
DOMAINKEYS_BODY = {"simple": SimpleDomainKeysBody, "nofws": NofwsBody}
