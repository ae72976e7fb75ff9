# SPDX-License-Identifier: MIT
"""What the signatures cover and say, and how their lines are folded."""

from tests.support import judges
import pytest
from tests.support import signing, wire

from lib.errors import SettingTrouble
from lib.mail import signature_field

FROM = b"From: alice@example.com\n"
ALWAYS = "From From Subject To Cc Date Reply-To"     # h= of a message with From: only


def names(message, protocol="DKIM-Signature"):
    """The names of h= in the first such signature of a message, as a list."""
    return signing.tags(dict(reversed(signing.fields(message)))[protocol])["h"].split(":")


# (header below From:, DKIMHEADERS, h= of DKIM)
DKIM = [
    (b"", "", ALWAYS),
    # once more than they occur
    (b"To: b@example.net\nSubject: x\n", "", "From From Subject Subject To To Cc Date Reply-To"),
    (b"Cc: a\nCc: b\nCc: c\n", "", "From From Subject To Cc Cc Cc Cc Date Reply-To"),
    (b"SUBJECT: x\n", "", "From From Subject Subject To Cc Date Reply-To"),
    # once more than they occur, where they do
    (b"MIME-Version: 1.0\nContent-Type: text/plain\n", "",
     ALWAYS + " MIME-Version MIME-Version Content-Type Content-Type"),
    (b"content-disposition: inline\nContent-Nobodys: x\nCONTENT-nobodys: y\n", "", ALWAYS
     + " content-disposition content-disposition" + " CONTENT-nobodys" * 3),
    (b"Content-Disposition: inline\nContent-ID: <1@x>\n", "-content-id", ALWAYS
     + " Content-Disposition Content-Disposition"),
    (b"References: <1@x>\nIn-Reply-To: <1@x>\nMessage-ID: <2@x>\nSender: s@example.com\n", "",
     ALWAYS + " Sender Sender Message-ID Message-ID In-Reply-To In-Reply-To References References"),
    # as often as they occur
    (b"Resent-To: a\nResent-To: b\n", "", ALWAYS + " Resent-To Resent-To"),
    (b"List-Unsubscribe: <https://example.com/>\n"
     b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\n"
     b"List-Id: <l.example.com>\n", "", ALWAYS + " List-Id List-Unsubscribe List-Unsubscribe-Post"),
    # never
    (b"Received: x\nReturn-Path: <>\nAuthentication-Results: x; none\nX-Mailer: x\n"
     b"DKIM-Signature: v=1; d=example.org\nDomainKey-Signature: d=example.org\nBcc: x\n"
     b"ARC-Seal: i=1\nX-Spam-Status: No\nDelivered-To: x\nComments: x\nContent-Length: 5\n"
     b"Content: x\nContent-" + b"x" * 69 + b": what h= has no room for\n", "", ALWAYS),
    # DKIMHEADERS
    (b"X-Mailer: x\n", "X-Mailer", ALWAYS + " X-Mailer"),
    (b"X-Mailer: x\nx-mailer: y\n", "+X-Mailer +X-Absent", ALWAYS + " X-Mailer X-Mailer"),
    (b"Subject: x\n", "-Subject -reply-to", "From From To Cc Date"),
    (b"X-A: x\nList-Id: x\n", "X-A x-a +from +List-Id +To", ALWAYS + " List-Id X-A"),   # once
    (b"X-A: x\n", "+X-A -X-A", ALWAYS),
    (b"", "-From -Cc", "From From Subject To Date Reply-To"),
    (b"", "?Date ?to", "From From Subject Cc Reply-To"),
    (b"Date: x\nTo: x\n", "?Date ?To", "From From Subject To To Cc Date Date Reply-To"),
    (b"X-A: x\nX-A: x\n", "?X-A ?X-B ?From ?Sender -Cc ?Cc",
     "From From Subject To Date Reply-To X-A X-A"),
]


@pytest.mark.parametrize("header, setting, expected", DKIM,
                         ids=[repr(row[0])[:50] + row[1] for row in DKIM])
def test_dkim_names(tmp_path, header, setting, expected):
    signed = signing.Signer(tmp_path, DKIMHEADERS=setting).sign(FROM + header + b"\nx\n")
    assert " ".join(names(signed)) == expected


# (header, h= of DomainKeys)
DOMAINKEYS = [
    (FROM, "From"),
    (b"to: b@example.net\n" + FROM + b"X-Mailer: x\n", "to From X-Mailer"),
    # each occurrence, in order: RFC 4870 section 3.3
    (b"X-A: 1\n" + FROM + b"x-a: 2\nX-A: 3\n", "X-A From x-a X-A"),
    # what changes on the way
    (b"Received: x\nReturn-Path: <>\nDKIM-Signature: v=1\nAuthentication-Results: x\n" + FROM
     + b"DomainKey-Signature: d=x\nDomainKey-Status: good\nX-Spam-Status: No\nX-Spam: x\n",
     "From X-Spam"),
    (FROM + b"Bcc: x\nRESENT-BCC: x\nContent-Length: 5\nEnvelope-To: x\nDelivery-Date: x\n"
     b"To: x\n", "From To"),
    # what a tag list can't hold
    (FROM + b"X=Y: 1\nX\x21: 2\n" + b"X" * 77 + b": 3\nX_Y.Z: 4\n", "From X_Y.Z"),
]


@pytest.mark.parametrize("header, expected", DOMAINKEYS, ids=[row[1] for row in DOMAINKEYS])
def test_domainkeys_names(tmp_path, header, expected):
    signed = signing.Signer(tmp_path).sign(header + b"\nx\n")
    assert " ".join(names(signed, "DomainKey-Signature")) == expected


@pytest.mark.parametrize("setting", ["X-Mailer,X-Other", "X:Y", "-", "+", "?", "?X:", "a;b",
                                     "X-Mailér"])
def test_bad_dkimheaders(tmp_path, setting):
    with pytest.raises(SettingTrouble, match="DKIMHEADERS"):
        signing.Signer(tmp_path, DKIMHEADERS=setting).sign(FROM + b"\nx\n")


def test_nothing_can_be_added_unseen(tmp_path):
    """The point of signing a name once more than it occurs."""
    signer = signing.Signer(tmp_path)
    signed = signer.sign(FROM + b"Subject: x\n\nx\n")
    for added in (b"From: eve@evil.example\n", b"Subject: y\n", b"To: x\n", b"Reply-To: e@x\n"):
        # above and below the signed field, for readers differ in which they show
        for message in (added + signed, signed.replace(b"\n\nx\n", b"\n" + added + b"\nx\n")):
            verdicts = judges.dkimpy(message.replace(b"\n", b"\r\n"), signer.records)
            assert [verdict.result for verdict in verdicts] == ["fail"], added


# (settings, tags of DKIM that must be there, tags that must not)
TAGS = [
    ({}, {"v": "1", "a": "rsa-sha256", "c": "relaxed/relaxed", "d": "example.com", "s": "s2026a",
          "t": "1700000000"}, "i x l q z"),
    ({"DKIMEXPIRE": "86400"}, {"t": "1700000000", "x": "1700086400"}, "i l"),
    ({"DKIMIDENTITY": "@%"}, {"i": "@example.com"}, "x l"),
    ({"DKIMIDENTITY": "u+v@a.b.%"}, {"i": "u+v@a.b.example.com"}, "x l"),
    ({"DKIMCANON": "simple"}, {"c": "simple/simple"}, "l"),
    ({"DKIMCANON": "Relaxed/Simple"}, {"c": "relaxed/simple"}, "l"),
]


@pytest.mark.parametrize("settings, there, absent", TAGS, ids=[repr(row[0]) for row in TAGS])
def test_dkim_tags(tmp_path, settings, there, absent):
    signer = signing.Signer(tmp_path, signing.EXAMPLE_BOTH, **settings)
    signatures = [field for name, field in signing.fields(signer.sign(FROM + b"\nx\n"))
                  if name == "DKIM-Signature"]
    assert len(signatures) == 2
    tags = signing.tags(signatures[0])
    assert {tag: tags[tag] for tag in there} == there
    for signature in signatures:
        tags = signing.tags(signature)
        assert not set(tags) & set(absent.split())
        assert tags["a"] != "rsa-sha1"
        assert list(tags)[-1] == "b"
    assert signing.tags(signatures[1])["a"] == "ed25519-sha256"


@pytest.mark.parametrize("settings", [
    {"DKIMEXPIRE": "soon"}, {"DKIMEXPIRE": "0"}, {"DKIMEXPIRE": "-1"}, {"DKIMEXPIRE": "9" * 30},
    {"DKIMIDENTITY": "alice"}, {"DKIMIDENTITY": "@example.net"}, {"DKIMIDENTITY": "a b@%"},
    {"DKIMIDENTITY": "@%;l=0"}, {"DKIMIDENTITY": "a@b@%"}, {"DKIMCANON": "nofws"},
    {"DKIMIDENTITY": "@..%"}, {"DKIMIDENTITY": "@-x.%"}, {"DKIMIDENTITY": "@a_b.%"},
    {"DKIMIDENTITY": "@.%"}, {"DKIMIDENTITY": "a..b@%"}, {"DKIMIDENTITY": ".@%"},
    {"DKIMCANON": "relaxed/relaxed/relaxed"}, {"DKPROTOCOLS": "dkim,domainkeys"},
])
def test_settings_that_make_no_sense(tmp_path, settings):
    with pytest.raises(SettingTrouble, match=next(iter(settings))):
        signing.Signer(tmp_path, **settings).sign(FROM + b"\nx\n")


def test_domainkeys_tags(tmp_path):
    signed = dict(signing.fields(signing.Signer(tmp_path).sign(FROM + b"\nx\n")))
    tags = signing.tags(signed["DomainKey-Signature"])
    assert list(tags) == ["a", "q", "c", "s", "d", "h", "b"]
    assert (tags["a"], tags["q"], tags["c"]) == ("rsa-sha1", "dns", "nofws")
    assert (tags["d"], tags["s"]) == ("example.com", "s2026a")


EXAMPLE_NET = signing.EXAMPLE + (("example.net", "s2026a", "rsa.pem"),)
MAIL_EXAMPLE = signing.EXAMPLE + (("mail.example.com", "s2026a", "rsa.pem"),)

# (keys, header, envelope sender, d= of DKIM, d= of DomainKeys)
DOMAINS = [
    (signing.EXAMPLE, FROM, "x@example.net", "example.com", "example.com"),
    (EXAMPLE_NET, FROM, "x@example.net", "example.com", "example.com"),
    (signing.EXAMPLE, FROM, "", "example.com", "example.com"),
    (signing.EXAMPLE, FROM, "#@[]", "example.com", "example.com"),
    (signing.EXAMPLE, b"From: a@EXAMPLE.com\n", "", "example.com", "example.com"),
    (signing.EXAMPLE, b"From: a@a.b.example.com\n", "", "example.com", "example.com"),
    (MAIL_EXAMPLE, b"From: a@mail.example.com\n", "", "mail.example.com", "mail.example.com"),
    (MAIL_EXAMPLE, FROM, "x@mail.example.com", "example.com", "example.com"),
    # the envelope's domain, where From: has none with a key; DomainKeys never
    (signing.EXAMPLE, b"From: a@example.org\n", "x@example.com", "example.com", None),
    (signing.EXAMPLE, b"From: a@example.org\n", "x@Sub.Example.COM", "example.com", None),
    (EXAMPLE_NET, FROM + FROM, "x@example.net", "example.net", None),
    (EXAMPLE_NET, b"From: a@example.com, b@example.com\n", "x@example.net", "example.net", None),
    # Sender: is DomainKeys' alone
    (EXAMPLE_NET, FROM + b"Sender: s@example.net\n", "", "example.com", "example.net"),
    (signing.EXAMPLE, b"From: a@example.org\nSender: s@example.com\n", "", None, "example.com"),
    # nobody
    (signing.EXAMPLE, b"From: a@example.org\n", "", None, None),
    (signing.EXAMPLE, b"From: a@example.org\n", "x@example.org", None, None),
    (signing.EXAMPLE, b"From: a@example.com.org\n", "x", None, None),
    (signing.EXAMPLE, b"From: a@badexample.com\n", "example.com", None, None),
    (signing.EXAMPLE, b"From: a@com\n", "a@com", None, None),
]


@pytest.mark.parametrize("keys, header, sender, dkim, domainkeys", DOMAINS)
def test_which_domain_signs(tmp_path, keys, header, sender, dkim, domainkeys):
    signer = signing.Signer(tmp_path, keys)
    message = header + b"\nx\n"
    handed_on = signer.sign(message, sender)
    found = {name: signing.tags(field)["d"] for name, field in signing.fields(handed_on)
             if name in ("DKIM-Signature", "DomainKey-Signature")}
    assert found.get("DKIM-Signature") == dkim
    assert found.get("DomainKey-Signature") == domainkeys
    if not found:
        assert handed_on == message
        assert signer.log == []     # no noise for others' mail


def test_signed_by_the_envelope_is_passed_on_without_cr_too(tmp_path):
    handed_on = signing.Signer(tmp_path).sign(b"From: a@example.org\r\n\r\nx\r\n", "x@example.com")
    assert b"\r" not in handed_on and handed_on.endswith(b"From: a@example.org\n\nx\n")


def test_unsigned_is_passed_on_with_cr(tmp_path):
    message = b"From: a@example.org\r\n\r\nx\r\n"
    assert signing.Signer(tmp_path).sign(message, "x@example.org") == message


def test_normal_lines_keep_within_78_columns(tmp_path):
    signer = signing.Signer(tmp_path, signing.EXAMPLE_BOTH, DKIMEXPIRE="86400", DKIMIDENTITY="@%")
    header = FROM + b"".join(b"X-%s: x\n" % (b"n" * count) for count in range(1, 40))
    signed = signer.sign(header + b"\nx\n")
    ours = signed[:signed.index(FROM)]
    assert ours.count(b"\n") > 20
    assert max(map(len, ours.split(b"\n"))) <= 78
    # nothing is lost by folding: the name starts a line, all others are folded
    starts = [line for line in ours.split(b"\n")[:-1] if line[:1] != b" "]
    assert len(starts) == 3
    assert all(line.strip() for line in ours.split(b"\n")[:-1])


def test_80_fields_and_a_long_selector(tmp_path):
    """All covered, no line over 998 bytes, and still right."""
    signer = signing.Signer(tmp_path, (("example.com", "a" * 63 + "." + "b" * 63, "rsa.pem"),),
                            DKIMHEADERS=" ".join("X-Field-%d" % n for n in range(80)))
    header = FROM + b"".join(b"X-Field-%d: %d\n" % (n, n) for n in range(80))
    signed = signer.sign(header + b"\nx\n")
    ours = signed[:signed.index(FROM)]
    assert max(map(len, ours.split(b"\n"))) <= 998
    assert names(signed)[-80:] == ["X-Field-%d" % n for n in range(80)]
    assert names(signed, "DomainKey-Signature")[-80:] == names(signed)[-80:]
    for judge, verdicts in judges.verdicts(wire.received(wire.qmail_1_03(signed)),
                                           signer.records).items():
        assert [verdict.result for verdict in verdicts] == (
            ["pass", "pass"] if judge == "mail_dkim" else ["pass"]), judge


@pytest.mark.parametrize("length, signed", [(4000, True), (4001, False)])
def test_dkim_list_is_not_too_long(tmp_path, length, signed):
    """OpenDKIM would not see its end, and fail what others pass."""
    many = [b"Content-%04d" % number for number in range(150)]
    left = length - len(":".join([ALWAYS] + [name.decode() for name in many] * 2))
    added = "X" * (left - 1)
    signer = signing.Signer(tmp_path, DKPROTOCOLS="dkim", DKIMHEADERS=added)
    text = signer.sign(FROM + b"".join(name + b": x\n" for name in many + [added.encode()])
                       + b"\nx\n")
    if not signed:
        assert b"DKIM-Signature" not in text
        assert any("too much to sign for 1 of 1" in line for line in signer.log)
        return
    assert len(":".join(names(text))) == length
    for judge, verdicts in judges.verdicts(wire.received(wire.qmail_1_03(text)),
                                           signer.records).items():
        assert [verdict.result for verdict in verdicts] == ["pass"], judge


def test_what_relays_take_off_is_not_missed(tmp_path):
    """Postfix by message_drop_headers, Exim by envelope_to_remove and delivery_date_remove."""
    dropped = {"bcc", "content-length", "resent-bcc", "return-path", "envelope-to",
               "delivery-date"}
    signer = signing.Signer(tmp_path)
    signed = signer.sign(FROM + b"Subject: x\n" + b"".join(
        f"{name.title()}: carol@example.net\n".encode() for name in sorted(dropped)) + b"\nx\n")
    relayed = b"".join(field + b"\n" for name, field in signing.fields(signed)
                       if name.lower() not in dropped) + b"\nx\n"
    assert relayed.count(b"carol") == 0 and signed.count(b"carol") == len(dropped)
    for judge, verdicts in judges.verdicts(wire.received(wire.qmail_1_03(relayed)),
                                           signer.records).items():
        assert [verdict.result for verdict in verdicts] == (
            ["pass", "pass"] if judge == "mail_dkim" else ["pass"]), judge


# How many bytes the names have that DomainKeys covers, those of private use among them.
@pytest.mark.parametrize("name, length, covered", [
    (b"X-%04d", 1000, True), (b"X-%04d", 1001, False), (b"Y-%04d", 1000, True),
    (b"Y-%04d", 1001, None)])
def test_domainkeys_list_is_not_too_long(tmp_path, name, length, covered):
    """libdomainkeys, which qmail-dk has, takes a longer one for bad format."""
    signer = signing.Signer(tmp_path)
    many = [name % number + b"-xxx" for number in range(90)]
    many[-1] += b"x" * (length - len(b":".join([b"From"] + many)))
    header = FROM + b"".join(field + b": x\n" for field in many)
    signed = signer.sign(header + b"\nx\n")
    if covered is None:
        assert b"DomainKey-Signature" not in signed and b"DKIM-Signature" in signed
        assert any("too much to sign for 1 of 2" in line for line in signer.log)
        return
    listed = names(signed, "DomainKey-Signature")
    assert len(listed) == (91 if covered else 1)
    assert len(":".join(listed)) == (length if covered else 4)


def test_the_log_says_who_signed_what(tmp_path):
    signer = signing.Signer(tmp_path, signing.EXAMPLE_BOTH)
    signer.sign(FROM + b"\nx\n", "bounce@example.com")
    line, _ = signer.log
    for part in ("dkim d=example.com s=s2026a a=rsa-sha256", "dkim d=example.com s=ed2026a "
                 "a=ed25519-sha256", "domainkeys d=example.com s=s2026a a=rsa-sha1",
                 "mx.example.net", "<bounce@example.com>", "<bob@example.net>"):
        assert part in line


@pytest.mark.parametrize("length, sound", [(998, True), (999, False)])
def test_no_line_over_998_bytes(length, sound):
    assert signature_field.is_sound(b"x" * length + b"\n " + b"y" * 997 + b"\n") == sound
