# SPDX-License-Identifier: MIT
"""Finds the author's domain in From:, even if the field is not in the grammar.

Display names often lack the quotes that they need: `Example, Inc. <a@b.c>`,
`Smith, John <a@b.c>`.  Readers differ on how many addresses are there, but all of
them find one domain.  If readers find different domains, there is no author.
"""

from . import address

MOST_READINGS = 8       # domains of one message for which a key is looked up
# Bytes at which some reader ends a domain.
ENDS = b'<>()[],;:"\\' + address.BLANKS
ENDS_MADE_BLANKS = bytes(32 if c in ENDS else c for c in range(256))
LONGEST_READING = 1000  # bytes after an @
PRINTABLE = bytes(c for c in range(32, 256) if c != 127) + address.BLANKS


def author_domain(header):
    """Returns the domain (bytes, lower case) of the only author in the only From:, else None."""
    found = author_domains(header)
    return found[0] if len(found) == 1 else None


def author_domains(header):
    """Returns the domain (bytes, lower case) of each author in the only From:, else []."""
    fields = header.named(b"from")
    return domains(fields[0].partition(b":")[2]) if len(fields) == 1 else []


def domains(value):
    """Returns the domain of each mailbox in an address field's value, as address.domains().

    For a value that is not in the grammar, returns the one domain that all readers
    find, else [].
    """
    found = address.domains(value)
    if found:
        return found
    try:
        return [only_domain(value)]
    except address.NotAnAddress:
        return []


def only_domain(value):
    """Returns the domain of `name <local-part@domain>`; the name is free text.

    One @ excludes a second address, and one pair of < > settles where the address is.
    Without a colon there is no group and no route, without "=?" nothing to decode.
    Comments, quoted strings and literals must end, and only one kind of them may
    occur, because readers differ on their nesting.  Raises NotAnAddress.
    """
    if (any(value.count(byte) != 1 for byte in (b"@", b"<", b">"))
            or b":" in value or b"=?" in value or value.translate(None, PRINTABLE)
            or sum(byte in value for byte in (b'"', b"(", b"[", b"\\")) > 1):
        raise address.NotAnAddress
    plain = b"".join(address.significant(value))
    if b"<" not in plain or not plain.endswith(b">"):
        raise address.NotAnAddress
    addr_spec = value.partition(b"<")[2].partition(b">")[0]
    return address.addr_spec_domain(address.tokenize(addr_spec))


def possible_domains(header):
    """Returns the domains that some reader may take for the author's: the text after each @.

    header: message.Header.  A list of bytes in lower case, in order, each once,
    MOST_READINGS at most.
    """
    found = {}
    for field in header.named(b"from"):
        for text in field.lower().translate(ENDS_MADE_BLANKS).split(b"@")[1:]:
            domain = text[:LONGEST_READING].lstrip(b" ").partition(b" ")[0].rstrip(b".")
            if domain and not domain.translate(None, address.OF_A_NAME):
                found[domain] = None
            if len(found) == MOST_READINGS:
                return list(found)
    return list(found)


def author_flaw(header):
    """Returns the reason (str) why verifiers refuse a message for its From: fields, or "".

    RFC 6376 section 5.4: From: must be signed.  OpenDKIM refuses the message, signed
    or not, if it finds no address there.
    """
    fields = header.named(b"from")
    if not fields:
        return "there is no From: field"
    if not all(has_address(field.partition(b":")[2]) for field in fields):
        return "not every reader finds an address in From:"
    return ""


def has_address(value):
    """Returns whether lenient readers find an address in a field's value.

    Is no more lenient than OpenDKIM, which gives up too if a comment, a quoted string
    or a literal that starts before the address's end does not end.
    """
    try:
        found = loose_address(address.significant(value))
    except address.NotAnAddress:
        return False
    return b"@" in found and not found.endswith(b"@")


def loose_address(characters):
    """Returns the text between the first < >, else the first list element that has an @.

    characters: iterator, as from address.significant()
    """
    element = bytearray()
    for character in characters:
        if character == b"<":
            return up_to_closing_angle(characters)
        if character in b",;:":
            if b"@" in element:
                return element if character != b":" else b""
            element.clear()     # a part of a name, or of a group's name
        else:
            element += character
    return element


def up_to_closing_angle(characters):
    """Returns the text before the next >, without a route (RFC 5322 section 4.4)."""
    found = bytearray()
    for character in characters:
        if character == b">":
            break
        if character in b",:":
            found.clear()
        else:
            found += character
    return found
