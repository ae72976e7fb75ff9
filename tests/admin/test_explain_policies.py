# SPDX-License-Identifier: MIT
"""qmail-dk verify: SPF and DMARC step by step, for the client that is given or in the header."""

import pytest

from tests.support.explained import MESSAGE, admin, shared, signed      # noqa: F401

ZONE = {
    "example.com": ["v=spf1 include:spf.example.net -all"],
    "spf.example.net": ["v=spf1 ip4:192.0.2.0/24 ~all"],
    "_dmarc.example.com": ["v=DMARC1; p=quarantine; adkim=s"],
}
TOP = (b"Return-Path: <joe@example.com>\nReceived: (qmail 17 invoked from network); x\n"
       b"Received: from unknown (HELO mail.example.com) (192.0.2.7)\n  by mx.example.net; x\n")
GIVEN = ("--client", "192.0.2.7", "--sender", "joe@example.com")

# text, arguments -> words of the output
EXPLAINED = {
    "the header tells": (TOP + MESSAGE, (), [
        "SPF: client 192.0.2.7, mailfrom example.com\\n",
        "TXT of spf.example.net: 1 found", "include:spf.example.net matches: pass",
        "DMARC: From: example.com\\n", "the record of example.com applies to example.com",
        "spf example.com: aligned, the same domain", "  result: pass; policy quarantine\\n"]),
    "options": (MESSAGE, GIVEN, ["SPF: client 192.0.2.7, mailfrom example.com\\n",
                                 "  result: pass; policy quarantine\\n"]),
    "options before the header": (TOP + MESSAGE, ("--client", "2001:db8::1"), [
        "SPF: client 2001:db8::1, mailfrom example.com\\n", "-all matches: fail",
        "result: fail: neither DKIM nor SPF passes; policy quarantine\\n"]),
    "a bounce": (MESSAGE, ("--client", "192.0.2.7", "--sender", "", "--helo", "spf.example.net"), [
        "SPF: client 192.0.2.7, helo spf.example.net\\n", "ip4:192.0.2.0/24 matches: pass"]),
    "no client": (MESSAGE, (), [
        "SPF: not evaluated, for the client or the sender is not known (qmail-dk verify takes "
        "--client, --sender and --helo)",
        "result: permerror: the client is unknown, so SPF is not evaluated"]),
    "no sender": (MESSAGE, ("--client", "192.0.2.7"), ["SPF: not evaluated"]),
}


@pytest.mark.parametrize("name", EXPLAINED)
def test_explained(admin, name):
    text, arguments, words = EXPLAINED[name]
    admin.zone.update(ZONE)
    done = admin.run("verify", *arguments, stdin=text)
    assert done.returncode == 1 and done.stderr == ""       # there is no signature
    for word in words:
        assert word.replace("\\n", "\n") in done.stdout, done.stdout


def test_a_signature_that_is_aligned(admin):
    admin.zone.update(ZONE)
    output = admin.succeed("verify", *GIVEN, stdin=signed(admin))
    assert "dkim example.com: aligned, the same domain" in output


def test_no_address(admin):
    done = admin.run("verify", "--client", "localhost", stdin=MESSAGE)
    assert (done.returncode, done.stdout) == (100, "")
    assert done.stderr == "qmail-dk: localhost is not an IP address\n"


def test_no_text_of_strangers(admin):
    """Records and names are shown as printable ASCII on one line."""
    admin.zone.update({"example.com": ["v=spf1 include:a\x1b[2Jb.example -all"],
                       "_dmarc.example.com": ["v=DMARC1; p=reject\x1b[2J; rua=mailto:a@b.example"]})
    output = admin.run("verify", *GIVEN, stdin=MESSAGE).stdout
    assert "\x1b" not in output and output.isascii()
