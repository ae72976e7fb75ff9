# SPDX-License-Identifier: MIT
"""Canonicalization of header fields and bodies, for DKIM and DomainKeys.

Input has LF line ends, output CR LF.  A body is fed in chunks of any size, and its
canonical form goes in pieces to an update function, such as a hash's.  There is no
regular expression and no list of lines, so it is as fast as bytes.replace().  Runs of
blanks and of empty lines are carried across chunk ends as counters.
"""

EMPTY_LINES = b"\r\n" * 4096


def relaxed_field(field):
    """Returns a field (bytes) with its name in lower case, unfolded, runs of blanks made one.

    RFC 6376 section 3.4.2.
    """
    name, _, value = field.partition(b":")
    words = value.replace(b"\n", b" ").replace(b"\t", b" ").split(b" ")
    return name.lower().rstrip(b" \t") + b":" + b" ".join(filter(None, words)) + b"\r\n"


def simple_field(field):
    """Returns one or more fields (bytes) as they are on the wire.

    RFC 6376 section 3.4.1, RFC 4870 section 3.4.2.1.
    """
    return field.replace(b"\n", b"\r\n")


def nofws_fields(fields):
    """Returns fields unfolded and without blanks, RFC 4870 section 3.4.2.2.

    fields: one or more (bytes), as parse_header() splits them: a blank follows each
    LF within a field
    """
    unfolded = fields.replace(b"\n ", b"").replace(b"\n\t", b"")
    return unfolded.translate(None, b" \t\r").replace(b"\n", b"\r\n")


class Body:
    """The canonical form of a body, without trailing empty lines; base class.

    update: function that takes each piece of the canonical body (bytes)
    empty_lines: number of line ends that are held back at the start
    """

    def __init__(self, update, empty_lines=0):
        self.update = update
        self.line_ends = empty_lines    # held back until other text follows
        self.any_text = False           # if there was any, finish() ends the last line

    def feed(self, chunk):
        """Takes the next chunk of the body (bytes, LF line ends)."""
        raise NotImplementedError

    def pass_on(self, text):
        """Passes text on with CR LF line ends, and holds back those at its end."""
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
    """RFC 6376 section 3.4.4: removes blanks at line ends, makes other runs one space."""

    def __init__(self, update):
        super().__init__(update)
        self.blank = False              # a run of blanks was held back

    def feed(self, chunk):
        if b"\t" in chunk:
            chunk = chunk.replace(b"\t", b" ")
        if self.blank:
            chunk = b" " + chunk
        # A search for one byte is ten times as fast as for two; attachments have no blanks.
        if b" " in chunk:
            chunk = self.collapsed(chunk)
        self.pass_on(chunk)

    def collapsed(self, chunk):
        """Returns chunk with runs of spaces made one, without those before LF and at its end."""
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

    The empty line between header and body is fed as the first line, because it is
    ignored too if only empty lines follow.
    """

    def __init__(self, update, separator=True):
        super().__init__(update, empty_lines=1 if separator else 0)

    def feed(self, chunk):
        self.pass_on(chunk)


class NofwsBody(SimpleDomainKeysBody):
    """RFC 4870 section 3.4.2.2: without any blanks."""

    def feed(self, chunk):
        if b" " in chunk or b"\t" in chunk or b"\r" in chunk:
            chunk = chunk.translate(None, b" \t\r")
        self.pass_on(chunk)


FIELD = {"relaxed": relaxed_field, "simple": simple_field}
BODY = {"relaxed": RelaxedBody, "simple": SimpleBody}
DOMAINKEYS_FIELDS = {"simple": simple_field, "nofws": nofws_fields}
DOMAINKEYS_BODY = {"simple": SimpleDomainKeysBody, "nofws": NofwsBody}
