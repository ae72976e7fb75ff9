# SPDX-License-Identifier: MIT
"""Splits a message as others do: Python's email, Email::MIME, Mutt.

Each reader takes a message (bytes, LF) from alice@example.com to bob@example.net,
and returns (list of the fields that it finds as (name in lower case, value), the
body), all bytes, without blanks around the values.  If a reader is not installed,
it skips the test.
"""

import email.parser
import email.policy
import os
import shutil
import subprocess
import tempfile

import pytest

PERL_SCRIPT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "perl",
                           "header_fields.pl")
PARSERS = [email.parser.BytesParser(policy=policy)
           for policy in (email.policy.compat32, email.policy.default)]

MUTT = "set copy=no; set sendmail=%s; set use_from=no; set user_agent=no; set charset=us-ascii"
SENDMAIL = """#!/bin/sh
cat >"$(dirname "$0")/sent"
"""


def python(message):
    """Reads with email.parser, whose policies must agree."""
    found = [(fields(read.raw_items()), read.get_payload(decode=True))
             for read in (parser.parsebytes(message) for parser in PARSERS)]
    assert found[0] == found[1]
    return found[0]


def email_mime(message):
    probe = subprocess.run(["perl", "-MEmail::MIME", "-e1"], stderr=subprocess.DEVNULL)
    if probe.returncode:
        pytest.skip("needs the Debian package libemail-mime-perl")
    output = subprocess.run(["perl", PERL_SCRIPT], input=message, check=True,
                            stdout=subprocess.PIPE).stdout
    *lines, body = [[bytes.fromhex(word) for word in line.split(" ")]
                    for line in output.decode().splitlines()]
    return fields(lines), body[0]


def mutt(message):
    """Has Mutt send the message as a draft, and reads the result with python()."""
    if not shutil.which("mutt"):
        pytest.skip("needs mutt")
    with tempfile.TemporaryDirectory() as directory:
        sendmail, draft = os.path.join(directory, "sendmail"), os.path.join(directory, "draft")
        with open(draft, "wb") as file:
            file.write(message)
        with open(sendmail, "w") as file:
            file.write(SENDMAIL)
        os.chmod(sendmail, 0o755)
        subprocess.run(["mutt", "-n", "-F", "/dev/null", "-e", MUTT % sendmail, "-H", draft,
                        "-b", "carol@example.net"],
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True,
                       env={**os.environ, "HOME": directory, "EMAIL": "alice@example.com"})
        with open(os.path.join(directory, "sent"), "rb") as file:
            return python(file.read())


def fields(pairs):
    found = []
    for pair in pairs:
        name, value = (part if isinstance(part, bytes) else str(part).encode(
            "utf-8", "surrogateescape") for part in pair)
        found.append((name.lower(), b" ".join(value.split())))
    return found


READERS = (python, email_mime, mutt)
