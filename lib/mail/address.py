# SPDX-License-Identifier: MIT
"""The domains in From: and Sender:, parsed strictly.

A signature says "this domain answers for the message", so a field in which two
readers could find two domains gives none.  The grammar is RFC 5322 section 3.4, with
the comments and folds that section 4.4 allows between the parts of an address.  It
leaves out that section's routes, `<@a,@b:c@d>`, in which half of the readers find
another address.
"""

SPECIALS = b'()<>[]:;@\\,."'
ATOM = bytes(c for c in range(33, 256) if c != 127 and c not in SPECIALS)
BLANKS = b" \t\r\n"
FOLD = b"fold"
CLOSING = {b'"': b'"', b"[": b"]"}     # the ends of a quoted string and of a domain literal

LETTERS_DIGITS_HYPHEN = b"abcdefghijklmnopqrstuvwxyz0123456789-"
# RFC 6376 sections 3.1 and 3.5 have no underscores, but domains and selectors in use do.
LABEL = LETTERS_DIGITS_HYPHEN + b"_ABCDEFGHIJKLMNOPQRSTUVWXYZ"
OF_A_NAME = LETTERS_DIGITS_HYPHEN + b"._" + bytes(range(128, 256))
LONGEST_DOMAIN = 253        # bytes; RFC 1035 section 2.3.4: 255 on the wire, two more than text
LONGEST_LABEL = 63          # bytes; the same section


class NotAnAddress(Exception):
    """The text is not in the grammar.  Only this module and author raise and catch it."""


def significant(value):
    """Yields the characters of a field's value (bytes), without blanks and comments.

    Gives "x" for each quoted string and literal.  Raises NotAnAddress if one of them
    or a comment does not end.
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
    """Returns the domain of DomainKeys' sending address (RFC 4870 section 3.1).

    header: message.Header.  Takes Sender:, else From:.  Returns bytes in lower case,
    or None if the field occurs twice or is ambiguous.
    """
    return only_domain(header.named(b"sender") or header.named(b"from"))


def only_domain(fields):
    """Returns the domain of the only address in the only one of fields, else None."""
    if len(fields) != 1:
        return None
    found = domains(fields[0].partition(b":")[2])
    return found[0] if len(found) == 1 else None


def domains(value):
    """Returns the domain of each mailbox in an address field's value: lower case, list of bytes.

    Returns [] if any part of the value is not in the grammar or is a group: RFC 6854
    section 2.1 allows groups in From:, but readers disagree on their author.  A domain
    literal is returned as it is; it never passes is_domain().
    """
    try:
        tokens = tokenize(value)
        return [mailbox_domain(mailbox) for mailbox in separate(tokens)]
    except NotAnAddress:
        return []


def first_mailbox(value):
    """Returns (local part, domain in lower case) of the first mailbox in a field's value.

    This is the sending address of RFC 4870 section 3.1.  Returns None if any part of
    the value is not in the grammar, or if it has no mailbox.
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
    """Returns whether bytes are a domain that can have a key; it is then safe in a path.

    It has at least two labels of lower-case letters, digits and hyphens, 1 to 63
    bytes each and 253 in all; none starts or ends with a hyphen (RFC 1123 section 2.1).
    """
    return are_labels(domain, LETTERS_DIGITS_HYPHEN, 2) and not (
        domain.startswith(b"-") or domain.endswith(b"-") or b"-." in domain or b".-" in domain)


def are_labels(name, letters=LABEL, least=1):
    """Returns whether bytes are at least `least` labels of these letters, joined by dots.

    No label, nor the whole, is longer than the DNS allows (RFC 1035 section 2.3.4).
    """
    labels = name.split(b".")
    return (len(name) <= LONGEST_DOMAIN and len(labels) >= least
            and not name.translate(None, letters + b".")
            and 0 < min(map(len, labels)) and max(map(len, labels)) <= LONGEST_LABEL)


def with_parents(domain):
    """Returns a domain and its parents down to two labels, if they can have a key; bytes.

    Returns [] for None and for a text that is no name.  A subdomain may be unable to
    have a key while its parent can: web_01.example.com, or a label in UTF-8 (RFC 6531),
    which is below the same domain once it is in ASCII.
    """
    if domain is None or len(domain) > LONGEST_DOMAIN or domain.translate(None, OF_A_NAME):
        return []
    labels = domain.split(b".")
    parents = [b".".join(labels[i:]) for i in range(len(labels) - 1)]
    return [parent for parent in parents if is_domain(parent)] if all(labels) else []


def tokenize(value):
    """Splits a value into a list of (kind, text).

    kind: b"atom", b"literal", FOLD (without text), or one of the specials <>@,.:;
    Quoted strings are atoms.  Comments and blanks only separate tokens (RFC 5322
    section 3.2.2).  Raises NotAnAddress.
    """
    tokens = []
    at = 0
    while at < len(value):
        byte = value[at:at + 1]
        if byte in BLANKS:
            if byte == b"\n":
                tokens.append((FOLD, b""))
            at += 1
        elif byte == b"(":
            end = after_comment(value, at)
            if is_like_a_list(value[at:end]):
                raise NotAnAddress
            at = end
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


def is_like_a_list(comment):
    """Returns whether a comment holds an @ and a separator.

    Go's net/mail takes some such parentheses for a word, and then finds that address.
    """
    return b"@" in comment and any(byte in comment for byte in (b",", b";", b":"))


def after_comment(value, at):
    """Returns the index after the comment that opens at `at`; comments nest.

    RFC 5322 section 3.2.2.  Raises NotAnAddress if it does not end.
    """
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
    """Returns the index after the quoted string or domain literal that opens at `at`.

    RFC 5322 sections 3.2.4 and 3.4.1.  Raises NotAnAddress if it does not end.
    """
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
    """Splits tokens at the commas outside of < >; returns a list of tokens for each mailbox.

    Empty list elements are left out, since RFC 5322 section 4.4 allows them.
    """
    mailboxes = [[]]
    in_angles = False
    for token in tokens:
        if token[0] == b"," and not in_angles:
            mailboxes.append([])
            continue
        in_angles = token[0] == b"<" or in_angles and token[0] != b">"
        mailboxes[-1].append(token)
    return [mailbox for mailbox in map(trimmed, mailboxes) if mailbox]


def trimmed(tokens):
    """Returns the tokens without folds at either end."""
    start, end = 0, len(tokens)
    while start < end and tokens[start][0] == FOLD:
        start += 1
    while start < end and tokens[end - 1][0] == FOLD:
        end -= 1
    return tokens[start:end]


def mailbox_domain(tokens):
    """Returns the domain of one mailbox.  Raises NotAnAddress."""
    return addr_spec_domain(addr_spec(tokens))


def addr_spec(tokens):
    """Returns the tokens of the addr-spec of one mailbox: `phrase <addr-spec>` or addr-spec.

    The grammar allows no @ in a phrase.  Many programs still write `a@b.c <a@b.c>`,
    some with apostrophes; every reader finds that one address, so this is accepted.
    RFC 5322 section 3.4.  Raises NotAnAddress.
    """
    kinds = [kind for kind, _ in tokens]
    if b"<" not in kinds:
        return tokens
    opened = kinds.index(b"<")
    if kinds[-1] != b">":
        raise NotAnAddress
    phrase, tokens = trimmed(tokens[:opened]), trimmed(tokens[opened + 1:-1])
    if any(kind not in (b"atom", b".", FOLD) for kind, _ in phrase) and (
            unquoted(lower_case(phrase)) != lower_case(tokens)):
        raise NotAnAddress
    return tokens


def lower_case(tokens):
    """Returns the texts of tokens in lower case, for a comparison."""
    return [text.lower() for _, text in tokens]


def unquoted(texts):
    """Removes an apostrophe before the first text together with one after the last.

    Changes and returns the list.
    """
    if texts[0][:1] == texts[-1][-1:] == b"'":
        texts[0] = texts[0][1:]
        texts[-1] = texts[-1][:-1]
    return texts


def addr_spec_domain(tokens):
    """Returns the domain of local-part@domain (RFC 5322 section 3.4.1), in lower case.

    Raises NotAnAddress, also where readers would differ.  An encoded word must not be
    part of an addr-spec (RFC 2047 section 5), nor span its dots, because some readers
    decode it to another address.  Some end the address at a fold between its dots,
    and some ignore the quotes around a second @.
    """
    kinds = [kind for kind, _ in tokens]
    joined = b"".join(text for _, text in tokens)
    if b"@" not in kinds or joined.count(b"@") != 1 or b"=?" in joined and b"?=" in joined:
        raise NotAnAddress
    at = kinds.index(b"@")
    dotted_atoms(trimmed(tokens[:at]))
    domain = trimmed(tokens[at + 1:])
    if [kind for kind, _ in domain] != [b"literal"]:
        dotted_atoms(domain)
    return b"".join(text for _, text in domain).lower()


def dotted_atoms(tokens):
    """Raises NotAnAddress unless atoms and dots alternate, with an atom at both ends."""
    kinds = [kind for kind, _ in tokens]
    if (len(kinds) % 2 == 0 or any(kind != b"atom" for kind in kinds[::2])
            or any(kind != b"." for kind in kinds[1::2])):
        raise NotAnAddress
