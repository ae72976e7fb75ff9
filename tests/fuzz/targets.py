# SPDX-License-Identifier: MIT
"""What is fuzzed: each function takes any bytes, and an exception from it is a bug found.

Each holds the code against a plain reading of the RFC, another implementation,
or a promise of SECURITY.  The first byte of the input says in what pieces the
rest goes in.  seeds() gives what the fuzzer starts from.  Most targets are in
mail_targets.py, verifying_targets.py and spf_targets.py; TARGETS names them all.
"""

import re
import tempfile
from unittest import mock

import dkim     # whole, as a judge, before lib/ imports it in part

from lib.qmail import spawn as spawn_protocol
from lib.signing import key_files
from tests.fuzz.inputs import pieces
from tests.fuzz.mail_targets import (
    addresses, body, claim, field, header, long_header, removal, sender, without_cr,
)
from tests.fuzz.spf_targets import spf_evaluation
from tests.fuzz.verifying_targets import (
    dmarc_record, dns_answer, public_key, record, signature, tags,
)
from tests.support import rspawn, signing, verifying


def spawn(data):
    """qmail-rspawn's protocol: commands in any pieces, reports as qmail-rspawn.c reads them."""
    text, cut = pieces(data)
    commands = list(spawn_protocol.CommandReader().feed(text))
    reader = spawn_protocol.CommandReader()
    assert [command_parts(command) for piece in cut for command in reader.feed(piece)] == [
        command_parts(command) for command in commands]
    for command in commands:
        spawn_protocol.command_flaw(command, 20, False)
    for status in (0, 111 << 8, 1 << 8, 9):
        words = spawn_protocol.report(status, text)
        assert words[:1].decode() == rspawn.verdict(status, text).verdict
        assert spawn_protocol.answer(7, words).count(b"\0") == 1


def command_parts(command):
    return command.number, command.name, command.sender, command.recipient


class Signing:
    """Any message is signed so that dkimpy accepts it, or comes out as it went in."""

    def __init__(self):
        self.directory = self.signer = None

    def start(self):
        """Makes the keys.  A small one, for nothing here depends on its size."""
        self.directory = tempfile.TemporaryDirectory(prefix="fuzz")
        self.signer = signing.Signer(self.directory.name,
                                     (("example.com", "s2026a", "rsa1024.pem"),))

    def __call__(self, data):
        if self.signer is None:
            self.start()
        text = data[1:]
        with mock.patch.object(key_files, "keep_loaded", True):     # as the resident signer does
            out = self.signer.sign(text)
        if out == text:
            return
        assert b"\r" not in out
        assert out.endswith(re.sub(rb"\r\n|\r", b"\n", text))
        ended = out if out.endswith(b"\n") else out + b"\n"
        assert dkim.DKIM(ended.replace(b"\n", b"\r\n")).verify(0, dnsfunc=self.key)
        found = verifying.examine(ended, self.signer.records, now=signing.NOW)
        assert found.results[0].status == "pass"

    def key(self, name, timeout):
        """The TXT record of a name, as dkimpy asks for it."""
        return self.signer.records[name.decode().rstrip(".")].encode()


TARGETS = {
    "header": header, "long_header": long_header, "without_cr": without_cr, "sender": sender,
    "addresses": addresses,
    "tags": tags, "record": record, "public_key": public_key, "signature": signature,
    "removal": removal, "claim": claim, "body": body, "field": field, "spawn": spawn,
    "dns_answer": dns_answer, "spf_record": spf_evaluation, "dmarc_record": dmarc_record,
    "signing": Signing(),
}
