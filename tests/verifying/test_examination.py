# SPDX-License-Identifier: MIT
"""A whole message: one verdict of all its signatures, limits, policy."""

import os
import subprocess
import sys

import pytest
from hypothesis import given, settings, strategies as st

from lib.crypto import RSA_LEAST
from lib.mail import message
from lib.settings import LETTERS
from lib.verifying import examination
from lib.lookup.answer import Answer
from lib.verifying.letters import PRECEDENCE, STATUS_WORDS
from lib.verifying.report import Terms
from lib.verifying.results import SignatureResult, verdict
from tests.support import growth, verifying
from tests.support.verifying import (
    MESSAGE, NAME, NOW, Ed25519, dkim_signed, domainkeys_signed, examine, golden_rsa,
)

GOOD = {NAME: golden_rsa().record()}


def results(letters):
    """Results with these letters; a lower-case one has a key in test mode."""
    found = []
    for letter in letters:
        found.append(SignatureResult("dkim", "", letter.upper()))
        found[-1].test_mode = letter.islower()
    return found


# Letters of the signatures -> the one letter, and whether the header says test mode.
VERDICTS = [
    ("", "C", False),
    ("A", "A", False), ("a", "A", True),
    ("B", "B", False), ("b", "C", True),
    ("BA", "A", False), ("AB", "A", False), ("KIEGDJBHFA", "A", False), ("Ba", "A", True),
    ("BF", "F", False), ("HB", "H", False), ("HF", "F", False), ("KIEGDJBH", "H", False),
    ("KIEGDJB", "B", False), ("KIEGDJ", "J", False), ("KIEGD", "D", False),
    ("KIGE", "E", False), ("KIG", "G", False), ("KI", "I", False), ("K", "K", False),
    ("C", "C", False), ("CK", "K", False), ("CC", "C", False),
    ("bD", "D", False), ("bde", "C", True), ("Cb", "C", True), ("Db", "D", False),
]


@pytest.mark.parametrize("letters, letter, test_mode", VERDICTS)
def test_verdict(letters, letter, test_mode):
    assert verdict(results(letters)) == (letter, test_mode)


def test_words_of_domainkey_status():
    assert {word: "".join(letter for letter in "ABCDEFGHIJK" if STATUS_WORDS[letter] == word)
            for word in STATUS_WORDS.values()} == {
        "good": "A", "bad": "B", "no signature": "C", "no key": "DF", "bad key": "E",
        "bad format": "GIK", "no resources": "H", "revoked": "J"}


def signed_by_both(text=MESSAGE):
    return dkim_signed(domainkeys_signed(text))


# Messages and DNS -> letter, word, statuses from top to bottom.
MESSAGES = [
    (MESSAGE, GOOD, "C", []),
    (signed_by_both(), GOOD, "A", ["pass", "pass"]),
    (dkim_signed(dkim_signed(key=Ed25519(), s="ed")),
     {**GOOD, "ed._domainkey.example.com": Ed25519().record()}, "A", ["pass", "pass"]),
    # each signature is judged alone
    (b"DKIM-Signature: junk\n" + signed_by_both(), GOOD, "A", ["neutral", "pass", "pass"]),
    (b"DKIM-Signature:\n" + signed_by_both(), GOOD, "A", ["neutral", "pass", "pass"]),
    (b"DomainKey-Signature: a=b; a=b\n" + dkim_signed(), GOOD, "A", ["neutral", "pass"]),
    (dkim_signed(d="sub.example.com", h="From:Received:X-Gone").replace(b"from a", b"from x"),
     {"sel._domainkey.sub.example.com": golden_rsa().record()}, "B", ["fail"]),
    (signed_by_both().replace(b"line", b"lime"), GOOD, "B", ["fail", "fail"]),
    (signed_by_both(), {}, "D", ["permerror", "permerror"]),
    (signed_by_both(), {NAME: Answer("temporary", reason="timeout")}, "F",
     ["temperror", "temperror"]),
    # keys in test mode
    (signed_by_both(), {NAME: golden_rsa().record("t=y; ")}, "A", ["pass", "pass"]),
    (signed_by_both().replace(b"line", b"lime"), {NAME: golden_rsa().record("t=y; ")}, "C",
     ["fail", "fail"]),
    (dkim_signed(x=str(NOW - 1)), {NAME: golden_rsa().record("t=y; ")}, "C", ["fail"]),
    (signed_by_both(), {NAME: "t=y; p="}, "C", ["permerror", "permerror"]),
]


@pytest.mark.parametrize("number", range(len(MESSAGES)))
def test_messages(number):
    text, records, letter, statuses = MESSAGES[number]
    found = examine(text, records)
    assert [result.status for result in found.results] == statuses
    assert (found.letter, found.status_word) == (letter, STATUS_WORDS[letter])


def test_test_mode_is_told():
    failed = examine(dkim_signed() + b"x", {NAME: golden_rsa().record("t=y; ")})
    passed = examine(dkim_signed(), {NAME: golden_rsa().record("t=y; ")})
    for found, word in ((failed, b"no signature"), (passed, b"good")):
        assert found.test_mode
        fields = examination.header_fields(found, b"mx.example.org")
        assert fields.count(b"(test mode)") == 2
        assert fields.endswith(b"DomainKey-Status: " + word + b" (test mode)\n")


@pytest.mark.parametrize("more", [0, 1, 5000])
def test_no_more_than_ten_signatures_are_looked_at(more):
    text = b"DKIM-Signature: junk\n" * (9 + more) + dkim_signed()
    found = examine(text, GOOD)
    assert found.letter == ("A" if not more else "G")
    assert len(found.results) == (10 if not more else 11)
    if more:
        assert (found.results[10].status, found.results[10].letter) == ("policy", "K")
        assert found.results[10].reason.startswith(str(more))


def test_one_question_for_each_name():
    asked = []

    def lookup(name, kind="TXT"):
        asked.append(name)
        return Answer("none", reason="NXDOMAIN")
    header, body = message.split([signed_by_both(dkim_signed())])
    examination.examine(header, body, Terms(RSA_LEAST, dkpolicy=True), lookup, NOW)
    assert asked == [NAME.encode()]


def test_a_header_over_the_limit():
    header, body = message.split([b"X: y\n" * 300000 + MESSAGE])
    assert examination.has_signature(header)
    found = examination.examine(header, body, Terms(RSA_LEAST), None, NOW)
    assert (found.letter, found.results[0].status) == ("G", "policy")


# DKPOLICY: the record at _domainkey.example.com -> letter of a message without signature.
POLICIES = [
    ("o=-", "B"), ("o=- ; n=all", "B"), ("o=~", "C"), ("o=.", "C"), ("", "C"), ("n=x", "C"),
    ("t=y; o=-", "C"), ("o=-; o=~", "C"), ("junk", "C"), (b"\xff", "C"),
    (["junk", "o=-"], "B"),
    (Answer("none", reason="NXDOMAIN"), "C"),
    (Answer("temporary", reason="SERVFAIL"), "C"),
]


@pytest.mark.parametrize("record, letter", POLICIES)
def test_policy(record, letter):
    records = {"_domainkey.example.com": record}
    assert examine(MESSAGE, records, dkpolicy=True).letter == letter
    assert examine(MESSAGE, records).letter == "C"


# Messages -> letter where the policy of example.com is o=-.
POLICY_MESSAGES = [
    (MESSAGE, "B"),
    (MESSAGE.replace(b"To:", b"Sender: x@example.net\nTo:"), "C"),
    (MESSAGE.replace(b"alice@example.com", b"alice@example.net"), "C"),
    (MESSAGE.replace(b"alice@example.com", b"alice@sub.example.com"), "C"),
    (MESSAGE.replace(b"From:", b"Fron:"), "C"),
    (b"From: bob@example.com\n" + MESSAGE, "C"),
    (dkim_signed(), "A"),
    (dkim_signed() + b"x", "B"),
    (b"DKIM-Signature: v=1\n" + MESSAGE, "B"),
]


@pytest.mark.parametrize("text, letter", POLICY_MESSAGES)
def test_policy_for_messages(text, letter):
    found = examine(text, {**GOOD, "_domainkey.example.com": "o=-"}, dkpolicy=True)
    assert found.letter == letter


def test_policy_is_shown():
    found = examine(MESSAGE, {"_domainkey.example.com": "o=-"}, dkpolicy=True)
    assert examination.header_fields(found, b"mx.example.org").decode() == (
        "Authentication-Results: mx.example.org;\n"
        "  domainkeys=none reason=\"the domain signs all its mail (o=-)\"\n"
        " header.from=example.com\nDomainKey-Status: bad\n")


def test_policy_of_the_sender_is_shown_as_such():
    text = MESSAGE.replace(b"To:", b"Sender: list@lists.example.net\nTo:")
    found = examine(text, {"_domainkey.lists.example.net": "o=-"}, dkpolicy=True)
    assert b" header.sender=lists.example.net\n" in examination.header_fields(found, b"x.example")


# Hostile messages: whatever they are, there is a result, and soon.

@given(st.lists(st.sampled_from([
    b"DKIM-Signature", b"DomainKey-Signature", b"From", b"Sender", b":", b" ", b"\n", b"\n ",
    b"\t", b"\r", b"\0", b"\xff", b";", b"=", b"v=1;", b"a=rsa-sha256;", b"a=rsa-sha1;",
    b"c=relaxed;", b"d=example.com;", b"s=sel;", b"h=from;", b"b=QUFB;", b"bh=QUFB;", b"l=;",
    b"x=1;", b"i=@;", b"i=example.com;", b"a@example.com", b"<", b"(", b'"', b"[", b"@"])),
    st.binary(max_size=60))
@settings(max_examples=300)
def test_any_message_and_record_give_a_result(pieces, record):
    text = b"".join(pieces)
    for published in (record, b"p=" + record, golden_rsa().record()):
        found = examine(text, {NAME: published}, dkpolicy=True)
        assert found.letter in STATUS_WORDS
        examination.header_fields(found, b"mx.example.org")


def names_in_h(number):
    """A message with that many fields, and a signature that covers them from the top."""
    names = [b"%x" % n for n in range(number)]
    return (b"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=sel; bh=AAAA; b=AAAA; h=From:"
            + b":".join(names) + b"\n" + b"".join(name + b":\n" for name in names) + MESSAGE)


def examine_and_report(text):
    examination.header_fields(examine(text, GOOD), b"mx.example.org")


# What grows with a size, in a message that has ten of it where that is worse.
GROWING = {
    "blanks in the body": lambda size: dkim_signed() + b"x" + b" \t" * size * 20 + b"y",
    "empty lines": lambda size: dkim_signed() + b"\n" * size * 20 + b"y",
    "blanks in a field": lambda size: (
        dkim_signed() * 10).replace(b"\n\n", b"\nX: y\n").replace(b"To: bob", b"To:"
                                                                  + b" " * size * 2),
    "header fields": lambda size: dkim_signed().replace(b"To:", b"X: y\n" * size + b"To:"),
    "fields that h= names": lambda size: dkim_signed(h="From:X").replace(
        b"To:", b"X: y\n" * size + b"To:"),
    "names in h=": lambda size: names_in_h(size // 13),
    "signatures": lambda size: b"DKIM-Signature: junk\n" * size + dkim_signed(),
    "addresses": lambda size: domainkeys_signed().replace(
        b"From: Alice", b"From: " + b"x@example.net, " * (size // 20) + b"Alice"),
    "nested comments": lambda size: domainkeys_signed().replace(
        b"From: ", b"From: " + b"(" * (size // 10) + b")" * (size // 10)),
    "fields in the order of h=": lambda size: domainkeys_signed(
        h="from" + ":x" * (size // 20)).replace(b"To:", b"x:\n" * size + b"To:"),
    "digits": lambda size: dkim_signed(x="9" * (size // 10), t="8" * (size // 10)),
    "folds in b=": lambda size: dkim_signed(b=("\n " * (size // 10)).join(["QUFB", "QUFB"])),
    "blanks in tags": lambda size: dkim_signed(q="dns/txt" + " " * (size // 10) + ":!",
                                               h="From" + "\t" * (size // 10) + ": To"),
}


@pytest.mark.parametrize("what", GROWING)
def test_time_grows_with_the_size(what):
    """Sixteen times the text, nowhere near the 256 times of a quadratic way."""
    make = GROWING[what]
    assert growth.grows_less_than(80, examine_and_report, make(2500), make(40000))


# h= -> the most that ten signatures cost, in what it costs to split the header into its fields.
# With glibc they cost 2.5 and 7; with musl, which takes five times as long to join short fields,
# 4.2 and 10.4.  To split it anew for each signature would add ten.
TEN_SIGNATURES = {None: 5, "from:x": 15}


@pytest.mark.parametrize("names", TEN_SIGNATURES)
def test_ten_signatures_over_many_fields(names):
    fields = b"X:\n" * 340_000 + MESSAGE
    signature = domainkeys_signed(fields, h=names)[:-len(fields)]
    text = signature * 10 + fields
    found = examine(text, GOOD).results
    assert len(found) == 10 and found[-1].status == "pass"
    assert any(growth.seconds(examine_and_report, text)
               < TEN_SIGNATURES[names] * growth.seconds(split, text)
               for _ in range(growth.ATTEMPTS))


def split(text):
    message.split([text])


def test_nothing_is_imported_for_a_message_without_signature():
    program = ("import sys\n"
               "from lib.mail import message\n"
               "from lib.verifying import examination, report\n"
               "header, body = message.split([b'From: a@example.com\\n\\nx'])\n"
               "assert not examination.has_signature(header)\n"
               "found = examination.examine(header, body, report.Terms(1024), None, 0)\n"
               "examination.header_fields(found, b'x.example')\n"
               "examination.fields_to_remove(header, b'x.example')\n"
               "print([name for name in ('re', 'dkim', 'dns', 'ctypes', 'hashlib')"
               " if name in sys.modules])")
    printed = subprocess.run([sys.executable, "-IS", "-c", "import sys; sys.path[:0] = ['.']\n"
                              + program], stdout=subprocess.PIPE, check=True, cwd=root())
    assert printed.stdout == b"[]\n"


def root():
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(verifying.__file__))))


def test_the_letters_of_dkverify_are_those_of_the_table():
    assert "".join(sorted(PRECEDENCE)) == LETTERS
