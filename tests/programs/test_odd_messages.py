# SPDX-License-Identifier: MIT
"""What is signed is what is sent: odd messages, both wire forms, every verifier.

Each message goes through the signer, then through blast() of both flavours of
qmail-remote, then to dkimpy, Mail::DKIM and OpenDKIM.  Either all of them accept
every signature that they know, or the message was sent on as it came.
"""

import pytest

from tests.support import judges, signing, wire
from tests.support.odd_messages import ALL, HEADER, MESSAGE, TABLE, UNSIGNED

# What qmail-remote refuses, signed or not: (what, message, signatures)
PARTIAL_LINES = [
    ("body", MESSAGE + b"last", ALL),
    ("body after CR", HEADER + b"\na\r\nlast", ALL),
    ("header", HEADER + b"X-Last: x", UNSIGNED),
]

NAMES = {("dkim", "rsa-sha256"): "dkim rsa", ("dkim", "ed25519-sha256"): "dkim ed25519",
         ("domainkeys", "rsa-sha1"): "domainkeys"}


@pytest.fixture(scope="module")
def signer(tmp_path_factory):
    return signing.Signer(tmp_path_factory.mktemp("keys"), signing.EXAMPLE_BOTH)


def assert_accepted(message, records, signatures):
    """Every verifier knows some of the signatures of example.com, and passes them all."""
    for judge, verdicts in judges.verdicts(message, records).items():
        ours = [verdict for verdict in verdicts if verdict.domain != "example.org"]
        assert all(verdict.result in ("pass", "unsupported") for verdict in ours), (judge, verdicts)
        expected = signatures if judge == "mail_dkim" else signatures.replace(", domainkeys", "")
        assert ", ".join(NAMES[verdict.protocol, verdict.algorithm] for verdict in ours) == expected


@pytest.mark.parametrize("what, message, signatures", TABLE, ids=[row[0] for row in TABLE])
def test_signed_and_accepted_or_as_it_came(signer, what, message, signatures):
    handed_on = signer.sign(message)
    if not signatures:
        assert handed_on == message
        assert "sent unsigned" in signer.log[-1] or "too much to sign" in signer.log[-1]
        return
    assert b"\r" not in handed_on
    assert handed_on.endswith(message.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
    wires = {blast(handed_on) for blast in wire.FLAVOURS}
    assert len(wires) == 1, "the flavours of qmail-remote send different messages"
    assert_accepted(wire.received(wires.pop()), signer.records, signatures)


@pytest.mark.parametrize("what, message, signatures", PARTIAL_LINES,
                         ids=[row[0] for row in PARTIAL_LINES])
def test_partial_last_line_is_left_to_qmail_remote(signer, what, message, signatures):
    handed_on = signer.sign(message)
    assert handed_on.endswith(message.replace(b"\r\n", b"\n"))
    for blast in wire.FLAVOURS:
        with pytest.raises(wire.PartialLine):
            blast(handed_on)
    if signatures:
        ended = (handed_on + b"\n").replace(b"\n", b"\r\n")
        assert_accepted(ended, signer.records, signatures)
    else:
        assert handed_on == message


# contracts of blast(): (queue file, on the wire by 1.03, by notqmail 1.09; None: refused)
BLAST = [
    (b"", b"", b""),
    (b"a\n", b"a\r\n", b"a\r\n"),
    (b".\n.a\n", b"..\r\n..a\r\n", b"..\r\n..a\r\n"),
    (b"a\r\n", b"a\r\r\n", b"a\r\n"),
    (b"a\rb\n", b"a\rb\r\n", b"a\r\nb\r\n"),
    (b"a\r.\rb\n", b"a\r.\rb\r\n", b"a\r\n.\r\nb\r\n"),
    (b"a", None, None),
    (b"a\r", None, b"a\r\n"),
    (b"a\n\0b\n", b"a\r\n\0b\r\n", b"a\r\n\0b\r\n"),
]


@pytest.mark.parametrize("text, by_1_03, by_1_09", BLAST, ids=[repr(row[0]) for row in BLAST])
def test_wire_forms(text, by_1_03, by_1_09):
    for blast, on_the_wire in ((wire.qmail_1_03, by_1_03), (wire.notqmail_1_09, by_1_09)):
        if on_the_wire is None:
            with pytest.raises(wire.PartialLine):
                blast(text)
        else:
            assert blast(text) == on_the_wire


def test_dot_stuffing_is_undone():
    assert wire.received(b"..\r\n..a\r\n\r\nb.\r\n") == b".\r\n.a\r\n\r\nb.\r\n"


def test_smuggling_shows_where_nothing_is_signed():
    """The hole that the CR rule closes: the check above must be able to see it."""
    with pytest.raises(AssertionError):
        wire.received(wire.notqmail_1_09(b"x\r.\r\nMAIL FROM:<>\r\n"))


def test_verifiers_refuse_what_was_changed(signer):
    """Verifiers that accept everything would prove nothing above."""
    message = signer.sign(MESSAGE).replace(b"\n", b"\r\n")
    for changed in (message.replace(b"hello", b"hallo"),
                    message.replace(b"Subject: h", b"Subject: H"),
                    b"From: eve@example.org\r\n" + message):
        for judge, verdicts in judges.verdicts(changed, signer.records).items():
            for verdict in verdicts:
                # DomainKeys covers only what is below its field.
                if verdict.protocol == "dkim" or not changed.startswith(b"From: eve"):
                    assert verdict.result in ("fail", "unsupported"), (judge, verdict)
