# SPDX-License-Identifier: MIT
"""Writes and queues the answer to a test message.

Of the message that is answered, only its identifier gets into the answer's header, and
that only in the grammar.  Its header is quoted as printable ASCII; its body never, so
that nobody can send text to others through us.
"""

import email.utils
import os
import re
import subprocess

from .. import process
from ..errors import Trouble
from ..mail.message import FIELD_LIMIT
from ..qmail import queue, spool
from .findings import visible

MOST_TEXT = 64 * 1024       # characters of the explanation, and of the quoted header
LONGEST_LINE = 900          # characters; RFC 5322 section 2.1.1: at most 998
LONGEST_IDENTIFIER = 250    # bytes

# RFC 5322 section 3.6.4, without the obsolete forms and domain literals.
DOT_ATOM = rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
IDENTIFIER = re.compile(rb"<" + DOT_ATOM + rb"@" + DOT_ATOM + rb">")

TEXT = """\
This is an automatic answer to your test message to {author}.
It says what qmail-dk finds in the message now.

{explanation}

The message has a header of {header_size} bytes and a body of {body_size} bytes.
The header, as it arrived:

{quoted}
"""

HEADER = """\
Date: {date}
From: {author}
To: {recipient}
Subject: Auto: {subject}
Message-ID: <{identifier}@{domain}>
{parent}Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: text/plain; charset=us-ascii
Content-Transfer-Encoding: 7bit

"""


def written(author, recipient, examined, lines, header, body_size, now):
    """Returns the answer to a test message (bytes, LF line ends).

    author, recipient: str, addresses of the answer; examined: examination.Examination
    lines: its explanation, list of str; header: message.Header; body_size: in bytes
    now: int, seconds since 1970
    RFC 3834 section 3.1 has the rules for the header of automatic answers.  It would have
    the subject repeated (3.1.5); a stranger's text does not belong there.
    """
    block = b"".join(header.fields.texts)
    parent = identifier(header)
    head = HEADER.format(
        date=email.utils.formatdate(now), author=author, recipient=recipient,
        subject=summary(examined), domain=author.rpartition("@")[2],
        identifier=f"{now}.{os.getpid()}.{os.urandom(8).hex()}",
        parent=f"In-Reply-To: {parent}\nReferences: {parent}\n" if parent else "")
    text = TEXT.format(
        author=author, explanation=bounded("\n".join(lines)), header_size=len(block),
        body_size=body_size,
        quoted=bounded(block.decode("ascii", "backslashreplace"), "> "))
    return (head + text).encode("ascii")


def summary(examined):
    """Returns the results of an Examination as words for the subject, str."""
    found = {"dkim": [result.status for result in examined.results if result.protocol == "dkim"],
             "spf": [examined.policies.spf.status] if examined.policies.spf else [],
             "dmarc": [examined.policies.dmarc.status]}
    return " ".join(f"{method}={'pass' if 'pass' in statuses else (statuses or ['none'])[0]}"
                    for method, statuses in found.items())


def identifier(header):
    """Returns the identifier (str, with its brackets) of a message, "" if it has none."""
    fields = header.named(b"message-id")
    value = fields[0][:FIELD_LIMIT].partition(b":")[2].strip() if len(fields) == 1 else b""
    if len(value) > LONGEST_IDENTIFIER or not IDENTIFIER.fullmatch(value):
        return ""
    return value.decode("ascii")


def bounded(text, mark=""):
    """Returns text (str) as lines of printable ASCII and tabs, MOST_TEXT characters in all.

    mark: str, begins each line
    """
    lines, left = [], MOST_TEXT
    for line in text.rstrip("\n").split("\n"):
        line = "\t".join(map(visible, line.split("\t")))
        line = line.encode("ascii", "backslashreplace").decode()
        if len(line) > LONGEST_LINE:
            line = line[:LONGEST_LINE] + "..."
        left -= len(mark + line) + 1
        if left < 0:
            lines.append("(and more, which is left out here)")
            break
        lines.append(mark + line)
    return "\n".join(lines)


def send(message, recipient):
    """Queues a message (bytes) from the null sender to a recipient (str).

    RFC 3834 section 3.3: the null sender, so that nothing answers an answer.  Raises
    OSError, Trouble.
    """
    program = queue.original_program()
    envelope = b"F\0T" + recipient.encode("ascii") + b"\0\0"
    with file_of(message) as text, file_of(envelope) as addresses:
        code = subprocess.run([program], stdin=text, stdout=addresses).returncode
    if code != queue.ACCEPTED:
        raise Trouble(f"{program} ended with {code}: the answer is not queued")


def file_of(data):
    """Returns an open file without a name, at its start, with some bytes.  Raises SpoolTrouble."""
    fd = spool.anonymous_file(len(data))
    file = open(fd, "r+b", buffering=0)
    spool.write(fd, data)
    process.rewind(fd)
    return file
