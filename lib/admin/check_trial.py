# SPDX-License-Identifier: MIT
"""Signs a message with the installed program, and verifies it with the installed verifier."""

import email.utils
import os
import subprocess
import sys
import tempfile

from .. import maillog
from ..settings import QMAIL
from ..verifying import exchange
from . import check_installation
from .account import signers_account
from .findings import FAIL, OK, Finding, on_one_line
from .host import PREFIX

STAND_IN = os.path.join(PREFIX, "lib", "admin", "print_message")
VERIFIER = os.path.join(PREFIX, check_installation.VERIFIER)
AUTHSERV_ID = exchange.TRIAL.decode()
LONGEST = 300       # seconds that each program may run
# Arguments for a delivery that does not take place.
HOST, RECIPIENT = "mx.invalid", "nobody@mx.invalid"
NOTHING = "no output"
ANY = "DOMAIN"      # stands for the domain in a remedy for several
DEFERRED = (b"Z", b"s\0Z")      # first bytes of a report by the signer or its launcher
MOST_NAMED = 20     # domains in one line


def findings(domains, host, verifies):
    """Returns the Findings on a trial for each domain (str); equal ones are merged into one.

    host: host.Host; verifies: whether the packages for verifying are installed
    """
    alike = {}
    for domain in domains:
        for level, text, remedy in domain_findings(
                domain, check_installation.launcher(host), host.settings, verifies):
            alike.setdefault((level, text, remedy), []).append(domain)
    return [Finding(level, f"trial {named(of)}", text,
                    remedy.replace(ANY, of[0]) if len(of) == 1 else remedy)
            for (level, text, remedy), of in alike.items()]


def named(domains):
    """Returns text (str) with the first MOST_NAMED domains, and the number of the others."""
    more = len(domains) - MOST_NAMED
    return ", ".join(domains[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def domain_findings(domain, launcher, settings, verifies):
    """Makes a trial for one domain (str).  Returns a list of (level, text, remedy).

    launcher: path of the program that qmail runs as qmail-remote
    settings: settings.Settings, whose environment the programs get
    verifies: whether the packages for verifying are installed
    """
    try:
        signed = signed_by_program(domain, launcher, settings)
        if signed.startswith(DEFERRED):
            reason = signed.partition(b"Z")[2]
            return [(FAIL, "deferred: " + on_one_line(reason), "as it says")]
        if not signed.startswith((b"DKIM-Signature:", b"DomainKey-Signature:")):
            return [(FAIL, f"{launcher} sent the message unsigned"
                     + ("" if signed else f": {NOTHING}"), f"qmail-dk why {ANY}")]
        if not verifies:
            return [(OK, "signed; without the packages not verified", "")]
        field = verified_by_program(signed, settings)
    except (OSError, subprocess.SubprocessError) as error:
        return [(FAIL, f"can't be made: {error}", check_installation.REPAIR)]
    return [verdict(words) for words in results(field)]


def signed_by_program(domain, launcher, settings):
    """Returns what the launcher writes for a message from the domain (bytes).

    This is the message as STAND_IN prints it, or a report of the signer.  Raises as run().
    """
    message = (f"From: postmaster@{domain}\nTo: {RECIPIENT}\n"
               f"Subject: trial of qmail-dk check\nDate: {email.utils.formatdate()}\n"
               f"Message-ID: {email.utils.make_msgid(domain=domain)}\n\n"
               "This message is signed and verified, and not sent.\n")
    return run([launcher, HOST, f"postmaster@{domain}", RECIPIENT],
               message.encode(), {**settings.environment, "DKREMOTE": STAND_IN, "DKMAY": ""})


def verified_by_program(message, settings):
    """Returns the value of the Authentication-Results field that the verifier adds, unfolded; str.

    Raises OSError if it adds none, and as run().
    """
    environment = {**settings.environment, "DKVERIFY": "-", "DKAUTHSERVID": AUTHSERV_ID,
                   "DKPOLICY": "no"}
    environment.pop("RELAYCLIENT", None)
    annotated = run([sys.executable, "-IS", "-X", "utf8", "-X", "qmail=" + QMAIL, VERIFIER,
                     "--filter"], message, environment)
    field = annotated.replace(b"\n ", b" ").replace(b"\n\t", b" ").partition(b"\n")[0]
    name, _, value = field.partition(b":")
    if name.lower() != b"authentication-results":
        raise OSError(f"the verifier gave no result: {on_one_line(annotated) or NOTHING}")
    return value.decode("ascii", "replace")


def run(command, message, environment):
    """Returns the output of a program for a message, both bytes; root runs it as the signer's user.

    command: list of str; environment: {str: str}
    Raises OSError, also for an exit code other than 0, and subprocess.SubprocessError.
    """
    account = signers_account() if os.geteuid() == 0 else None
    user = ({"user": account.user, "group": account.group, "extra_groups": []}
            if account else {})
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
        source.write(message)
        source.seek(0)
        done = subprocess.run(command, stdin=source, stdout=target, stderr=subprocess.PIPE,
                              env={**environment, maillog.TRIAL: "1"}, cwd="/",
                              timeout=LONGEST, check=False, **user)
        target.seek(0)
        written = target.read()
    if done.returncode:
        raise OSError(f"{command[0]} ended with status {done.returncode}: "
                      + (on_one_line(done.stderr) or NOTHING))
    return written


def results(field):
    """Returns the results in the value of an Authentication-Results field; list of str."""
    return [" ".join(part.split()) for part in field.split(";")[1:] if part.strip()]


def verdict(words):
    """Returns (level, text, remedy) of a result, such as "dkim=pass header.d=example.com"."""
    if words.partition("=")[2].split()[0] == "pass":
        return OK, words, ""
    return FAIL, words, "see the lines above on its key and record"
