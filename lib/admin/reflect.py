# SPDX-License-Identifier: MIT
"""Answers a test message with what the verifier says of it: a command in a dot-qmail file.

Whoever answers strangers can be made to answer programs that answer back, or people in
whose name a stranger wrote.  So nothing automatic is answered (RFC 3834 section 2), and
nobody whose domain does not prove the message to be its own.

The proof is SPF or DKIM as evaluated now, and not the Authentication-Results field in our
name on top: only where the verifier runs is a false one removed, and nothing in the
message shows whether it ran.
"""

import os
import re
import time

from ..errors import RequestTrouble, Trouble
from ..mail import address, message
from ..mail.tag_values import is_within
from ..qmail import spool
from ..verifying import origin
from . import published, reply, tally

PATIENCE = 24 * 60 * 60     # seconds
LONGEST_LOCAL_PART = 64     # bytes; RFC 5321 section 4.5.3.1.1
LONGEST_ADDRESS = 254       # bytes; RFC 5321 section 4.5.3.1.3, without the brackets

LOCAL_PART = re.compile(reply.DOT_ATOM.decode())

# Local parts of programs, in lower case.  RFC 3834 section 2 names the first line; the others
# are no-reply addresses, lists and their bounces (ezmlm, Mailman, VERP), and forwards by SRS:
# these prove the forwarder's domain, but an answer would go to whoever was the sender before.
PROGRAM = re.compile(r"""
    mailer-daemon | owner-.* | .*-(request|owner)
    | (no|do-?not)[-_.]?reply.* | auto-?reply.* | postmaster | daemon | nobody
    | listserv | majordomo | bounces?([-+=].*)? | .*-bounces?([-+=].*)? | .*-return-.*
    | srs[01][-+=].*""", re.VERBOSE)


def reflect(options, host):
    """Answers a test message with what the verifier says of it, as a dot-qmail command."""
    sender, recipient = (os.environ.get(name) for name in ("SENDER", "RECIPIENT"))
    if sender is None or recipient is None:
        raise RequestTrouble("SENDER and RECIPIENT are not set: reflect is a command for "
                             "a dot-qmail file, run by qmail-local")
    try:
        reason = answered(sender, options.author or recipient, recipient, options, host)
    except (Trouble, OSError) as trouble:
        # qmail-send bounces what has waited for a week, also to a sender who is forged.
        if time.time() - os.fstat(0).st_mtime < PATIENCE:
            raise
        reason = f"the message has waited for a day, and still: {trouble}"
    print(f"qmail-dk: not answered, {origin.bracketed(sender)}: {reason}" if reason
          else f"qmail-dk: answered, {origin.bracketed(sender)}")
    return 0


def answered(sender, author, recipient, options, host):
    """Answers the message on standard input.  Returns why it does not (str), "" if it does.

    sender, recipient: str, of the envelope; author: str, the answer's
    One message at a time, and the others wait in the queue: the DNS of strangers can be
    slow, and must not take all of qmail-send's local deliveries.  Raises Trouble, OSError.
    """
    received = spool.from_start(0)
    header, body = message.split(message.chunks(received))
    reason = objection(sender, author, recipient, header)
    if reason:
        return reason
    published.require_packages()
    now = int(time.time())
    counted = sender.lower().encode("ascii")
    with tally.opened(options.directory, time.strftime("%Y-%m-%d", time.gmtime(now)).encode()
                      ) as answers:
        if not answers.allows(counted, options.most):
            return "there have been enough answers today"
        examined, explanation = explained(sender, header, body, host.settings, now)
        if not is_proven(sender, addresses_of(author, recipient), header, examined):
            return "neither SPF nor DKIM shows that the message is from this sender"
        size = os.fstat(received).st_size - size_of(header) - header.body_follows
        text = reply.written(author, sender, examined, explanation, header, size, now)
        with answers.counted(counted):
            reply.send(text, sender)
    return ""


def explained(sender, header, body, settings, now):
    """Returns (examination.Examination of a message, the lines that explain it).

    sender: str; header, body, now: as in examine(); settings: Settings.  Raises Trouble.
    """
    from ..verifying.examination import examine     # only now: it needs the packages
    from ..verifying.report import Terms
    from . import explain_verifying
    terms = Terms(settings.number("DKRSAMIN", "bits"), dmarc=True,
                  client=client_of(header, sender.encode("ascii")))
    examined = examine(header, body, terms, published.Questions(settings).by_resolver, now,
                       to_explain=True)
    return examined, explain_verifying.lines_on(examined, header, terms)


def objection(sender, author, recipient, header):
    """Returns why a message must not be answered (str), "" if nothing shows that.

    Arguments: as in answered(); header: message.Header
    """
    if not sender:
        return "it is a bounce"
    if not is_plain(sender):        # such as #@[] and list-@host-@[], qmail's (addresses(5))
        return "the sender is not a plain address"
    if not is_plain(author):
        return "the recipient, whose answer it would be, is not a plain address"
    if PROGRAM.fullmatch(sender.rpartition("@")[0].lower()):
        return "the sender is a program"
    ours = addresses_of(author, recipient)
    if sender.lower().encode() in ours or author_of(header) in ours:
        return "it is from this address"
    if header.too_long or size_of(header) > reply.MOST_TEXT:
        return "its header is too long to be shown"
    for name, field in header.fields:
        value = field.partition(b":")[2].lower()
        if is_automatic(name, value):
            return f"it is automatic or of a list: it has {name.decode('ascii')}"
        if name == b"delivered-to" and value.strip() in ours:
            return "it has been here before: it has this address in Delivered-To"
    return ""


def addresses_of(author, recipient):
    """Returns our addresses, set of bytes in lower case.  Arguments: as in answered()"""
    return {author.lower().encode("ascii"), recipient.lower().encode("ascii", "replace")}


def size_of(header):
    """Returns the bytes of a message.Header's fields."""
    return sum(map(len, header.fields.texts))


def is_plain(text):
    """Returns whether a str is an address of a dot-atom and a domain name, of a valid length.

    Then it can stand in a header and in an envelope, and all readers agree on it.
    """
    local, _, domain = text.rpartition("@")
    return (len(text) <= LONGEST_ADDRESS and len(local) <= LONGEST_LOCAL_PART
            and LOCAL_PART.fullmatch(local) is not None and domain.isascii()
            and address.is_domain(domain.lower().encode()))


def is_automatic(name, value):
    """Returns whether a field (bytes, lower case) shows that no person sent it, or a list did.

    RFC 3834 sections 2 and 5; X-Auto-Response-Suppress is Exchange's.
    """
    word = re.split(rb"[\s;(]+", value.strip())[0]
    if name == b"auto-submitted":
        return word != b"no"
    if name == b"precedence":
        return word in (b"bulk", b"list", b"junk")
    if name == b"content-type":
        return word == b"multipart/report"
    return name.startswith(b"list-") or name in (b"mailing-list", b"x-auto-response-suppress")


def author_of(header):
    """Returns the only address in the only From: field (bytes, lower case), or None."""
    fields = header.named(b"from")
    if address.only_domain(fields) is None:
        return None
    local, domain = address.first_mailbox(fields[0].partition(b":")[2])
    return local.lower() + b"@" + domain


def client_of(header, sender):
    """Returns the client.Client that brought a message here, None if it is not known.

    header: message.Header; sender: bytes
    Only the first Received field below those of qmail-queue counts: further down, the
    sender may have written it.
    """
    from ..verifying import client
    for field in header.named(b"received"):
        if field.partition(b":")[2].lstrip().startswith(b"(qmail "):
            continue
        helo, shown = client.greeting(field)
        packed = client.packed(shown)
        return client.Client(packed, helo, sender) if packed else None
    return None


def is_proven(sender, ours, header, examined):
    """Returns whether SPF or DKIM shows that the envelope sender (str) sent the message here.

    ours: as in addresses_of(); header: message.Header; examined: examination.Examination
    SPF shows that for his domain.  A signature shows it only if it covers To:, with our
    address, and if he is the author, since anybody can send on what others have signed.
    It must be of his domain or of one above it: a part of a domain may be in other hands.
    Raises Trouble if the DNS does not answer.
    """
    domain = sender.rpartition("@")[2].lower().encode()
    found = [examined.policies.spf.status] if examined.policies.spf else []
    if author_of(header) == sender.lower().encode() and is_to(header, ours):
        found += [verification.result.status for verification in examined.verifications
                  if verification.protocol == "dkim"
                  and verification.answer is not None       # the field could be read
                  and b"to" in verification.names
                  and is_within(domain, verification.result.domain.lower().encode())]
    if "pass" not in found and "temperror" in found:
        raise Trouble(f"the DNS does not answer on {domain.decode()}: the answer has to wait")
    return "pass" in found


def is_to(header, ours):
    """Returns whether the only To: field has one of our addresses."""
    fields = header.named(b"to")
    return len(fields) == 1 and any(own in fields[0].lower() for own in ours)
