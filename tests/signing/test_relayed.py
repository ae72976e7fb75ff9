# SPDX-License-Identifier: MIT
"""What breaks signatures on the way: the log warns of it, and judges find them broken."""

from tests.support import judges
import pytest
from tests.support import signing, wire

from lib.signing import relayed
from tests.support import administrator

FROM = b"From: alice@example.com\n"
DATE = b"Date: Tue, 14 Nov 2023 22:13:20 +0000\n"
TO = b"To: bob@example.net\n"
BODY = b"\nx\n"
WHOLE = FROM + DATE + TO + b"Subject: x\n" + BODY
NO_DATE, NO_TO, NEITHER = "no Date field", "no To field", "no Date and no To field"
LONG = "more than 998 bytes"


def dkim_results(message, signer):
    """The judges' results of the DKIM signature of a message with LF line ends."""
    return {verdict.result
            for verdicts in judges.verdicts(wire.received(wire.qmail_1_03(message)),
                                            signer.records).values()
            for verdict in verdicts if verdict.protocol == "dkim"}


# What the next hop does to a signed message -> the message, the change, words of the warning
# or None, and whether DKIM survives it.
CHANGES = {
    "adds Date": (FROM + TO + BODY, lambda text: DATE + text, NO_DATE, False),
    "adds To": (FROM + DATE + BODY, lambda text: b"To: undisclosed-recipients:;\n" + text, NO_TO,
                False),
    "adds both": (FROM + BODY, lambda text: DATE + TO + text, NEITHER, False),
    "adds Message-ID": (WHOLE, lambda text: b"Message-ID: <1@x>\n" + text, None, True),
    "adds nothing": (WHOLE, lambda text: text, None, True),
    "adds no To beside Cc": (FROM + DATE + b"Cc: b@example.net\n" + BODY, lambda text: text, None,
                             True),
    "breaks a line of the body": (
        WHOLE + b"y" * 999 + b"\n",
        lambda text: text.replace(b"y" * 998, b"y" * 998 + b"\n "), LONG, False),
    "breaks a line of the header": (
        FROM + DATE + TO + b"Subject: " + b"z" * 990 + b"\n" + BODY,
        lambda text: text.replace(b"z" * 989, b"z" * 989 + b"\n "), LONG, False),
}


@pytest.mark.parametrize("what", CHANGES)
def test_the_log_warns_of_what_breaks(tmp_path, what):
    text, change, words, survives = CHANGES[what]
    signer = signing.Signer(tmp_path)
    signed = signer.sign(text)
    warnings = [line for line in signer.log if line.startswith("warning: ")]
    assert [words in line for line in warnings] == ([True] if words else [])
    assert all(" recipient=<bob@example.net>" in line for line in warnings)
    assert dkim_results(signed, signer) == {"pass"}
    assert dkim_results(change(signed), signer) == {"pass" if survives else "fail"}


def test_only_where_present_survives(tmp_path):
    signer = signing.Signer(tmp_path, DKIMHEADERS="?Date ?To")
    signed = signer.sign(FROM + b"\nx\n")
    assert not any("warning" in line for line in signer.log)
    assert dkim_results(DATE + TO + signed, signer) == {"pass"}
    signed = signer.sign(WHOLE)
    assert dkim_results(signed, signer) == {"pass"}
    for added in DATE, TO:      # where they are present, they are protected as ever
        assert dkim_results(added + signed, signer) == {"fail"}


def test_domainkeys_alone_is_not_warned_of_fields(tmp_path):
    signer = signing.Signer(tmp_path, DKPROTOCOLS="domainkeys")
    signer.sign(FROM + b"\n" + b"y" * 999 + b"\n")
    (line,) = [line for line in signer.log if "warning" in line]
    assert LONG in line


# Header fields -> the names that the warning has, "" for no warning.
REPEATED = {
    FROM + DATE + TO + TO: "two To fields",
    FROM + DATE + TO + b"tO: c@example.net\nCc: d@x\nCC: e@x\n": "two To and two Cc fields",
    FROM + DATE + TO + b"Subject: x\n" * 3: "two Subject fields",
    FROM + DATE + TO + b"Message-ID: <1@x>\nMessage-ID: <2@x>\n": "two Message-ID fields",
    FROM + DATE + TO + b"Comments: x\nComments: y\nReceived: x\nReceived: y\n": "",
    FROM + DATE + TO + b"Cc: d@x\nSubject: x\nMessage-ID: <1@x>\n": "",
}


@pytest.mark.parametrize("fields", REPEATED)
def test_repeated_fields(tmp_path, fields):
    """rspamd fails such a signature, by doc/interoperability; the other judges pass it."""
    signer = signing.Signer(tmp_path)
    signed = signer.sign(fields + BODY)
    warnings = [line for line in signer.log if "warning" in line]
    assert [REPEATED[fields] in line for line in warnings] == [True] * bool(REPEATED[fields])
    assert dkim_results(signed, signer) == {"pass"}
    uncovered = signing.Signer(tmp_path, DKIMHEADERS="-To -Cc -Subject -Message-ID")
    uncovered.sign(fields + BODY)
    assert not any("warning" in line for line in uncovered.log)


FOLDED = b"From: Alice\n <alice@example.com>\n"
FOLDED_SENDER = b"Sender: Alice\n <alice@example.com>\n"
OTHER_FROM = b"From: Bob\n <bob@example.net>\n"


@pytest.mark.parametrize("protocols", ["domainkeys", "dkim domainkeys"])
@pytest.mark.parametrize("fields, refused", [
    (FROM, False), (FOLDED, True), (FROM[:-1] + b"\n\t(home)\n", True),
    (FROM + b"Subject: x\n y\n", False), (OTHER_FROM + FOLDED_SENDER, True),
    (OTHER_FROM + b"Sender: alice@example.com\n", False)])
def test_a_folded_sending_address_is_refused_by_some(tmp_path, fields, refused, protocols):
    """The warning stands where Mail::DKIM refuses the DomainKeys signature, if that is alone."""
    signer = signing.Signer(tmp_path, DKPROTOCOLS=protocols)
    signed = signer.sign(fields + DATE + TO + BODY)
    warned = any("is folded" in line for line in signer.log)
    assert warned == (refused and protocols == "domainkeys")
    results = {verdict.result for verdict in judges.mail_dkim(
        wire.received(wire.qmail_1_03(signed)), signer.records) if verdict.protocol != "dkim"}
    assert results == {"fail" if refused else "pass"}


def test_what_is_not_signed_is_not_warned_of(tmp_path):
    signer = signing.Signer(tmp_path)
    signer.sign(b"From: eve@example.net\n\n" + b"y" * 999 + b"\n", "eve@example.net")
    assert signer.log == []


LINES = [0, 1, 500, 996, 997, 998, 999, 1000, 3000]


@pytest.mark.parametrize("size", [1, 7, 333, 997, 998, 999, 1000, 1999, 65536])
@pytest.mark.parametrize("before", LINES)
@pytest.mark.parametrize("length", LINES)
def test_long_lines(size, before, length):
    """However the chunks fall; by a plain reading."""
    for text in (b"x" * before + b"\n" + b"y" * length, b"\n\n" + b"x" * before + b"\nz\n\n"
                 + b"y" * length + b"\n" + b"z" * 100 + b"\n"):
        lines = relayed.LineWatch()
        for at in range(0, len(text), size):
            lines.feed(text[at:at + size])
        assert lines.found == any(len(line) > 998 for line in text.split(b"\n"))


@pytest.mark.parametrize("line", [b"\n", b"x" * 76 + b"\n", b"x" * 998 + b"\n"])
def test_few_searches(line):
    """However short the lines are, or the pass over a large body would be slowed down."""
    searches = []

    class Chunk(bytes):
        def rfind(self, *arguments):
            searches.append(arguments)
            return super().rfind(*arguments)
    relayed.LineWatch().feed(Chunk((line * 65536)[:65536]))
    assert len(searches) <= 75


def test_why_says_so(tmp_path):
    admin = administrator.Administrator(tmp_path)
    admin.keygen()
    output = admin.succeed("why", "-", stdin=FROM + b"\n" + b"y" * 999 + b"\n")
    assert f"warning: there is {NEITHER}" in output and "?Date ?To into DKIMHEADERS" in output
    assert f"warning: a line has {LONG}" in output
    output = admin.succeed("why", "-", stdin=WHOLE.replace(TO, TO + TO))
    assert "warning: there are two To fields, and rspamd counts" in output
    for domain_or_whole in (("why", administrator.DOMAIN), {}), (("why", "-"), {"stdin": WHOLE}):
        assert "warning" not in admin.succeed(*domain_or_whole[0], **domain_or_whole[1])
