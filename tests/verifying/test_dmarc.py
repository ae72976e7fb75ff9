# SPDX-License-Identifier: MIT
"""DMARC: the tree walk, alignment, and the policy that applies (RFC 9989 sections 4 and 5.3)."""

import pytest

from lib.verifying import dmarc, tree_walk
from tests.support.dmarc import (
    APEX, BANK, CASES, LONG, Answer, Case, Zone, evaluated, is_printable, summary,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.section)
def test_result(case):
    result, _ = evaluated(case)
    assert (result.domain, summary(result)) == (case.author, case.result)
    assert is_printable(result.reason) and bool(result.reason) == (result.status != "pass")
    assert result.steps == []


# (section, domain, zone, its organizational domain, whose policy applies, names looked at)
WALKS = [
    ("4.10", LONG, {}, LONG, None,
     f"{LONG} g.h.i.j.mail.example.com h.i.j.mail.example.com i.j.mail.example.com"
     " j.mail.example.com mail.example.com example.com com"),
    ("4.10.2 1", "a.mail.example.com", {"mail.example.com": "p=none", "example.com": "p=none"},
     "example.com", "example.com", "a.mail.example.com mail.example.com example.com com"),
    ("4.10.2 2", "a.mail.example.com", {"mail.example.com": "psd=n", "com": "psd=y"},
     "mail.example.com", "mail.example.com", "a.mail.example.com mail.example.com"),
    ("4.10.2 3", "a.mail.example.com", {"com": "psd=y"}, "example.com", "com",
     "a.mail.example.com mail.example.com example.com com"),
    ("5.1.8", "mail.a.b.c.d.e.f.g.example.com",
     {"example.com": "p=none", "b.c.d.e.f.g.example.com": "p=reject; psd=n"},
     "example.com", "example.com",
     "mail.a.b.c.d.e.f.g.example.com c.d.e.f.g.example.com d.e.f.g.example.com"
     " e.f.g.example.com f.g.example.com g.example.com example.com com"),
    ("B.4.1", "signing.example.com", {"example.com": "p=none", "signing.example.com": "p=none"},
     "example.com", "signing.example.com", "signing.example.com example.com com"),
    ("B.4.3 author", "giant.bank.example", BANK, "giant.bank.example", "giant.bank.example",
     "giant.bank.example bank.example"),
    ("B.4.3 SPF", "mail.giant.bank.example", BANK, "giant.bank.example", "giant.bank.example",
     "mail.giant.bank.example giant.bank.example bank.example"),
    ("B.4.3 DKIM", "mail.mega.bank.example", BANK, "mega.bank.example", "bank.example",
     "mail.mega.bank.example mega.bank.example bank.example"),
    ("4.10 one label", "com", {"com": "p=none"}, "com", "com", "com"),
    ("4.10 eight labels", "a.b.c.d.e.f.g.com", {"com": "p=none"}, "com", "com",
     "a.b.c.d.e.f.g.com b.c.d.e.f.g.com c.d.e.f.g.com d.e.f.g.com e.f.g.com f.g.com g.com com"),
    ("4.10 nine labels", "x.a.b.c.d.e.f.g.com", {"com": "p=none"}, "com", "com",
     "x.a.b.c.d.e.f.g.com b.c.d.e.f.g.com c.d.e.f.g.com d.e.f.g.com e.f.g.com f.g.com g.com com"),
    ("4.10.2 below a name that was skipped to", "x.y.a.b.c.d.e.f.com",
     {"a.b.c.d.e.f.com": "psd=y"}, "y.a.b.c.d.e.f.com", "a.b.c.d.e.f.com",
     "x.y.a.b.c.d.e.f.com a.b.c.d.e.f.com"),
    ("4.10.2 psd=y where it starts", "com", {"com": "psd=y"}, "com", "com", "com"),
    ("4.10.2 psd=y where it starts, and above", "a.com", {"a.com": "psd=y", "com": "psd=n"},
     "a.com", "a.com", "a.com"),
    ("4.10.2 psd=n where it starts", "a.com", {"a.com": "psd=n", "com": "p=none"}, "a.com", "a.com",
     "a.com"),
    ("4.10 psd=u does not stop", "a.com", {"a.com": "psd=u", "com": "psd=?"}, "com", "a.com",
     "a.com com"),
    ("4.10.2 no record at the organization", "a.b.com", {"a.b.com": "p=none", "com": "psd=y"},
     "b.com", "a.b.com", "a.b.com b.com com"),
    ("4.10 discarded", "a.com", {"a.com": ["v=DMARC1; psd=n"] * 2, "com": [b"v=DMARC1 ; p=none"]},
     "com", "com", "a.com com"),
]


@pytest.mark.parametrize("domain, zone, organization, policy_domain, walked",
                         [row[1:] for row in WALKS], ids=[row[0] for row in WALKS])
def test_walk(domain, zone, organization, policy_domain, walked):
    zone = Zone(zone)
    found = tree_walk.Records(zone.find, dmarc.ignore).walk(domain.encode())
    assert zone.walked == walked.split()
    assert tree_walk.organization(domain.encode(), found) == organization.encode()
    policy = tree_walk.policy_record(domain.encode(), found)
    assert (policy and policy[0].decode()) == policy_domain


def test_the_usual_message_costs_one_look_up():
    case = Case("", "example.com", "example.com", "bounces.example.com", APEX, "pass reject dkim")
    result, zone = evaluated(case)
    assert zone.asked == [("_dmarc.example.com", "TXT")]
    assert result.organization == b"example.com"


@pytest.mark.parametrize("case, walked", [
    # Ten signatures of strangers.
    (Case("", "a.example.com", " ".join(f"{n}.example.net" for n in range(10)), "example.org",
          {"a.example.com": "p=reject"}, "fail"), "a.example.com"),
    # Their domains end with the same label: the author's organization shows that it is not theirs.
    (Case("", "a.example.com", " ".join(f"{n}.example{n}.com" for n in range(10)), "other.com",
          {"a.example.com": "p=reject"}, "fail"), "a.example.com example.com com"),
    # The walks share names, and each is asked for once.
    (Case("", "a.example.com", "b.example.com c.example.com", "",
          {"b.example.com": "psd=n", **APEX}, "pass"),
     "a.example.com example.com com b.example.com c.example.com"),
    # More than ten signatures: the examination has no more.
    (Case("", "example.com", " ".join(f"{n}.example.com" for n in range(12)), "",
          {"example.com": "p=none", **{f"{n}.example.com": "psd=n" for n in range(10)}}, "fail"),
     "example.com com " + " ".join(f"{n}.example.com" for n in range(10))),
], ids=["strangers", "neighbours", "shared", "eleventh"])
def test_look_ups(case, walked):
    result, zone = evaluated(case)
    assert (result.status, zone.walked) == (case.result, walked.split())


@pytest.mark.parametrize("dkim, exists, asked", [
    ("a.example.com", "", False),       # it passes
    ("", "a.example.com", True), ("", "", True)])
def test_a_domain_s_existence_is_looked_up_only_if_it_matters(dkim, exists, asked):
    for zone, matters in (({"example.com": "p=none; np=reject"}, True),
                          ({"example.com": "p=reject; np=reject"}, False),
                          ({"a.example.com": "p=none; np=reject"}, False)):
        found = evaluated(Case("", "a.example.com", dkim, "", zone, "", exists))[1].asked
        assert (("a.example.com", "TXT") in found) == (asked and matters)


def test_nobody_knows_whether_the_domain_exists():
    zone = Zone({"example.com": "p=none; np=reject"})
    zone.texts["a.example.com"] = "SERVFAIL"
    result = dmarc.evaluate(b"a.example.com", [], None, zone.find)
    assert summary(result) == "temperror"
    assert result.reason == "a.example.com: SERVFAIL"
    assert summary(dmarc.evaluate(b"a.example.com", [b"example.com"], None, zone.find)
                   ) == "pass none dkim"


@pytest.mark.parametrize("author", [
    None, b"", b"[192.0.2.1]", b"example..com", b"a b", b"example.com.", b"x" * 64 + b".com",
    b"\xff.com", b"a\0.com", b"x." * 200 + b"com"], ids=repr)
def test_no_author_domain(author):
    zone = Zone(APEX)
    result = dmarc.evaluate(author, [b"example.com"], b"example.com", zone.find, True)
    assert (summary(result), result.domain, result.reason) == (
        "none", "", "From: has no single author domain")
    assert zone.asked == []


def test_international_domains():
    """Section 5.3.1: an author domain in U-labels becomes A-labels; so do the others here."""
    zone = Zone({"xn--bcher-kva.example": "p=reject"})
    result = dmarc.evaluate("B\u00fccher.example".encode(), [b"xn--bcher-kva.example"], None,
                            zone.find)
    assert (result.domain, summary(result)) == ("xn--bcher-kva.example", "pass reject dkim")
    result = dmarc.evaluate(b"xn--bcher-kva.example", [], "mail.b\u00fccher.example".encode(),
                            zone.find)
    assert summary(result) == "pass reject spf"


def test_texts_that_are_no_domains_are_not_aligned():
    result = dmarc.evaluate(b"example.com", [b"", b"\xff.example.com", b".example.com"],
                            b"a b.example.com", Zone(APEX).find)
    assert (summary(result), result.reason) == ("fail reject reject", "neither DKIM nor SPF passes")


@pytest.mark.parametrize("author, dkim, organization", [
    ("a.example.com", "", b""), ("a.example.com", "b.example.com", b"example.com"),
    ("b.example.com", "", b"example.com"), ("b.example.com", "b.example.com", b"example.com"),
    ("a.example.com", "a.example.com", b"a.example.com")])
def test_organization(author, dkim, organization):
    result, _ = evaluated(Case("", author, dkim, "", {"a.example.com": "p=none", **APEX}, ""))
    assert result.organization == organization


def test_explanation():
    case = Case("", "a.example.com", "other.com example.net b.example.com", "", {
        "example.com": "p=reject; np=none; aspf=s; t=y", "b.example.com": ["v=spf1 -all", "x"]}, "")
    result, _ = evaluated(case, to_explain=True)
    assert result.steps == [
        "_dmarc.a.example.com: NXDOMAIN",
        "_dmarc.example.com: p=reject sp=reject np=none adkim=r aspf=s t=y",
        "_dmarc.com: NXDOMAIN",
        "the record of example.com applies to a.example.com",
        "dkim example.net: not aligned",
        "the organizational domain of a.example.com is example.com",
        "dkim other.com: not aligned, not below example.com",
        "_dmarc.b.example.com: 2 TXT, not one DMARC record",
        "dkim b.example.com: aligned, the same organizational domain",
    ]


def test_explanation_of_a_failure():
    case = Case("", "a.example.com", "b.example.com", "example.com", {
        "example.com": "p=reject; np=none; aspf=s", "b.example.com": "psd=n"}, "")
    assert evaluated(case, to_explain=True)[0].steps[3:] == [
        "the record of example.com applies to a.example.com",
        "spf example.com: another domain, and alignment is strict",
        "the organizational domain of a.example.com is example.com",
        "_dmarc.b.example.com: a record without a valid policy psd=n",
        "dkim b.example.com: not aligned, it belongs to b.example.com",
        "a.example.com does not exist",
    ]


def test_a_broken_record():
    """Section 9.2: permerror is the word for an improperly formatted record."""
    result, _ = evaluated(Case("", "example.com", "example.com", "", {
        "example.com": "p=deny; rua=postmaster"}, ""))
    assert (summary(result), result.reason) == (
        "permerror", "p=, sp= or np= is not valid, and rua= has no address")


@pytest.mark.parametrize("dkim, undecided, published, result", [
    # Section 5.3.6: the message may yet pass.
    ("", [("dkim", b"example.com")], "p=reject", "temperror"),
    ("", [("spf", b"example.com")], "p=reject; aspf=s", "temperror"),
    ("example.net", [("spf", b"example.net"), ("dkim", b"a.example.com")], "p=reject", "temperror"),
    # It passes already, or may not pass whatever comes of them.
    ("a.example.com", [("dkim", b"example.com")], "p=reject", "pass reject dkim"),
    ("", [("dkim", b"example.net")], "p=reject", "fail reject reject"),
    ("", [("dkim", b"a.example.com")], "p=reject; adkim=s", "fail reject reject"),
    ("", [("dkim", b"\xff")], "p=reject", "fail reject reject"),
    ("", [("dkim", b"example.com")], "p=deny", "permerror")])
def test_undecided(dkim, undecided, published, result):
    zone = Zone({"example.com": published})
    found = dmarc.evaluate(b"example.com", dkim.encode().split(), None, zone.find, True, undecided)
    assert summary(found) == result
    assert all(map(is_printable, [found.reason, *found.steps]))


def test_no_more_undecided_than_signatures_are_examined():
    zone = Zone({"example.com": "p=none", **{f"{n}.example.com": "psd=n" for n in range(20)}})
    signers = [b"%d.example.com" % number for number in range(20)]
    found = dmarc.evaluate(b"example.com", signers[:4], None, zone.find,
                           undecided=[("dkim", signer) for signer in signers[4:]])
    assert summary(found) == "fail none"
    assert zone.walked == ["example.com", "com", *(f"{n}.example.com" for n in range(11))]


def test_most_look_ups():
    """Ten signatures, SPF and the author, each with eight names, of which they share two."""
    asked = []

    def find(name, kind):
        asked.append((name, kind))
        if name == b"_dmarc.example.com":
            return Answer("found", [b"v=DMARC1; p=none; np=reject"])
        if name.startswith(b"_dmarc.signer"):
            return Answer("found", [b"v=DMARC1; psd=n"])
        return Answer("none", [], "NXDOMAIN")
    signers = [b"a.b.c.d.e.f.g.signer%d.example.com" % number for number in range(11)]
    result = dmarc.evaluate(b"a.b.c.d.e.f.g.h.example.com", signers[:10], signers[10], find)
    assert summary(result) == "fail reject reject"
    assert len(asked) == len(set(asked)) == 8 + 11 * 6 + 1


@pytest.mark.parametrize("texts, status, asked", [(20, "fail", 7), (250, "temperror", 2)])
def test_texts_at_all_names(texts, status, asked):
    """A wildcard is harmless, but 70 answers of 64 KB would take a second and 6 MiB."""
    count = []

    def find(name, kind):
        count.append(name)
        record = [b"v=DMARC1; p=reject"] if name == b"_dmarc.f.example" else []
        return Answer("found", [b"x" * 200] * texts + record)
    found = dmarc.evaluate(b"a.b.c.d.e.f.example", [], None, find)
    assert (found.status, len(count)) == (status, asked)
