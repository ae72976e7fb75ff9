# SPDX-License-Identifier: MIT
"""Signs a message through the installed program and has the installed verifier judge it."""

import email.utils
import os
import subprocess
import sys
import tempfile

from . import admin_account, admin_explain, admin_installation
from .admin_findings import FAIL, OK, Finding
from .settings import QMAIL

STAND_IN = os.path.join(admin_installation.PREFIX, "lib", "print_message")
VERIFIER = os.path.join(admin_installation.PREFIX, admin_installation.VERIFIER)
AUTHSERV_ID = "check.invalid"
LONGEST = 300       # seconds, for either program
DEFERRED = (b"Z", b"s\0Z")      # how a report begins that the signer makes, or its launcher


def findings(domain, launcher, in_force, verifies):
    """The Findings on a trial for one domain (str).

    launcher: path of what qmail runs as qmail-remote
    in_force: settings.Settings, whose environment the programs get
    verifies: whether the packages for that are there
    """
    subject = f"trial {domain}"
    try:
        signed = signed_by_program(domain, launcher, in_force)
        if signed.startswith(DEFERRED):
            reason = signed.partition(b"Z")[2]
            return [Finding(FAIL, subject, "deferred: " + printable(reason), "as it says")]
        if not signed.startswith((b"DKIM-Signature:", b"DomainKey-Signature:")):
            return [Finding(FAIL, subject, f"{launcher} sent the message unsigned"
                            + (f": {printable(signed)}" if not signed else ""),
                            f"qmail-dk why {domain}")]
        if not verifies:
            return [Finding(OK, subject, "signed; without the packages not verified")]
        field = verified_by_program(signed, in_force)
    except (OSError, subprocess.SubprocessError) as error:
        return [Finding(FAIL, subject, f"can't be made: {error}", admin_installation.REPAIR)]
    return [verdict(subject, words) for words in results(field)]


def signed_by_program(domain, launcher, in_force):
    """What the launcher hands on of a message from the domain: bytes."""
    message = (f"From: postmaster@{domain}\nTo: {admin_explain.RECIPIENT}\n"
               f"Subject: trial of qmail-dk check\nDate: {email.utils.formatdate()}\n"
               f"Message-ID: {email.utils.make_msgid(domain=domain)}\n\n"
               "This message is signed and verified, and not sent.\n")
    return run([launcher, admin_explain.HOST, f"postmaster@{domain}", admin_explain.RECIPIENT],
               message.encode(), {**in_force.environment, "DKREMOTE": STAND_IN})


def verified_by_program(message, in_force):
    """The Authentication-Results field, in one line, that the verifier puts on top: str."""
    environment = {**in_force.environment, "DKVERIFY": "-", "DKAUTHSERVID": AUTHSERV_ID,
                   "DKPOLICY": "no"}
    environment.pop("RELAYCLIENT", None)
    annotated = run([sys.executable, "-IS", "-X", "utf8", "-X", "qmail=" + QMAIL, VERIFIER,
                     "--filter"], message, environment)
    field = annotated.replace(b"\n ", b" ").replace(b"\n\t", b" ").partition(b"\n")[0]
    name, _, value = field.partition(b":")
    if name.lower() != b"authentication-results":
        raise OSError(f"the verifier gave no result: {printable(annotated)}")
    return value.decode("ascii", "replace")


def run(command, message, environment):
    """What a program writes for a message; it is run as the signer's user where that can be.

    All bytes.  Raises OSError, subprocess.SubprocessError.
    """
    account = admin_account.signers_account() if os.geteuid() == 0 else None
    user = ({"user": account.user, "group": account.group, "extra_groups": []}
            if account else {})
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
        source.write(message)
        source.seek(0)
        done = subprocess.run(command, stdin=source, stdout=target, stderr=subprocess.PIPE,
                              env=environment, cwd="/", timeout=LONGEST, check=False, **user)
        target.seek(0)
        written = target.read()
    if done.returncode:
        raise OSError(f"{command[0]} ended with status {done.returncode}: "
                      + printable(done.stderr))
    return written


def results(field):
    """The results in an Authentication-Results field without its name: list of str."""
    return [" ".join(part.split()) for part in field.split(";")[1:] if part.strip()]


def verdict(subject, words):
    """The Finding on one result, such as "dkim=pass header.d=example.com"."""
    if words.partition("=")[2].split()[0] == "pass":
        return Finding(OK, subject, words)
    return Finding(FAIL, subject, words, "see the lines above on its key and record")


def printable(data):
    """Bytes as text for a finding."""
    return " ".join(data.decode("ascii", "replace").replace("\0", " ").split()) or "no output"
