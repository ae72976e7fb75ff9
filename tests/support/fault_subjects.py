# SPDX-License-Identifier: MIT
"""The programs for one message, as subjects of the fault sweep.

The signer runs through the launcher: faults hit its shell, from its first line on,
and its interpreter, until it executes the original.  A delivery must end as Z with
nothing sent, or as K with the whole message sent and valid signatures.

The verifier runs as a queue program, with and without a resident verifier to ask
(with one also by the launcher in C), and as a filter.  It must exit with a code that
its caller takes for temporary and queue nothing, or exit 0 and queue the whole message,
with a good signature called good, and none bad.  Anything else is a fault of ours.
"""

import re

from tests.support import deliveries
from tests.support import dns_server, native, queue_driver, resident, rspawn, verifying
from tests.support.fault_sweep import KILLED, Subject

# Runs the launcher's interpreter under strace.
TRACED = """#!/bin/sh
exec {strace} '{python}' "$@"
"""


class Signer(Subject):
    """A delivery through the launcher."""

    places = ("sh", "python")
    first = {"sh": "#!/bin/sh"}     # from here on, sh reads the launcher

    def __init__(self, directory):
        super().__init__(directory)
        self.host = deliveries.Host(directory)
        link = self.host.keys / "example.com" / "default"
        link.rename(link.with_name("s1"))
        link.symlink_to("s1")       # the selector is the target's name, whatever fails
        (record,) = self.host.records.values()
        self.host.records = {"s1._domainkey.example.com": record}

    def run(self, where, options):
        """Returns (rspawn.Delivery, the bytes that were sent or None)."""
        (self.host.directory / "sent").unlink(missing_ok=True)
        if where == "sh":
            command = [*self.strace(options), rspawn.install_launcher(self.host.directory)]
        else:
            python = self.host.program("traced-python", TRACED.format(
                strace=self.quoted(options, "-b", "execve"), python=rspawn.PYTHON))
            command = [rspawn.install_launcher(self.host.directory, python=python)]
        result = rspawn.deliver(command, self.host.message, self.host.environment)
        return result, self.host.sent

    def judge(self, fault):
        result, sent = self.run(fault.where, fault.injection)
        if result.verdict == "Z":
            if sent is None:
                return "deferred"
            if (fault.where, fault.error) == ("sh", KILLED) and self.host.sent_signed():
                return "killed, though sent"    # no process is left to report it
            return f"wrong: deferred {result.text!r}, though sent"
        if result.verdict == "K":
            return "delivered" if self.host.sent_signed() else f"wrong: sent {sent!r}"
        return f"wrong: {result}"


class Client:
    """A host with the verifier, and a message with good signatures of both algorithms."""

    message = verifying.dkim_signed(verifying.dkim_signed(key=verifying.Ed25519(), s="ed"))
    records = {verifying.NAME: [verifying.golden_rsa().record()],
               "ed._domainkey.example.com": [verifying.Ed25519().record()],
               "_dmarc.example.com": ["v=DMARC1; p=reject"],
               "example.com": ["v=spf1 a:client.example.com -all"],
               "client.example.com": {"A": ["192.0.2.7"]}}

    def __init__(self, directory):
        self.host = queue_driver.Host(directory)
        self.dns = dns_server.DnsServer(self.records)
        # Rejects the message unless it is found good or the result is temporary.
        self.host.environment.update(DKVERIFY="BCDEGIJKfh", DKTIMEOUT="3", DKSERVER="-",
                                     DKDMARC="refuse")

    def __enter__(self):
        self.dns.__enter__()
        self.host.environment["DNSCACHEIP"] = self.dns.address
        return self

    def __exit__(self, *exception):
        self.dns.__exit__(*exception)

    def run(self, way):
        """Returns a queue_driver.Outcome.  way: "smtpd" or "qfilter"."""
        for file in (self.host.directory / "queued").iterdir():
            file.unlink()
        return getattr(self.host, way)(self.message)

    def verdict(self, outcome):
        """Returns "accepted", "deferred" or a text beginning with "wrong".

        Reads the code as qmail_close() in qmail.c and qmail-qfilter do.
        """
        is_filter = outcome.output is not None
        if outcome.code == 0:
            text = outcome.output if is_filter else outcome.queued.get("message", b"")
            whole = (text.endswith(self.message) and b"\n  dkim=pass" in text
                     and not re.search(rb"dkim=(fail|neutral|policy|permerror)", text))
            if not is_filter:
                whole = whole and outcome.queued["envelope"] == queue_driver.ENVELOPE
            return "accepted" if whole else f"wrong: {outcome}, message {text!r}"
        # qmail-qfilter drops a message on 99.
        if 11 <= outcome.code <= 40 or outcome.code == 99 or outcome.queued:
            return f"wrong: {outcome}"
        return "deferred"


class Verifier(Subject):
    """A message from qmail-smtpd, without and with a resident verifier, or qmail-qfilter."""

    places = ("queue", "client", "filter", *("native" for _ in native.COMPILERS[:1]))
    work = {"client": "AF_UNIX", "filter": "write(1,"}  # before that, the same as "queue"

    def __init__(self, directory):
        super().__init__(directory)
        self.client = Client(directory)

    def __enter__(self):
        self.client.__enter__()
        self.server = resident.Resident(self.client.dns.address)
        self.server.__enter__()
        return self

    def __exit__(self, *exception):
        self.server.__exit__(*exception)
        self.client.__exit__(*exception)

    def run(self, where, options):
        """Returns a queue_driver.Outcome."""
        self.client.host.prefix = self.strace(options, "-b", "execve")
        self.client.host.environment["DKSERVER"] = (
            self.server.path if where in ("client", "native") else "-")
        self.client.host.native = () if where == "native" else None
        return self.client.run("qfilter" if where == "filter" else "smtpd")

    def judge(self, fault):
        return self.client.verdict(self.run(fault.where, fault.injection))
