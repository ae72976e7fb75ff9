#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Shows how a message is signed, delivered and verified: `./install.sh demo` runs it.

Exits 0 only if the message arrived as it was sent, with passing signatures of both
kinds.
"""

import contextlib
import email.utils
import os
import signal
import sys
import tempfile

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# With -I, Python does not search the script's directory for modules.
sys.path.insert(0, CHECKOUT)

from demo import (Failure, delivery, dns_server, receipt,   # noqa: E402
                  smtp_sink, verification)
from lib import crypto      # noqa: E402
from lib.admin import records      # noqa: E402

DOMAIN = "example.com"
SELECTOR = "demo"
SENDER = "alice@example.com"
RECIPIENT = "bob@example.net"
HOST = "example.net"


def main():
    # A character that the terminal can't show must not end the demonstration.
    sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)
    for number in signal.SIGHUP, signal.SIGINT, signal.SIGTERM:
        signal.signal(number, end)
    try:
        demonstrate()
    except (Failure, OSError) as trouble:
        sys.exit(f"demo: {trouble}")


def end(number, frame):
    """Exits after a signal, through all code that cleans up."""
    sys.exit(128 + number)


def demonstrate():
    """Takes all the steps in order.  Raises Failure and OSError."""
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="qmail-dk-demo."))

        step(f"Key: RSA, 2048 bits, for {DOMAIN}, selector {SELECTOR}")
        record = make_key(scratch)

        dns_port = stack.enter_context(dns_server.serving(zone(record)))
        step(f"DNS: 127.0.0.1#{dns_port} has the public key")
        show(f'{SELECTOR}._domainkey.{DOMAIN}. TXT "{record[:50]}..."')

        sink = stack.enter_context(smtp_sink.listening())
        step(f"SMTP: 127.0.0.1 port {sink.port} takes the mail for {HOST}")

        original = delivery.find_original(os.path.join(scratch, "qmail"), sink.port)
        step(f"qmail-remote: {original.description}")

        step(f"Signing and sending a message from {SENDER} to {RECIPIENT}")
        sent = queued_message()
        report = delivery.deliver(
            write(scratch, "message", sent), [HOST, SENDER, RECIPIENT], original,
            {"DKSIGN": f"{scratch}/keys/%/{SELECTOR}", "DKMAY": "", "SMTP_PORT": str(sink.port)})
        show(report)

        arrived = only_arrival(sink)
        step("The message as it arrived")
        show(arrived.decode("utf-8", "replace").replace("\r\n", "\n"))
        require_unaltered(arrived, sent)

        step("What verification says")
        verdicts = verification.verdicts(arrived, dns_port)
        for verdict in verdicts:
            print(verdict)
        verification.require_pass(verdicts)

        step(f"What the recipient's server logs and adds, with DKVERIFY={receipt.DKVERIFY}")
        fields, log = receipt.receive(arrived, SENDER, RECIPIENT, original.home, dns_port)
        show(log)
        show(fields)
        step("Done: signed, delivered unaltered, and verified")


def make_key(scratch):
    """Writes a private key where DKSIGN finds it.  Returns the text of its DNS record."""
    pem = crypto.generate_private_key("rsa", 2048)
    directory = os.path.join(scratch, "keys", DOMAIN)
    os.makedirs(directory)
    write(directory, SELECTOR, pem)
    return records.key_text(crypto.load_private_key(pem))


def zone(record):
    """Returns the zone of DOMAIN, which has only the key record."""
    return records.bind(records.key_name(SELECTOR, DOMAIN), record) + "\n"


def queued_message():
    """Returns a message as qmail-queue leaves it for qmail-remote: LF line ends, 8-bit."""
    date = email.utils.formatdate()
    with open(os.path.join(CHECKOUT, "demo", "message.txt"), "rb") as file:
        text = file.read()
    return (f"Received: (qmail 1 invoked by uid {os.getuid()}); {date}\n"
            f"Date: {date}\n").encode("ascii") + text


def write(directory, name, data):
    """Writes a file that other users can't read.  Returns its path."""
    path = os.path.join(directory, name)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    return path


def only_arrival(sink):
    """Returns the bytes of the sink's only message, CR LF.  Raises Failure if it has not one."""
    if len(sink.arrived) != 1:
        raise Failure(f"{len(sink.arrived)} messages arrived, not one")
    return sink.arrived[0].content


def require_unaltered(arrived, sent):
    """Raises Failure unless the message arrived as it was sent, below some new fields."""
    if not arrived.endswith(sent.replace(b"\n", b"\r\n")):
        raise Failure("what arrived is not what was sent")


def step(text):
    print(f"==> {text}")


def show(text):
    """Prints text, indented."""
    for line in text.rstrip("\n").split("\n"):
        print("    " + line)


if __name__ == "__main__":
    main()
