# SPDX-License-Identifier: MIT
"""Warns of changes that relays after this host make, which break the signatures."""

from ..mail.signature_field import LONGEST_LINE

LONG_LINE = (f"a line has more than {LONGEST_LINE} bytes, which Postfix breaks, and the signatures "
             "with it, and Exim refuses; remedy: the program that wrote it must encode it")


class LineWatch:
    """Looks for a line of more than LONGEST_LINE bytes (RFC 5322 section 2.1.1).

    It takes chunks of the body as canonicalization.Body does.
    found: whether there was such a line
    unended: length in bytes of the line at the end of the last chunk
    """

    __slots__ = ("found", "unended")

    def __init__(self):
        self.found = False
        self.unended = 0

    def feed(self, chunk):
        """Takes a chunk, bytes with LF line ends.

        Skips from a line end to the last one that is near enough: some 66 searches in
        64 KB.
        """
        if self.found:
            return
        at, reach = 0, LONGEST_LINE + 1 - self.unended
        while len(chunk) - at >= reach:
            end = chunk.rfind(b"\n", at, at + reach)
            if end < 0:
                self.found = True
                return
            at, reach = end + 1, LONGEST_LINE + 1
        last = max(at, chunk.rfind(b"\n", at) + 1)
        self.unended = len(chunk) - last + (0 if last else self.unended)

    def finish(self):
        pass


def watch(fields):
    """Returns a LineWatch that has read fields (of message.Header), to be fed the body."""
    lines = LineWatch()
    for _, field in fields:
        if len(field) > LONGEST_LINE:
            lines.feed(field)
    return lines


def warnings(fields, names, lines):
    """Returns warnings of what relays will break, a list of str.

    fields: of message.Header
    names: the names in h= of DKIM, list of bytes in any case
    lines: the LineWatch, which has read the message
    """
    found = [LONG_LINE] if lines.found else []
    present = {name for name, _ in fields}
    covered = {name.lower() for name in names}
    missing = [] if b"date" in present else ["Date"]    # required by RFC 5322 section 3.6
    if not present & {b"to", b"cc"}:    # RFC 822 section 4.1 wanted one, so some add To:
        missing.append("To")
    missing = [name for name in missing if name.lower().encode() in covered]
    if missing:
        found.append(
            f"there is no {' and no '.join(missing)} field, and a relay that adds one breaks the "
            "DKIM signature; remedy: let the program that sends write it, or put "
            f"{' '.join('?' + name for name in missing)} into DKIMHEADERS")
    return found
