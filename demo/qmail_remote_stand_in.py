#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Stands in for a missing qmail-remote: sends to one port of this machine.

    qmail_remote_stand_in.py host sender recipient ...    (message on descriptor 0)

The environment variable SMTP_PORT has the port.  It writes the report of
qmail-remote: r, h or s for each recipient, then K, Z or D for the message, each
ended by NUL; and exits 0.
"""

import os
import smtplib
import sys

ADDRESS = "127.0.0.1"


def main(arguments):
    _, sender, *recipients = arguments
    message = sys.stdin.buffer.read()
    if not message.endswith(b"\n"):
        report("D", "SMTP cannot transfer messages with partial final lines. (#5.6.2)")
        return
    try:
        with smtplib.SMTP(ADDRESS, int(os.environ["SMTP_PORT"]),
                          local_hostname="mail.example.com", timeout=30) as connection:
            send(connection, sender, recipients, message)
    except smtplib.SMTPResponseException as error:
        report(verdict(error.smtp_code), f"{ADDRESS} said: {error.smtp_code} "
               + printable(error.smtp_error))
    except (OSError, smtplib.SMTPException) as error:
        report("Z", f"Connection to {ADDRESS} failed: {error} (#4.4.2)")


def send(connection, sender, recipients, message):
    """Makes one SMTP transaction, and reports it.  Raises OSError, SMTPException."""
    connection.helo()
    code, text = connection.mail(sender)
    if code >= 400:
        raise smtplib.SMTPResponseException(code, text)
    accepted = [relay_recipient(connection, recipient) for recipient in recipients]
    if not any(accepted):
        report("D", f"Giving up on {ADDRESS}.")
        return
    # smtplib doubles dots at line starts, and adds the final one.
    code, text = connection.data(message.replace(b"\n", b"\r\n"))
    if code >= 400:
        raise smtplib.SMTPResponseException(code, text)
    report("K", f"{ADDRESS} accepted message.\nRemote host said: {code} {printable(text)}")


def relay_recipient(connection, recipient):
    """Sends RCPT, and writes its part of the report.  Returns whether it was accepted."""
    code, text = connection.rcpt(recipient)
    if code < 400:
        report("r")
        return True
    report("h" if code >= 500 else "s",
           f"{ADDRESS} does not like recipient.\nRemote host said: {code} {printable(text)}")
    return False


def verdict(code):
    """Returns the letter for the message, for an SMTP reply code of 400 or more."""
    return "D" if code >= 500 else "Z"


def printable(text):
    """Returns an SMTP reply (bytes) as str that can't end a part of the report."""
    return text.decode("latin-1").replace("\0", "?")


def report(letter, text=""):
    """Writes one part of the report."""
    sys.stdout.write(letter + text + ("\n\0" if text else "\0"))


if __name__ == "__main__":
    main(sys.argv[1:])
