# SPDX-License-Identifier: MIT
"""Receives a message as the recipient's server would: qmail-smtpd, verifier, qmail-queue."""

import email.utils
import os
import sys

from . import Failure, child
from .smtp_sink import NAME

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VERIFIER = os.path.join(CHECKOUT, "qmail_qfilter_verify.py")
STAND_IN = os.path.join(CHECKOUT, "demo", "qmail_queue_stand_in.sh")

DKVERIFY = "DEGIJKfh"   # results to reject, as the author of qmail-dk advised
NEEDED = ("Authentication-Results: ", "dkim=pass", "domainkeys=pass", "DomainKey-Status: good\n")


def receive(message, sender, recipient, home, dns_port):
    """Passes a message to the verifier, as the program of QMAILQUEUE.

    message: bytes, CR LF, as it arrived; home: a directory in the place of qmail's own
    Returns (the header fields that the verifier wrote, its log), str.
    Raises Failure unless the message was queued and its signatures of both kinds were
    found good.
    """
    queue = os.path.join(home, "received")
    os.mkdir(queue)
    # The message as qmail-smtpd changes it.
    text = (f"Received: from unknown (HELO mail.example.com) (127.0.0.1)\n  by {NAME} with SMTP; "
            f"{email.utils.formatdate()}\n").encode("ascii") + message.replace(b"\r\n", b"\n")
    envelope = b"F%b\0T%b\0\0" % (sender.encode("ascii"), recipient.encode("ascii"))
    log = queue_up(text, envelope, home, {
        "PATH": os.environ.get("PATH", os.defpath), "QUEUE": queue, "DKQUEUE": STAND_IN,
        "DKVERIFY": DKVERIFY, "DKAUTHSERVID": NAME, "DNSCACHEIP": f"127.0.0.1#{dns_port}",
        "DKSERVER": "-"})       # one that runs on this host asks other name servers
    fields = queued_fields(queue, text, envelope)
    for words in NEEDED:
        if words not in fields:
            raise Failure(f"the verifier has not written {words!r}, but: {fields}")
    return fields, log


def queue_up(message, envelope, home, environment):
    """Runs the verifier as qmail-smtpd does.  Returns its log, str.

    Raises Failure if it does not accept the message.
    """
    log = os.path.join(home, "log")
    # The envelope fits into the pipe, so it can be written before there is a reader.
    read_end, write_end = os.pipe()
    with open(read_end, "rb") as envelope_reader, open(log, "wb") as log_writer:
        with open(write_end, "wb") as envelope_writer:
            envelope_writer.write(envelope)
        code, _ = child.run([sys.executable, "-IS", "-X", f"qmail={home}", VERIFIER], message,
                            stdout=envelope_reader, stderr=log_writer, env=environment)
    with open(log, encoding="utf-8", errors="replace") as file:
        said = file.read().strip()
    if code:
        raise Failure(f"the verifier has not accepted the message: exit code {code}; {said}")
    return said


def queued_fields(queue, message, envelope):
    """Returns the header fields that the queued message has on top of message, str.

    queue: directory; message, envelope: bytes.  Raises Failure if anything else differs.
    """
    with open(os.path.join(queue, "envelope"), "rb") as file:
        if file.read() != envelope:
            raise Failure("the envelope has not come through the verifier unaltered")
    with open(os.path.join(queue, "message"), "rb") as file:
        queued = file.read()
    if not queued.endswith(message):
        raise Failure("the message has not come through the verifier unaltered")
    return queued[:-len(message)].decode("ascii")
