# SPDX-License-Identifier: MIT
"""Writes Authentication-Results and DomainKey-Status, and recognizes forged ones.

RFC 8601 section 2.2 (syntax), section 5 (removal); RFC 4870 section 3.5.1.
"""

from . import message
from .signature_field import place

NAME = b"authentication-results"
STATUS_NAME = b"domainkey-status"

# RFC 2045 section 5.1
SPECIALS = b'()<>@,;:\\"/[]?='
TOKEN = bytes(c for c in range(0x21, 0x7f) if c not in SPECIALS)
CONTROLS = bytes(range(0x21))
BLANKS = b" \t\r\n"

# Characters of an authserv-id on which all readers agree: a host name, and "/" with the job's
# number, as the milters write it (AuthservIDWithJobID); and those of a comment beside it.
ID = b"abcdefghijklmnopqrstuvwxyz0123456789-._/"
PLAIN = BLANKS + bytes(c for c in range(0x21, 0x7f) if c not in b"\\=")
NO_BRACKET = bytes(set(range(256)) - set(b"()"))
# Characters that some reader drops within a name, or takes for the end of a word.
DROPPED = BLANKS + b"\"'`()<>[]{}\\"

# Letters that re.IGNORECASE or str.lower() of Python equates with ASCII letters.
LOOK_ALIKES = [(letter.encode(), plain) for letter, plain in (
    ("\N{LATIN SMALL LETTER LONG S}", b"s"), ("\N{LATIN SMALL LETTER DOTLESS I}", b"i"),
    ("\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}", b"i"), ("\N{KELVIN SIGN}", b"k"))]

# Line ends of Python's str.splitlines(), in ASCII and beyond: NEL (also in Latin-1), LS, PS.
LINE_ENDS_TO_LF = bytes.maketrans(b"\r\v\f\x1c\x1d\x1e", b"\n" * 6)
MORE_LINE_ENDS = ("\x85".encode(), "\u2028".encode(), "\u2029".encode(), b"\x85")
NO_NAME = bytes(set(range(256)) - set(message.FIELD_NAME))
NO_START = NO_NAME.replace(b":", b"")

LONGEST_REASON = 200    # characters
LONGEST_NAME = 64       # bytes: enough for our names in any such letters


def field(authserv_id, results, policies=None):
    """Returns the Authentication-Results field (bytes, LF line ends), RFC 8601 section 2.2.

    authserv_id: bytes; results: list of SignatureResult, [] for an unsigned message
    policies: sender_policies.SenderPolicies, None if they are not evaluated
    """
    groups = ([result_words(result.protocol, result, properties(result)) for result in results]
              or [[b"dkim=none"], [b"domainkeys=none"]])
    if policies:
        groups += policy_words(policies)
    for words in groups[:-1]:
        words[-1] += b";"
    lines = [b"Authentication-Results: " + value(authserv_id) + b";"]
    for words in groups:
        lines.append(b" ")
        for word in words:
            place(lines, b" " + word)
    return b"\n".join(lines) + b"\n"


def policy_words(policies):
    """Returns the resinfos of SPF, if it was evaluated, and of DMARC: list as of result_words().

    RFC 8601 section 2.7.2; RFC 9989 section 9.1: policy.dmarc is the policy that applies.
    """
    found = policies.dmarc
    policy = found.disposition if found.status == "fail" else found.policy
    words = [result_words("dmarc", found, [("header.from", found.domain),
                                           ("policy.dmarc", policy)])]
    if policies.spf:
        identity = policies.spf.identity
        words.insert(0, result_words("spf", policies.spf,
                                     [(f"smtp.{identity}", policies.spf.domain.decode("ascii"))]))
    return words


def result_words(method, result, named):
    """Returns a resinfo (RFC 8601 section 2.2) as a list of words; it may fold between them.

    method: str; result: has status and reason; named: list of its (property, value), str
    """
    words = [f"{method}={result.status}".encode("ascii")]
    if getattr(result, "test_mode", False):
        words += [b"(test", b"mode)"]
    reason = " ".join(result.reason[:LONGEST_REASON].split()).encode("ascii", "replace")
    if reason and result.status != "pass":
        words += (b"reason=" + quoted(reason)).split(b" ")
    for name, content in named:
        if content:
            words.append(name.encode("ascii") + b"=" + value(content.encode("ascii", "replace")))
    return words


def properties(result):
    """Returns the properties that identify a signature: list of (name, str).

    IANA registers their names for each method.  DKIM: RFC 8601 section 2.7.1, and
    RFC 6008 for header.b; DomainKeys: d, from and sender.
    """
    if result.protocol == "dkim":
        return [("header.d", result.domain), ("header.s", result.selector),
                ("header.a", result.algorithm), ("header.b", result.signature_start)]
    if result.domain:
        return [("header.d", result.domain)]
    return [("header." + result.sender_field, result.sender_domain)]


def value(content):
    """Returns bytes as a token (RFC 2045 section 5.1) if they are one, else as a quoted string."""
    return quoted(content) if not content or content.translate(None, TOKEN) else content


def quoted(content):
    """Returns bytes as a quoted string (RFC 5322 section 3.2.4); bytes that are not printable
    ASCII become "?".
    """
    content = bytes(c if 0x20 <= c < 0x7f else ord("?") for c in content)
    return b'"' + content.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def status_field(word, test_mode):
    """Returns the DomainKey-Status field (bytes, LF line end), RFC 4870 section 3.5.1."""
    comment = b" (test mode)" if test_mode else b""
    return b"DomainKey-Status: " + word.encode("ascii") + comment + b"\n"


def is_ours(name, content, authserv_id):
    """Returns whether a field of a message from outside pretends to be ours (bytes).

    Some readers end a line at a CR or at other characters, and notqmail 1.09 does so
    when it sends the message on, so a field may be hidden inside another one.
    """
    return pretends(name, content, authserv_id) or any(
        pretends(hidden_name, hidden, authserv_id)
        for hidden_name, hidden in hidden_fields(content))


def may_pretend(field, content):
    """Returns whether some reader could take a message.LongField for one of ours.

    content: iterable of its chunks.  Only its name counts, not its value, because
    no field of ours is that long.
    """
    if field.name in (NAME, STATUS_NAME):
        return True
    start = b""         # of a line that is no field; a reader may find a name in it
    held = b""
    has_line_end = named = False
    for chunk in content:
        if not field.name and b":" not in start and len(start) < LONGEST_NAME:
            start += lower(chunk).translate(None, NO_START)
        has_line_end = has_line_end or with_all_line_ends(chunk) != chunk
        named = named or has_name(held + chunk)
        held = (held + chunk)[-LONGEST_NAME:]
    return has_line_end and named or start.partition(b":")[0] in (NAME, STATUS_NAME)


def has_name(content):
    """Returns whether there is one of our names somewhere in bytes."""
    lowered = lower(content)
    return NAME in lowered or STATUS_NAME in lowered


def hidden_fields(content):
    """Yields (name, field) for each field that a reader finds if it ends lines at more than LF.

    Yields none unless the content has one of our names.  Some readers add CR alone and
    take the others for blanks.  Empty lines are left out, because a million of them as
    fields takes seconds and 100 MB.
    """
    if not has_name(content):
        return
    seen = {content}
    for lines in (message.cr_made_lf(content), with_all_line_ends(content)):
        if lines not in seen:
            seen.add(lines)
            while b"\n\n" in lines:
                lines = lines.replace(b"\n\n", b"\n")
            yield from message.parse_header(lines, True).fields


def with_all_line_ends(content):
    """Returns the content with LF for everything that a reader may take for a line end."""
    for line_end in MORE_LINE_ENDS:
        content = content.replace(line_end, b"\n")
    return content.translate(LINE_ENDS_TO_LF)


def pretends(name, content, authserv_id):
    """Returns whether a field pretends to be ours, by its name and value.

    Readers differ on lines that are no fields (name b""), so the characters of a name
    before their colon count as one.
    """
    if not name:
        name = lower(content.partition(b":")[0]).translate(None, NO_NAME)
    if name == NAME:
        return claims(content.partition(b":")[2], authserv_id)
    return name == STATUS_NAME


def claims(content, authserv_id):
    """Returns whether some reader finds our authserv-id in an Authentication-Results value.

    If all readers agree on the authserv-id, that decides.  If not (RFC 8601 section 2.2
    does not allow such a field, or few parsers read it correctly), the value claims our
    authserv-id if that can remain when a reader drops characters.
    """
    wanted = authserv_id.lower().rstrip(b".")
    content = content.lower()
    found = plain_ids(content)
    if found is not None:
        return wanted in found
    if is_disguised(content):
        return True
    if begins_with_a_result(content):
        return wanted in content.replace(b";", b" ").split()
    return is_left_of(content, wanted)


def plain_ids(content):
    """Returns the texts that readers may take for the authserv-id of a value: set of bytes.

    content: the value in lower case.  Returns None if readers may differ more than
    that, for example over quotes inside the name or a comment, or brackets in brackets.
    """
    region = content.partition(b";")[0]
    brackets = region.translate(None, NO_BRACKET)
    if region.translate(None, PLAIN) or brackets != b"()" * (len(brackets) // 2):
        return None
    pieces = region.replace(b")", b"(").split(b"(")
    if any(b'"' in comment for comment in pieces[1::2]):
        return None
    name, *version = b" ".join(pieces[::2]).split() or [b""]
    if len(name) > 2 and name.startswith(b'"') and name.endswith(b'"'):
        name = name[1:-1]
    if not name or name.translate(None, ID) or version and not version[0].isdigit() or version[1:]:
        return None
    # A reader that drops blanks joins the version (RFC 8601 section 2.2) to the name.
    return {found.strip(b".") for found in (name, b"".join([name, *version]), *name.split(b"/"))}


def begins_with_a_result(content):
    """Returns whether a value begins with a result, without authserv-id, as Microsoft's do.

    All readers agree on that, because none accepts "=" in an authserv-id.
    """
    method, equals, _ = content.lstrip(BLANKS).partition(b"=")
    return bool(equals and method and not method.translate(None, TOKEN))


def is_left_of(content, name):
    """Returns whether a name can remain of a value when a reader drops characters.

    Both are in lower case.  Readers may drop quotes, brackets, backslashes and blanks,
    and between parts of the name a comment, or text that begins like one.
    """
    found = 0       # bytes of the name, the last of them in front of a bracket
    for piece in content.split(b"("):
        piece = piece.translate(None, DROPPED)
        if name[found:] in piece:
            return True
        longest = min(len(piece), len(name) - found)
        found += next((size for size in range(longest, 0, -1)
                       if piece.endswith(name[found:found + size])), 0)
    return False


def is_disguised(content):
    """Returns whether some reader decodes or drops a part of it: an encoded word (RFC 2047),
    a byte beyond ASCII, a control character.
    """
    return (b"=?" in content or not content.isascii()
            or content.translate(None, BLANKS) != content.translate(None, CONTROLS + b"\x7f"))


def lower(text):
    """Returns the text (bytes) in lower case as readers see it that decode it as UTF-8."""
    if not text.isascii():
        for letter, plain in LOOK_ALIKES:
            text = text.replace(letter, plain)
    return text.lower()
