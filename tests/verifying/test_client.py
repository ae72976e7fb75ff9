# SPDX-License-Identifier: MIT
"""The client of a message: its address, its name, and the envelope sender."""

import pytest

from lib.mail import message
from lib.verifying import client

IPV4, IPV6 = bytes((192, 0, 2, 7)), bytes.fromhex("20010db8000000000000000000000007")

# TCPREMOTEIP -> the address
ADDRESSES = {
    "192.0.2.7": IPV4, "::ffff:192.0.2.7": IPV4, "::FFFF:c000:207": IPV4, "2001:db8::7": IPV6,
    "2001:DB8:0:0:0:0:0:7": IPV6, "fe80::1%eth0": bytes.fromhex("fe80") + bytes(13) + b"\1",
    "": None, "unknown": None, "192.0.2": None, "192.0.2.256": None, "3221225991": None,
    "192.0.2.7 ": None, "192.0.2.7\n": None, "1.2.3.4.5": None, ":::": None, "192.0.2.7\0x": None,
    "\udcff": None,
}


@pytest.mark.parametrize("text", ADDRESSES)
def test_addresses(text):
    assert client.packed(text) == ADDRESSES[text]
    if ADDRESSES[text] == IPV6:
        assert client.unpacked(IPV6) == "2001:db8::7"


# Received field, as servers write it -> the HELO name, and the address if it is not 192.0.2.7
GREETINGS = {
    "qmail": (b"from unknown (HELO mail.example.com) (192.0.2.7)", b"mail.example.com"),
    "the name is the host's": (b"from mail.example.com (192.0.2.7)", b"mail.example.com"),
    "with identd": (b"from a.example (HELO b.example) (joe@192.0.2.7)", b"b.example"),
    "an @ in what identd says": (b"from a.example (a@b@192.0.2.7)", b"a.example"),
    "EHLO": (b"from unknown (EHLO b.example) (192.0.2.7)", b"b.example"),
    "IPv6": (b"from unknown (HELO b.example) (2001:db8::7)", b"b.example", "2001:db8::7"),
    "brackets": (b"from unknown (HELO ?192.0.2.7?) ([192.0.2.7])", b"?192.0.2.7?"),
    "folded": (b"from unknown\n\t(HELO b.example)\n  (192.0.2.7)", b"b.example"),
    "an empty name": (b"from unknown (HELO ) (192.0.2.7)", b""),
    "no address": (b"from localhost", b"localhost", ""),
    "invoked": (b"(qmail 4711 invoked from network)", b"", ""),
}


@pytest.mark.parametrize("name", GREETINGS)
def test_greetings(name):
    value, helo, *address = GREETINGS[name]
    field = b"Received: " + value + b"\n  by mx.example.net with SMTP; 1 Dec 2026 00:00:00 -0000\n"
    assert client.greeting(field) == (helo, *(address or ["192.0.2.7"]))


SMTPD = b"Received: from unknown (HELO mail.example.com) (192.0.2.7)\n  by mx.example.net; x\n"

# the message's header -> the HELO name that is believed for 192.0.2.7
TOPS = {
    "qmail-smtpd's": (SMTPD, b"mail.example.com"),
    "another client's": (SMTPD.replace(b"2.7", b"2.8"), b""),
    "not on top": (b"Subject: x\n" + SMTPD, b""),
    "nothing": (b"", b""),
}


@pytest.mark.parametrize("name", TOPS)
def test_the_name_is_of_the_topmost_field(name):
    text, helo = TOPS[name]
    header, _ = message.split([text + b"From: a@example.com\n\n"])
    found = client.of_message(header, {"TCPREMOTEIP": "192.0.2.7"}, b"a@example.com")
    assert (found.address, found.helo, found.sender) == (IPV4, helo, b"a@example.com")


@pytest.mark.parametrize("name", TOPS)
def test_a_bounce_needs_the_name(name):
    """Of another server than qmail-smtpd, it is not known, and SPF would be "none"."""
    text, helo = TOPS[name]
    header, _ = message.split([text + b"From: a@example.com\n\n"])
    found = client.of_message(header, {"TCPREMOTEIP": "192.0.2.7"}, b"")
    assert (found and found.helo) == (helo or None)


def test_a_bounce_with_an_empty_name():
    """It is known, and is none: a forger must not choose that SPF is not evaluated."""
    header, _ = message.split([SMTPD.replace(b"mail.example.com", b"") + b"\n"])
    assert client.of_message(header, {"TCPREMOTEIP": "192.0.2.7"}, b"").helo == b""


@pytest.mark.parametrize("environment, sender", [
    ({}, b"a@example.com"), ({"TCPREMOTEIP": "unknown"}, b""),
    ({"TCPREMOTEIP": "192.0.2.7"}, None)])
def test_no_client(environment, sender):
    header, _ = message.split([SMTPD + b"\n"])
    assert client.of_message(header, environment, sender) is None
