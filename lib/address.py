# SPDX-License-Identifier: MIT
"""Whose mail is it?  The domains in From: and Sender:, parsed strictly.

A signature says "this domain answers for the message", so a field that two
readers could take for two domains gives none at all.  The grammar is that of
RFC 5322 section 3.4 with the obsolete forms of section 4.4 (routes, comments
and folds between the parts of an address).
"""

SPECIALS = b'()<>[]:;@\\,."'
ATOM = bytes(c for c in range(33, 256) if c != 127 and c not in SPECIALS)
BLANKS = b" \t\r\n"
CLOSING = {b'"': b'"', b"[": b"]"}     # what a quoted string and a literal end with

LETTERS_DIGITS_HYPHEN = b"abcdefghijklmnopqrstuvwxyz0123456789-"


class NotAnAddress(Exception):
    """The text is not in the grammar.  Does not leave this module."""


def author_domain(header):
    """The domain (bytes, lower case) of the one mailbox of the one From:, else None."""
    return only_domain(header.named(b"from"))


def author_flaw(header):
    """Why verifiers refuse a message for its From: fields, or "".

    RFC 6376 section 5.4: From: must be signed.  OpenDKIM refuses the message,
    signed or not, where it finds no address there.
    """
    fields = header.named(b"from")
    if not fields:
        return "there is no From: field"
    if not all(has_address(field.partition(b":")[2]) for field in fields):
        return "not every reader finds an address in From:"
    return ""


def has_address(value):
    """Whether lenient readers find an address in a field's value, in the grammar or not.

    No more lenient than OpenDKIM, which also gives up where a comment, a quoted
    string or a literal in front of the address's end does not end.
    """
    try:
        address = loose_address(significant(value))
    except NotAnAddress:
        return False
    return b"@" in address and not address.endswith(b"@")


def loose_address(characters):
    """What is between the first < >, else the first list element with an @; bytes."""
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
    """What is in front of the next >, behind any route; bytes."""
    address = bytearray()
    for character in characters:
        if character == b">":
            break
        if character in b",:":
            address.clear()
        else:
            address += character
    return address


def significant(value):
    """Yields the characters of a field's value without blanks and comments.

    Quoted strings and literals count as one letter.  Raises NotAnAddress where
    one of them or a comment does not end.
    """
    at = 0
    while at < len(value):
        byte = value[at:at + 1]
        if byte == b"(":
            at = after_comment(value, at)
        elif byte in CLOSING:
            at = after_quoted(value, at, CLOSING[byte])
            yield b"x"
        else:
            at += 1
            if byte not in BLANKS:
                yield byte


def sending_domain(header):
    """The domain of DomainKeys' sending address (RFC 4870 section 3.1): Sender:, else From:.

    Bytes in lower case, or None where the field occurs twice or is ambiguous.
    """
    return only_domain(header.named(b"sender") or header.named(b"from"))


def only_domain(fields):
    """The domain of the only address in the only one of fields, else None."""
    if len(fields) != 1:
        return None
    found = domains(fields[0].partition(b":")[2])
    return found[0] if len(found) == 1 else None


def domains(value):
    """The domain of each mailbox in the value of an address field, in lower case.

    [] where any part of the value is not in the grammar, and where it has a
    group: RFC 6854 allows them in From:, no two readers agree on their author.
    A domain literal is given as it is; it never passes is_domain().
    """
    try:
        tokens = tokenize(value)
        return [mailbox_domain(mailbox) for mailbox in separate(tokens)]
    except NotAnAddress:
        return []


def first_mailbox(value):
    """-> (local part, domain in lower case) of the first mailbox in a field's value.

    The sending address of RFC 4870 section 3.1.  None where any part of the
    value is not in the grammar.
    """
    try:
        mailboxes = separate(tokenize(value))
        if not mailboxes:
            return None
        tokens = addr_spec(mailboxes[0])
        domain = addr_spec_domain(tokens)
    except NotAnAddress:
        return None
    at = tokens.index((b"@", b"@"))
    return b"".join(text for _, text in tokens[:at]), domain


def is_domain(domain):
    """Whether bytes are a domain that can have a key: and that can be part of a path.

    Letters, digits, hyphens, at least two labels of 1 to 63 bytes, 253 in all,
    no label starting or ending with a hyphen (RFC 1123 section 2.1), lower case.
    """
    labels = domain.split(b".")
    return (len(domain) <= 253 and len(labels) >= 2
            and not domain.translate(None, LETTERS_DIGITS_HYPHEN + b".")
            and all(0 < len(label) <= 63 and label[:1] != b"-" and label[-1:] != b"-"
                    for label in labels))


def with_parents(domain):
    """The domain and its parents down to two labels; [] if it is none (bytes or None)."""
    if domain is None or not is_domain(domain):
        return []
    labels = domain.split(b".")
    return [b".".join(labels[i:]) for i in range(len(labels) - 1)]


def tokenize(value):
    """-> list of (kind, text): kind is b"atom", b"literal" or a special as it stands.

    Quoted strings count as atoms, comments and blanks as nothing: between two
    atoms they only separate.
    """
    tokens = []
    at = 0
    while at < len(value):
        byte = value[at:at + 1]
        if byte in BLANKS:
            at += 1
        elif byte == b"(":
            at = after_comment(value, at)
        elif byte in CLOSING:
            end = after_quoted(value, at, CLOSING[byte])
            tokens.append((b"literal" if byte == b"[" else b"atom", value[at:end]))
            at = end
        elif byte in b"<>@,.:;":
            tokens.append((byte, byte))
            at += 1
        else:
            end = at
            while end < len(value) and value[end] in ATOM:
                end += 1
            if end == at:
                raise NotAnAddress
            tokens.append((b"atom", value[at:end]))
            at = end
    return tokens


def after_comment(value, at):
    """The index after the comment that opens at `at`; comments nest."""
    depth = 0
    while at < len(value):
        byte = value[at:at + 1]
        if byte == b"\\":
            at += 1
        elif byte == b"(":
            depth += 1
        elif byte == b")":
            depth -= 1
            if not depth:
                return at + 1
        at += 1
    raise NotAnAddress


def after_quoted(value, at, closing):
    """The index after the quoted string or domain literal that opens at `at`."""
    at += 1
    while at < len(value):
        byte = value[at:at + 1]
        if byte == b"\\":
            at += 1
        elif byte == closing:
            return at + 1
        at += 1
    raise NotAnAddress


def separate(tokens):
    """The tokens of each mailbox: split at the commas outside of < >.

    Empty list elements are left out (RFC 5322 section 4.4 allows them).
    """
    mailboxes = [[]]
    in_angles = False
    for token in tokens:
        if token[0] == b"," and not in_angles:
            mailboxes.append([])
            continue
        in_angles = token[0] == b"<" or in_angles and token[0] != b">"
        mailboxes[-1].append(token)
    return [mailbox for mailbox in mailboxes if mailbox]


def mailbox_domain(tokens):
    """The domain of one mailbox."""
    return addr_spec_domain(addr_spec(tokens))


def addr_spec(tokens):
    """The addr-spec of one mailbox: `phrase <route:addr-spec>`, or it is all there is.

    The grammar has no @ in a phrase.  Many programs write `a@b.c <a@b.c>` all the
    same, some with apostrophes, where every reader finds that one address.
    """
    kinds = [kind for kind, _ in tokens]
    if b"<" not in kinds:
        return tokens
    opened = kinds.index(b"<")
    if kinds[-1] != b">":
        raise NotAnAddress
    phrase, tokens = tokens[:opened], tokens[opened + 1:-1]
    if tokens and tokens[0][0] == b"@":
        tokens = after_route(tokens)
    if any(kind not in (b"atom", b".") for kind, _ in phrase) and (
            unquoted(lower_case(phrase)) != lower_case(tokens)):
        raise NotAnAddress
    return tokens


def lower_case(tokens):
    """The texts of tokens, to be compared."""
    return [text.lower() for _, text in tokens]


def unquoted(texts):
    """The texts without an apostrophe in front of the first and behind the last."""
    if texts[0][:1] == texts[-1][-1:] == b"'":
        texts[0] = texts[0][1:]
        texts[-1] = texts[-1][:-1]
    return texts


def after_route(tokens):
    """What follows `@a,@b:` (RFC 5322 section 4.4)."""
    kinds = [kind for kind, _ in tokens]
    if b":" not in kinds:
        raise NotAnAddress
    colon = kinds.index(b":")
    if any(kind not in (b"atom", b".", b"@", b",") for kind in kinds[:colon]):
        raise NotAnAddress
    return tokens[colon + 1:]


def addr_spec_domain(tokens):
    """The domain of local-part@domain, in lower case.

    An encoded word must not be part of it (RFC 2047 section 5): some readers
    would decode it to another address.
    """
    kinds = [kind for kind, _ in tokens]
    if kinds.count(b"@") != 1 or any(b"=?" in text and b"?=" in text for _, text in tokens):
        raise NotAnAddress
    at = kinds.index(b"@")
    dotted_atoms(kinds[:at])
    if kinds[at + 1:] != [b"literal"]:
        dotted_atoms(kinds[at + 1:])
    return b"".join(text for _, text in tokens[at + 1:]).lower()


def dotted_atoms(kinds):
    """Checks that atoms and dots alternate, with an atom at both ends."""
    if (len(kinds) % 2 == 0 or any(kind != b"atom" for kind in kinds[::2])
            or any(kind != b"." for kind in kinds[1::2])):
        raise NotAnAddress
