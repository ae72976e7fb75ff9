# SPDX-License-Identifier: MIT
"""Whose mail it is: From: and Sender:, with every disguise that we know of."""

import ctypes
import json
import os
import random

import pytest

from lib.mail import address, author, message
from tests.fuzz import targets
from tests.support import author_readers
from tests.support.from_fields import BELOW, DISPLAYED, FROM

CORPUS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                      "..", "..", "shared", "corpus", "from-domain.json")


def header(text):
    return message.parse_header(text, True)


@pytest.mark.parametrize("value, domain", FROM, ids=[repr(value) for value, _ in FROM])
def test_author_domain(value, domain):
    fields = header(b"From: " + value + b"\n")
    assert author.author_domain(fields) == domain
    assert address.sending_domain(fields) == domain


@pytest.mark.parametrize("value, domain", DISPLAYED, ids=[repr(value) for value, _ in DISPLAYED])
def test_display_name_out_of_the_grammar(value, domain):
    fields = header(b"From: " + value + b"\n")
    assert author.author_domain(fields) == domain
    assert address.sending_domain(fields) is None


@pytest.mark.parametrize("value, domain", BELOW, ids=[repr(value) for value, _ in BELOW])
def test_names_that_can_have_no_key(value, domain):
    fields = header(b"From: " + value + b"\n")
    assert (address.with_parents(author.author_domain(fields)) or [None])[0] == domain


@pytest.mark.parametrize("reader", author_readers.MAKERS)
def test_readers(reader):
    """The other readers are here, and read."""
    found, missing = author_readers.readers()
    if reader not in found:
        pytest.skip("; ".join(missing))
    ask = found[reader]
    assert ask(b" alice@Example.com")() == {b"example.com"}
    assert ask(b' "x@evil.example, <y>" <alice@example.com>')() == {b"example.com"}
    two = ask(b" a@example.com,\n\tBob 'O' Bob <b@sub.example.net>")()
    assert two == {b"example.com"} | ({b"sub.example.net"} if reader != "OpenDKIM" else set())
    assert ask(b" alice")() == set()


@pytest.mark.parametrize("value", [value for value, _ in FROM + DISPLAYED + BELOW], ids=repr)
def test_no_reader_sees_another_author(value):
    targets.sender(b" " + value)


@pytest.mark.parametrize("value, domain", [row for row in DISPLAYED if row[1]], ids=repr)
def test_readers_agree_on_display_names(value, domain):
    """The domain that we name is found, not only not contradicted."""
    found = author_readers.domains(b" " + value)
    assert set().union(*found.values()) == {domain}, found
    assert found["Python, compat32"], found


# What readers read differently.  (Go found two domains in the second one before 1.22.1, and
# finds none since; the others find one.)
DISPUTED = [
    b"CEO <@x,ceo@example.com:a@evil.example>",
    b"(,<ceo@example.com>,), <a@evil.example>",
    b"alice@evil.example\n .example.com",
    b"Smith, John @ Example <j@example.com>",
    b"alice@example.com <eve@evil.example>",
]


@pytest.mark.parametrize("value", DISPUTED, ids=repr)
def test_what_readers_dispute_has_no_author(value):
    found = author_readers.domains(b" " + value)
    if not author_readers.readers()[1]:
        assert len({frozenset(domains) for domains in found.values()}) > 1, found
    assert author.author_domain(header(b"From: " + value + b"\n")) is None


# (From: fields, which domains could be meant)
POSSIBLE = [
    (b"From: a@example.com\n", [b"example.com"]),
    (b"From: <@x,ceo@Example.com:a@evil.example>\n", [b"x", b"example.com", b"evil.example"]),
    (b"From: a@example.com\nFrom: b@example.net, c@ example.com.\n",
     [b"example.com", b"example.net"]),
    (b"From: alice@\n", []), (b"", []),
    (b"From: " + b"".join(b"a@b%d.c," % number for number in range(99)) + b"\n",
     [b"b%d.c" % number for number in range(author.MOST_READINGS)]),
]


@pytest.mark.parametrize("text, expected", POSSIBLE)
def test_possible_domains(text, expected):
    assert author.possible_domains(header(text)) == expected


def test_no_reader_sees_another_author_in_forms_put_together():
    parts = [b"a", b"@", b"example.com", b"evil.example", b"<", b">", b"<a@example.com>", b"(",
             b")", b"(x)", b'"', b'"q"', b"\\", b",", b";", b":", b" ", b"\n ", b"[", b"]", b"[x]",
             b".",
             b"=?utf-8?q?", b"=40", b"?=", b"\xe4", b"Alice", b"'", b"a@b.example", b"<@b.example:"]
    chosen = random.Random(5322)
    for _ in range(30000):
        value = b" " + b"".join(chosen.choices(parts, k=chosen.randrange(1, 6)))
        targets.sender(value)
        targets.sender(value + chosen.choice([b"<a@example.com>", b" a@example.com"]))


# (header, author's domain, domain of DomainKeys' sending address)
HEADERS = [
    (b"From: a@example.com\nSender: s@list.example\n", b"example.com", b"list.example"),
    (b"Sender: s@list.example\nFrom: a@example.com, b@example.net\n", None, b"list.example"),
    (b"FROM:a@example.com\nSENDER:s@list.example\n", b"example.com", b"list.example"),
    (b"From: a@example.com\nSender: s@a.example\nSender: s@b.example\n", b"example.com", None),
    (b"From: a@example.com\nSender: nobody\n", b"example.com", None),
    (b"From: a@example.com\nFrom: a@example.com\n", None, None),
    (b"From: a@example.com\nfrom: b@evil.example\n", None, None),
    (b"Resent-From: r@example.net\nX-From: x@example.net\n", None, None),
    (b"To: a@example.com\n", None, None),
    (b"", None, None),
]


@pytest.mark.parametrize("text, of_author, sender", HEADERS,
                         ids=[repr(row[0]) for row in HEADERS])
def test_which_field(text, of_author, sender):
    assert author.author_domain(header(text)) == of_author
    assert address.sending_domain(header(text)) == sender


def corpus_cases():
    if not os.path.exists(CORPUS):
        return []
    with open(CORPUS, encoding="utf-8") as file:
        return json.load(file)["cases"]


@pytest.mark.skipif(not os.path.exists(CORPUS), reason="needs ../shared/corpus/from-domain.json")
def test_as_libdomainkeys_does():
    cases = corpus_cases()
    assert cases
    for case in cases:
        found = author.author_domain(header(case["header"].encode() + b"\n"))
        if "domain literal" in case.get("note", ""):
            assert address.with_parents(found) == [], case
        else:
            expected = case["domain"] and case["domain"].lower().encode()
            assert found == expected, case


# What may become d= and part of a path
DOMAINS = [
    b"example.com", b"a.b", b"mail-1.example.com", b"3com.com", b"xn--bcher-kva.example",
    b"a" * 63 + b".com", b".".join([b"a" * 63] * 3 + [b"b" * 61]), b"1.2.3.4",
]
NO_DOMAINS = [
    b"", b"com", b"localhost", b".", b"..", b"../..", b"..example.com", b".example.com",
    b"example.com.", b"example..com", b"example.com/", b"/example.com",
    b"example.com/../etc.passwd",
    b"a/b.com", b"a\\b.com", b"example.com\0", b"exa\0mple.com", b"exa mple.com", b"example.com\n",
    b"Example.com", b"%.com", b"a:b.com", b"_domainkey.com", b"*.example.com", b"~.com",
    b"-a.com", b"a-.com", b"a.-com", b"a.com-", b"\xc3\xa4.com", b"[1.2.3.4]", b"b\xfccher.example",
    b"a" * 64 + b".com", b".".join([b"a" * 63] * 3 + [b"b" * 62]), b"a." * 200 + b"com",
]


@pytest.mark.parametrize("domain", DOMAINS)
def test_is_domain(domain):
    assert address.is_domain(domain)
    assert address.with_parents(domain)[0] == domain


@pytest.mark.parametrize("domain", NO_DOMAINS)
def test_is_no_domain(domain):
    assert not address.is_domain(domain)
    assert address.with_parents(domain) == []


@pytest.mark.parametrize("domain, expected", [
    (b"example.com", [b"example.com"]),
    (b"a.b.example.com", [b"a.b.example.com", b"b.example.com", b"example.com"]),
    (None, []),
])
def test_with_parents(domain, expected):
    assert address.with_parents(domain) == expected


# (From: fields, whether a signature is any use); the judges' word is in
# programs/test_odd_messages.py
FLAWS = [
    (b"From: a@example.com\n", True),
    (b"From: Example, Inc. <a@example.com>\n", True),
    (b"From: EXAMPLE\\alice <a@example.com>\n", True),
    (b"From: Alice :) <a@example.com>\n", True),
    (b"From: a@example.com, b@example.com\nFrom: c@example.com\n", True),
    (b"From: group: a@example.com;\n", True),
    (b"", False),
    (b"From:\n", False),
    (b"From: <>\n", False),
    (b"From: alice@example.com <>\n", False),
    (b"From: alice\n", False),
    (b"From: alice@\n", False),
    (b"From: <alice@>\n", False),
    (b"From: group:;\n", False),
    (b"From: a@example.com\nFrom:\n", False),
    # what stands in front of the address must end
    (b"From: Alice :( <a@example.com>\n", False),
    (b"From: 3\" <a@example.com>\n", False),
    (b"From: [Alice <a@example.com>\n", False),
    (b"From: a@example.com (Alice\n", False),
    (b"From: a@[192.0.2.1\n", False),
    (b"From: Alice <a@example.com> :(\n", True),
    (b"From: (Alice :\\) <a@example.com>)\n", False),
    (b"From: <@relay.example,@b.example:a@example.com>\n", True),
    (b"From: b@example.net <a@example.com>\n", True),
    (b"From: mailto:a@example.com\n", True),
    (b"From: a@b@\n", False),
    (b"From: \" @ \" <a>\n", False),
]


@pytest.mark.parametrize("text, sound", FLAWS, ids=[repr(text) for text, _ in FLAWS])
def test_author_flaw(text, sound):
    assert (author.author_flaw(header(text)) == "") == sound


def test_flaw_is_what_opendkim_refuses():
    """On forms put together at random, of which OpenDKIM must not refuse one that we take."""
    try:
        library = ctypes.CDLL("libopendkim.so.11")
    except OSError:
        pytest.skip("needs the Debian package libopendkim11 (with opendkim-tools)")

    def theirs(value):
        text = ctypes.create_string_buffer(value.replace(b"\n", b"\r\n"))
        user, domain = ctypes.c_char_p(), ctypes.c_char_p()
        return (library.dkim_mail_parse(text, ctypes.byref(user), ctypes.byref(domain)) == 0
                and domain.value)
    parts = [b"a", b"@", b"example.com", b"<", b">", b"<a@example.com>", b"a@example.com", b"(",
             b")", b"(x)", b'"', b'"q"', b"\\", b",", b";", b":", b" ", b"\n ", b"[", b"]",
             b"[192.0.2.1]", b"=?utf-8?q?x?=", b"\xe4", b"Alice", b'"a@b"', b"group:"]
    chosen = random.Random(4870)
    values = [b" " + b"".join(chosen.choices(parts, k=chosen.randrange(1, 9)))
              for _ in range(20000)]
    taken = [value for value in values if author.has_address(value)]
    assert len(taken) > 2000
    assert [value for value in taken if not theirs(value)] == []


def test_what_is_in_the_grammar_has_no_flaw():
    """For the signer does not ask then."""
    parts = [b"a", b"@", b"<", b">", b"<a@example.com>", b"a@example.com", b"(", b")", b"(x)",
             b'"', b'"q"', b"\\", b",", b";", b":", b" ", b"\n ", b"[192.0.2.1]", b"\xe4", b"'",
             b".", b"(a@b)", b'("', b'")', b"([)", b'"(']
    chosen = random.Random(5322)
    values = [b" " + b"".join(chosen.choices(parts, k=chosen.randrange(1, 9)))
              for _ in range(50000)]
    taken = [value for value in values if address.only_domain([b"From:" + value])]
    assert len(taken) > 500
    assert [value for value in taken
            if author.author_flaw(header(b"From:" + value + b"\n"))] == []


@pytest.mark.parametrize("value", [
    b"(" * 100000, b'"' * 100001, b"a@b," * 100000, b"<" * 100000, b"(" * 50000 + b")" * 50000,
    b"\\" * 100001, b"." * 100000,
], ids=["comments", "quotes", "mailboxes", "angles", "nested comment", "backslashes", "dots"])
def test_hostile_values_end(value):
    """Deep or long ones are no author, and no recursion error either."""
    assert author.author_domain(header(b"From: " + value + b"\n")) is None
