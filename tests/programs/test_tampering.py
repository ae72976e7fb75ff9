# SPDX-License-Identifier: MIT
"""What is added to a signed message, or changed in it, shows."""

import pathlib
import re

import pytest

from tests.support import header_readers, judges, signing, verifying
from tests.support.forged_results import annotated
from tests.support.verifying import MESSAGE, dkim_signed, examine, only

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# The names of MIME fields for mail, by IANA's registry of 2026 and RFC 2045 section 9: that
# covers every name that starts so, the last being nobody's.
MIME_FIELDS = (
    "MIME-Version Content-Type Content-Transfer-Encoding Content-ID Content-Description "
    "Content-Disposition Content-Language Content-Location Content-Base Content-MD5 "
    "Content-Duration Content-Features Content-Alternative Content-Identifier Content-Return "
    "Content-Conversion Content-Translation-Type Content-Nobodys").split()
PROMISE = re.compile(r"Nobody can add or change a (.+) field\s+unnoticed, or add another (.+) or "
                     r"MIME field\s+if there is one")


def promised():
    """-> names of the fields that nobody can add, nor where there is one, by SECURITY's words."""
    always, single = PROMISE.search(
        " ".join((ROOT / "SECURITY").read_text().split())).groups()
    return [re.split(r", | or ", names) for names in (always, single)]


VALUES = {"From": "Alice <alice@example.com>", "Date": "Tue, 14 Nov 2023 22:13:20 +0000",
          "MIME-Version": "1.0", "Content-Type": "text/plain", "Message-ID": "<1@example.com>",
          "Content-Transfer-Encoding": "8bit"}
NAMES = sum(promised(), MIME_FIELDS)
WHOLE = "".join(f"{name}: {VALUES.get(name, 'alice@example.com')}\n" for name in NAMES
                ).encode() + b"\nAlice pays Bob.\n"
ADDED = [f"{name}: eve@example.org\n".encode() for name in NAMES] + [
    b"fRoM:eve@example.org\n", b"cONTENT-dISPOSITION:attachment\n",
    b"Content-Type: multipart/mixed; boundary=Bob\n", b"Content-Transfer-Encoding: base64\n",
    b"Date: Wed, 15 Nov 2023 22:13:20 +0000\n"]


@pytest.fixture(scope="module")
def signer(tmp_path_factory):
    return signing.Signer(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def signed(signer):
    return signer.sign(WHOLE)


# Additions to a signed message

def test_the_promise_names_fields():
    """Those that the text below is made of."""
    always, single = promised()
    assert {"From", "Subject", "Reply-To"} <= set(always)
    assert {"Sender", "Message-ID", "References"} <= set(single)


@pytest.mark.parametrize("added", ADDED, ids=repr)
@pytest.mark.parametrize("place", ["above", "below"])
def test_an_added_field_shows(signer, signed, added, place):
    """To every judge, wherever readers may look for the field."""
    text = added + signed if place == "above" else signed.replace(b"\n\n", b"\n" + added + b"\n", 1)
    for judge, verdicts in judges.verdicts(text.replace(b"\n", b"\r\n"), signer.records).items():
        found = [verdict.result for verdict in verdicts if verdict.protocol == "dkim"]
        assert found and "pass" not in found, judge
    results = examine(text, signer.records, now=signing.NOW).results
    assert [result.status for result in results if result.protocol == "dkim"] == ["fail"]


@pytest.mark.parametrize("name", promised()[0])
def test_a_field_added_where_there_was_none_shows(signer, name):
    """All but From:, without which nothing is signed."""
    signed = signer.sign(b"From: alice@example.com\n\nx\n")
    text = f"{name}: eve@example.org\n".encode() + signed
    for judge, verdicts in judges.verdicts(text.replace(b"\n", b"\r\n"), signer.records).items():
        found = [verdict.result for verdict in verdicts if verdict.protocol == "dkim"]
        assert found and "pass" not in found, judge


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_field_shows(signer, signed, name):
    text = re.sub(rf"(?m)^({name}: ).*".encode(), rb"\1eve@example.org", signed)
    assert text != signed
    for judge, verdicts in judges.verdicts(text.replace(b"\n", b"\r\n"), signer.records).items():
        found = [verdict.result for verdict in verdicts if verdict.protocol == "dkim"]
        assert found and "pass" not in found, judge


def test_what_was_not_changed_passes(signer, signed):
    """Else the test above would prove nothing."""
    for verdicts in judges.verdicts(signed.replace(b"\n", b"\r\n"), signer.records).values():
        assert [verdict.result for verdict in verdicts if verdict.protocol == "dkim"] == ["pass"]
    assert examine(signed, signer.records, now=signing.NOW).letter == "A"


# What is behind a CR in a field that no signature covers, and whether the message passes.
BEHIND_A_CR = [
    (b"From: eve@evil.example", False),
    (b" \rfRoM : eve@evil.example", False),
    (b"\rSend money.", False),                 # the header ends there
    (b"\n\r", False),
    (b"Send money.", False),                    # there, too, for some
    (b" From: eve@evil.example", True),         # a fold
]


@pytest.mark.parametrize("protocol", ["dkim", "domainkeys"])
@pytest.mark.parametrize("hidden, passes", BEHIND_A_CR)
def test_what_a_cr_hides(hidden, passes, protocol):
    """Python's email package, for one, shows it."""
    signed = (dkim_signed if protocol == "dkim" else verifying.domainkeys_signed)()
    result = only(b"X: y\r" + hidden + b"\n" + signed)
    assert (result.status, result.letter) == (("pass", "A") if passes else ("policy", "B"))


def dkim_simple(text):
    return dkim_signed(text, c="simple/simple")


def domainkeys_simple(text):
    return verifying.domainkeys_signed(text, c="simple")


SIGNERS = (dkim_signed, dkim_simple, verifying.domainkeys_signed, domainkeys_simple)
TWO = b"From: alice@example.com\nTo: bob@example.net\nSubject: pay Bob\n\nten\n"
OF_MBOX = b"From alice@example.com Thu Jan  1 00:00:00 1970\n"

# What is done to a message that is signed, for the most part unseen by the signature.
UNSEEN = {
    "nothing": lambda text: text,
    "another field": lambda text: b"Received: by us\n" + text,
    "a name in other letters": lambda text: text.replace(b"Subject", b"SUBJECT"),
    "mbox": lambda text: OF_MBOX + text,
    "mbox below Received": lambda text: b"Received: by us\n" + OF_MBOX + text,
    "mbox, quoted": lambda text: b">" + OF_MBOX + text,
    "mbox, quoted, below Received": lambda text: b"Received: by us\n>" + OF_MBOX + text,
    "From without a date": lambda text: b"Received: by us\nFrom alice\n" + text,
    "no field": lambda text: b"Received: by us\nPlease pay Eve.\n" + text,
    "a blank in a name": lambda text: text.replace(b"Subject:", b"Subject :"),
    "a tab in a name": lambda text: text.replace(b"From:", b"From\t:"),
    "a blank in a name that is not signed": lambda text: b"X : y\n" + text,
    "a blank in the signature's name":
        lambda text: text.replace(b"-Signature:", b"-Signature :", 1),
    "a fold": lambda text: text.replace(b"pay Bob", b"pay\n Bob"),
    "an empty fold": lambda text: text.replace(b"pay Bob", b"pay\n \n\t\n Bob"),
    "an empty fold at the end": lambda text: text.replace(b"pay Bob", b"pay Bob\n \t"),
    "an empty fold with a CR": lambda text: text.replace(b"pay Bob", b"pay Bob\n \r"),
    "a CR": lambda text: text.replace(b"pay", b"pay\r"),
    "a CR in a blank": lambda text: text.replace(b"pay Bob", b"pay \rBob"),
    "a field behind a CR": lambda text: text.replace(b"bob@", b"b\rob@"),
    "a body behind CRs": lambda text: text.replace(b"pay Bob", b"pay\r\r Bob"),
    "a CR in a field that is not signed": lambda text: b"X: y\rFrom: eve@example.org\n" + text,
}


@pytest.mark.parametrize("change", UNSEEN)
@pytest.mark.parametrize("signer", SIGNERS)
def test_what_passes_is_what_readers_show(tmp_path, change, signer):
    """That they show as the author, the subject and the body what was signed."""
    before = signer(TWO)
    after = UNSEEN[change](before)
    passes = only(after).status == "pass"
    assert passes or change not in ("nothing", "another field")
    if passes:
        for reader in header_readers.READERS:
            assert shown(reader, annotated(after, tmp_path)) == shown(reader, before)


def shown(reader, text):
    fields, body = reader(text)
    return [field for field in fields if field[0] in (b"from", b"to", b"subject")], body


def test_no_blank_before_a_colon_even_if_signed():
    """That of Subject may be another one's, and what comes below is the body for many."""
    for signer in SIGNERS:
        result = only(signer(TWO.replace(b"Subject:", b"Subject :")))
        assert (result.status, result.letter) == ("policy", "B")


def test_text_appended_behind_l():
    body = verifying.relaxed_body(MESSAGE.partition(b"\n\n")[2])
    text = dkim_signed(l=str(len(body)))
    assert only(text).letter == "A"
    assert (only(text + b"Send money.\n").status, only(text + b"x").letter) == ("policy", "B")


def test_tags_in_another_order():
    text = dkim_signed()
    algorithm, form = b"a=rsa-sha256;\n\t", b"c=relaxed/relaxed;\n\t"
    swapped = text.replace(algorithm + form, form + algorithm)
    assert swapped != text and only(swapped).letter == "B"


@pytest.mark.parametrize("tag", ["v=1", "d=example.com", "d=evil.example", "s=sel", "h=From",
                                 "b=AAAA", "l=0", "a=rsa-sha256"])
@pytest.mark.parametrize("place", ["first", "last"])
def test_a_tag_twice_is_no_tag_list(tag, place):
    text = dkim_signed(l="32")
    if place == "first":
        text = text.replace(b"Signature: ", f"Signature: {tag}; ".encode(), 1)
    else:
        text = text.replace(b"\nReceived:", f"; {tag}\nReceived:".encode(), 1)
    assert (only(text).status, only(text).letter) == ("neutral", "G")


# What is written is made of what comes in

@pytest.mark.parametrize("byte", range(256))
def test_no_field_name_gets_out_of_our_signatures(signer, byte):
    """h= is the only place where text of a message comes into ours."""
    name = bytes((byte,)) + b"b=Y"
    handed_on = signer.sign(b"From: a@example.com\nX" + name + b": z\nContent-" + name
                            + b": z\n\nx\n")
    fields = [text for field, text in signing.fields(handed_on) if "Signature" in field]
    for text in fields:
        dkim = text.startswith(b"DKIM")
        assert list(signing.tags(text)) == (
            "v a c d s t h bh b".split() if dkim else "a q c s d h b".split())
        assert text.count(b";") == (8 if dkim else 6)
    assert len(fields) in (0, 2)
