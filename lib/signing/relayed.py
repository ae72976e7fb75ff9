# SPDX-License-Identifier: MIT
"""Warns of what makes signatures fail after this host: relays' changes, verifiers' own rules."""

from ..mail.signature_field import LONGEST_LINE

LONG_LINE = (f"a line has more than {LONGEST_LINE} bytes, which Postfix breaks, and the signatures "
             "with it, and Exim refuses; remedy: the program that wrote it must encode it")

# rspamd takes a DKIM signature for wrong if one of these is covered and stands twice; RFC 5322
# section 3.6 allows one of each.
UNIQUE = (b"To", b"Cc", b"Subject", b"Message-ID")


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


def warnings(header, names, lines):
    """Returns warnings of what will make the signatures fail, a list of str.

    header: message.Header
    names: the names in h= of DKIM, list of bytes in any case; none if DKIM does not sign
    lines: the LineWatch, which has read the message
    """
    found = [LONG_LINE] if lines.found else []
    present = [name for name, _ in header.fields]
    covered = {name.lower() for name in names}
    found += missing_fields(set(present), covered)
    repeated = [name for name in UNIQUE
                if name.lower() in covered and present.count(name.lower()) > 1]
    if repeated:
        found.append(
            f"there are two {' and two '.join(name.decode() for name in repeated)} fields, and "
            "rspamd counts the DKIM signature as wrong; remedy: the program that sends must "
            "write one (RFC 5322 section 3.6)")
    if not covered and any(field.count(b"\n") > 1 for field in sending_address_fields(header)):
        found.append(
            "the field with the sending address is folded, and Mail::DKIM and SpamAssassin refuse "
            "the DomainKeys signature, which is the only one; remedy: sign with DKIM, too "
            "(DKPROTOCOLS), or let the program that sends write that field on one line")
    return found


def sending_address_fields(header):
    """Returns the fields that may have the sending address (RFC 4870 section 3.1), bytes."""
    return header.named(b"sender") or header.named(b"from")


def missing_fields(present, covered):
    """Returns a list with the warning that covered fields are missing, if any are.

    present: names of fields; covered: names in h= of DKIM; sets of bytes in lower case
    """
    missing = [] if b"date" in present else ["Date"]    # required by RFC 5322 section 3.6
    if not present & {b"to", b"cc"}:    # RFC 822 section 4.1 wanted one, so some add To:
        missing.append("To")
    missing = [name for name in missing if name.lower().encode() in covered]
    if not missing:
        return []
    return [f"there is no {' and no '.join(missing)} field, and a relay that adds one breaks the "
            "DKIM signature; remedy: let the program that sends write it, or put "
            f"{' '.join('?' + name for name in missing)} into DKIMHEADERS"]
