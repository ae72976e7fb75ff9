# SPDX-License-Identifier: MIT
"""The message of a trial, and what can come of it.

An outcome is (level, text, remedy), in which ANY stands for the domain.
"""

import email.utils

from .findings import FAIL, OK, on_one_line

RECIPIENT = "nobody@mx.invalid"     # of a delivery that does not take place
ANY = "DOMAIN"


def sender(domain):
    return f"postmaster@{domain}"


def message(domain):
    """Returns the message of a domain's trial, bytes."""
    return (f"From: {sender(domain)}\nTo: {RECIPIENT}\n"
            f"Subject: trial of qmail-dk check\nDate: {email.utils.formatdate()}\n"
            f"Message-ID: {email.utils.make_msgid(domain=domain)}\n\n"
            "This message is signed and verified, and not sent.\n").encode()


def deferred(reason):
    """Returns the outcome for a message that the signer does not pass on.  reason: bytes"""
    return FAIL, "deferred: " + on_one_line(reason), "as it says"


def unsigned(launcher, reason=""):
    """Returns the outcome for a message without signature.  launcher: path of the program"""
    return FAIL, f"{launcher} sent the message unsigned" + reason, f"qmail-dk why {ANY}"


def unverified(lacks):
    """Returns the outcome for a signed message that nothing verifies.  lacks: what is missing"""
    return OK, f"signed; without {lacks} not verified", ""


def unfolded(annotated):
    """Returns the value of the first field of a message (bytes), without folds; str."""
    field = annotated.replace(b"\n ", b" ").replace(b"\n\t", b" ").partition(b"\n")[0]
    return field.partition(b":")[2].decode("ascii", "replace")


def verdicts(field):
    """Returns an outcome for each result in an Authentication-Results field.

    field: its value, unfolded; str.  A result is for instance "dkim=pass header.d=example.com".
    """
    results = [" ".join(part.split()) for part in field.split(";")[1:] if part.strip()]
    return [(OK, words, "") if words.partition("=")[2].split()[0] == "pass" else
            (FAIL, words, "see what is said of its key and record") for words in results]
