# SPDX-License-Identifier: MIT
"""SPF where neither the openspf suite nor pyspf is a judge: grammar, limits, texts."""

import pytest

from lib.verifying import spf, spf_lookups, spf_record
from tests.support import growth, spf_cases, spf_grammar
from tests.support.spf_zones import Answer, Zone, packed

CLIENT = "192.0.2.1"
CLIENT6 = "2001:db8::1"
REVERSE, REVERSE6 = "1.2.0.192.in-addr.arpa", "1." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa"
MOST_LOOKUPS = 111      # a record, and for each of 10 terms one and 10 hosts


def evaluated(records, client=CLIENT, sender=b"alice@example.com", helo=b"mx.example.org"):
    """-> (SpfResult, Zone); records: of Zone, or a text that is example.com's record"""
    zone = Zone({"example.com": ["TXT " + records]} if isinstance(records, str) else records)
    result = spf.evaluate(packed(client), sender, helo, zone.find, to_explain=True)
    assert result.status in spf_grammar.STATUSES and spf_grammar.is_shown_safely(result), result
    assert len(zone.asked) <= MOST_LOOKUPS
    short = spf.evaluate(packed(client), sender, helo, zone.find)
    assert short.steps is None
    assert (short.status, short.reason) == (result.status, result.reason)
    del zone.asked[len(zone.asked) // 2:]
    return result, zone


LONG_LABEL = b"x" * 63
IDENTITIES = [
    # sender, HELO, identity, domain
    (b"alice@Example.COM", b"mx.example.org", "mailfrom", b"example.com"),
    (b"alice@example.com.", b"mx.example.org", "mailfrom", b"example.com"),
    (b"alice@example.net@example.com", b"mx.example.org", "mailfrom", b"example.com"),
    (b"\"a b\"@_x.example.com", b"mx.example.org", "mailfrom", b"_x.example.com"),
    ("a@b\u00fccher.example".encode(), b"", "mailfrom", b"xn--bcher-kva.example"),
    (b"alice@" + b".".join([LONG_LABEL] * 3) + b"." + b"x" * 61, b"", "mailfrom",
     b".".join([LONG_LABEL] * 3) + b"." + b"x" * 61),
    (b"alice@" + b".".join([LONG_LABEL] * 3) + b"." + b"x" * 62, b"", "mailfrom", b""),
    (b"alice@" + LONG_LABEL + b"x.com", b"", "mailfrom", b""),
    (b"alice", b"mx.example.org", "mailfrom", b""),
    (b"alice@", b"mx.example.org", "mailfrom", b""),
    (b"@", b"mx.example.org", "mailfrom", b""),
    (b"alice@localhost", b"mx.example.org", "mailfrom", b""),
    (b"alice@192.0.2.1", b"mx.example.org", "mailfrom", b""),
    (b"alice@[192.0.2.1]", b"mx.example.org", "mailfrom", b""),
    (b"#@[]", b"mx.example.org", "mailfrom", b""),
    (b"alice@example..com", b"mx.example.org", "mailfrom", b""),
    (b"alice@example.com..", b"mx.example.org", "mailfrom", b""),
    (b"alice@exam ple.com", b"mx.example.org", "mailfrom", b""),
    (b"alice@exam\0ple.com", b"mx.example.org", "mailfrom", b""),
    (b"alice@b\xfccher.example", b"mx.example.org", "mailfrom", b""),
    (b"", b"MX.Example.org", "helo", b"mx.example.org"),
    (b"", b"", "helo", b""),
    (b"", b"localhost", "helo", b""),
    (b"", b"[192.0.2.1]", "helo", b""),
    (b"", b"192.0.2.1", "helo", b""),
    (b"", b"[IPv6:2001:db8::1]", "helo", b""),
    (b"", b"\xff.example.com", "helo", b""),
]


@pytest.mark.parametrize("sender, helo, identity, domain", IDENTITIES)
def test_identity(sender, helo, identity, domain):
    result, zone = evaluated({}, sender=sender, helo=helo)
    assert (result.status, result.identity, result.domain) == ("none", identity, domain)
    assert zone.asked == ([(domain, "TXT")] if domain else [])


@pytest.mark.parametrize("term, is_good", spf_cases.TERMS)
def test_grammar(term, is_good):
    """The whole record is looked at, whatever the first term says."""
    result, zone = evaluated("v=spf1 ip4:192.0.2.1 " + term)
    assert result.status == ("pass" if is_good else "permerror")
    assert spf_grammar.is_record("v=spf1 " + term) == is_good


@pytest.mark.parametrize("record, is_one", [
    ("v=spf1", True), ("V=SPF1 ", True), ("v=spf10", False), ("v=spf1\t", False),
    ("v=spf1all", False), (" v=spf1", False), ("", False), ("v=spf", False),
    ("spf2.0/pra -all", False)])
def test_what_is_a_record(record, is_one):
    assert evaluated(record)[0].status == ("neutral" if is_one else "none")


@pytest.mark.parametrize("macros, expansion", spf_cases.EXAMPLES)
def test_examples_of_the_rfc(macros, expansion):
    _, zone = evaluated({"email.example.com": [f"TXT v=spf1 exists:{macros}.x.example"]},
                        spf_cases.EXAMPLES_FOR, spf_cases.SENDER)
    assert zone.asked[1:] == [(f"{expansion}.x.example".encode(), "A")]


def test_the_example_for_ip6():
    client, macros, expansion = spf_cases.EXAMPLE_OF_IP6
    _, zone = evaluated({"email.example.com": ["TXT v=spf1 exists:" + macros]}, client,
                        spf_cases.SENDER)
    assert zone.asked[1:] == [(expansion.encode(), "A")]


LOCAL = b"y" * 61 + b"." + b"y" * 61
TWO_HUNDRED_AND_FIFTY = b"y" + b".yyyy" * 49 + b".yyy"


@pytest.mark.parametrize("macros, sender, helo, asked", [
    ("%{L}.%{H}%{h}", b"a+B~c@example.com", b"x Y", b"a%2bb~c.x%20yx y"),
    ("%{l3.-}", b"a.b-c-.d@example.com", b"", b"c..d"),
    ("%{lr+}", b"a+b+@example.com", b"", b".b.a"),
    ("%{l1}.%{h}.x", b"a.b@example.com", b"", b"b..x"),
    ("a%%b%_c%-d.com.", b"a@example.com", b"", b"a%b c%20d.com"),
    ("%{l}.%{o}.%{d}", b"@Example.com", b"", b"postmaster.example.com.example.com"),
    # Section 7.3: labels on the left go until 253 bytes are left.
    ("%{l}.xxxxx.%{l}", LOCAL + b"@example.com", b"", LOCAL + b".xxxxx." + LOCAL),
    ("%{l}.xxxxxx.%{l}", LOCAL + b"@example.com", b"",
     b"y" * 61 + b".xxxxxx." + LOCAL),
    ("%{l}.xx.%{l}.zz.", LOCAL + b"@example.com", b"", LOCAL + b".xx." + LOCAL + b".zz"),
    ("%{l}.xxx.%{l}.zz.", LOCAL + b"@example.com", b"", b"y" * 61 + b".xxx." + LOCAL + b".zz"),
    ("%{l1}.%{l}.xx.%{l}.zz", LOCAL + b"@example.com", b"", LOCAL + b".xx." + LOCAL + b".zz"),
    ("x%{l}.zz.", TWO_HUNDRED_AND_FIFTY + b"@example.com", b"",
     TWO_HUNDRED_AND_FIFTY[2:] + b".zz"),
    ("%{l110}", b"y." * 119 + b"y@example.com", b"", b"y." * 109 + b"y"),
    ("x.%{l}", b"y" * 253 + b"@example.com", b"", b"y" * 253),
    ("x%{l}", b"y" * 253 + b"@example.com", b"", b""),
    # No name can have these (RFC 8616 section 4 for the first).
    ("%{l1}", "\u00fc.a@example.com".encode(), b"", b""),
    ("%{s1}", "\u00fc.a@example.com".encode(), b"", b""),
    ("%{l1}.x", b"y" * 254 + b".a@example.com", b"", b""),
    ("%{h1}", b"a@example.com", b"\xfc.a", b""),
])
def test_expansion(macros, sender, helo, asked):
    _, zone = evaluated("v=spf1 exists:" + macros, sender=sender, helo=helo)
    assert zone.asked[1:] == [(asked, "A")]


HOSTS = {"example.com": ["TXT v=spf1 mx -all", "MX 20 m2.example.com", "MX 10 M1.example.com",
                         "MX 30 m3.example.com"]}
TABLE = {
    # what: (records, client, status, how many look-ups)
    "hosts by their preference": (
        {**HOSTS, "m1.example.com": ["A " + CLIENT], "m2.example.com": ["TIMEOUT"]},
        CLIENT, "pass", 3),
    "a host that can't be looked up": (
        {**HOSTS, "m1.example.com": ["TIMEOUT"], "m2.example.com": ["A " + CLIENT]},
        CLIENT, "temperror", 3),
    "void hosts count once": (HOSTS, CLIENT6, "fail", 5),
    "a null MX": ({"example.com": ["TXT v=spf1 mx mx mx mx ~all", "MX 0 ."]},
                  CLIENT, "softfail", 9),
    "10 hosts": ({"example.com": ["TXT v=spf1 mx -all"] + [
        f"MX 1 m{number}.example.com" for number in range(10)]}, CLIENT, "fail", 12),
    "two void terms": ({"example.com": ["TXT v=spf1 a exists:x.example -all"]},
                       CLIENT, "fail", 3),
    "three void terms": ({"example.com": ["TXT v=spf1 a mx exists:x.example -all"]},
                         CLIENT, "permerror", 4),
    "void terms of several records": (
        {"example.com": ["TXT v=spf1 a include:b.example mx -all"],
         "b.example": ["TXT v=spf1 exists:x.example"]}, CLIENT, "permerror", 5),
    "names that can't be in the DNS are not void": (
        {"example.com": ["TXT v=spf1 a:a..example a:b..example a:c..example -all"]},
        CLIENT, "fail", 4),
    "PTR is void": ({"example.com": ["TXT v=spf1 a mx ptr -all"]}, CLIENT, "permerror", 4),
    "PTR fails": ({"example.com": ["TXT v=spf1 ptr -all"], REVERSE: ["TIMEOUT"]},
                  CLIENT, "fail", 2),
    "a host of PTR fails": (
        {"example.com": ["TXT v=spf1 ptr -all"], "a.example.com": ["TIMEOUT"],
         REVERSE: ["PTR a.example.com", "PTR B.example.com."],
         "b.example.com": ["A " + CLIENT]}, CLIENT, "pass", 4),
    "hosts elsewhere are not looked up": (
        {"example.com": ["TXT v=spf1 ptr ptr:x.example -all"],
         REVERSE6: ["PTR a.example", "PTR bexample.com", "PTR x.example"],
         "x.example": ["AAAA " + CLIENT6]}, CLIENT6, "pass", 3),
    "the macro p is looked up once": (
        {"example.com": ["TXT v=spf1 exists:%{p}.x.example exists:%{p}.y.example -all"],
         REVERSE: ["PTR m.example", "PTR a.example.com"], "m.example": ["A " + CLIENT],
         "m.example.y.example": ["A 127.0.0.1"], "a.example.com": ["A 192.0.2.2"],
         "m.example.x.example": ["TXT "]}, CLIENT, "pass", 6),
    "the macro p counts": (
        {"example.com": ["TXT v=spf1 " + "a " * 8 + "exists:%{p}.x.example all", "A 192.0.2.2"],
         REVERSE: ["PTR m.example"]}, CLIENT, "pass", 12),
    "the macro p is the 11th": (
        {"example.com": ["TXT v=spf1 " + "a " * 9 + "exists:%{p}.x.example all", "A 192.0.2.2"],
         REVERSE: ["PTR m.example"]}, CLIENT, "permerror", 10),
    "exp= is not looked up": ({"example.com": ["TXT v=spf1 exp=%{p}.x.example -all"]},
                              CLIENT, "fail", 1),
    "a redirection that is not needed": (
        {"example.com": ["TXT v=spf1 " + "a " * 10 + "?all redirect=x.example", "A 192.0.2.2"]},
        CLIENT, "neutral", 11),
    "addresses of IPv6": ({"example.com": [
        "TXT v=spf1 ip4:192.0.2.1/0 a:x.example/0//126 -all"], "x.example": [
            "A " + CLIENT, "AAAA 2001:db8::3"]}, CLIENT6, "pass", 2),
    "the prefix of IPv6": ({"example.com": ["TXT v=spf1 a:x.example//127 -all"], "x.example": [
        "AAAA 2001:db8::3"]}, CLIENT6, "fail", 2),
    "exists for IPv6": ({"example.com": ["TXT v=spf1 exists:x.example -all"], "x.example": [
        "AAAA " + CLIENT6]}, CLIENT6, "fail", 2),
    "an include of what is no domain": ({"example.com": ["TXT v=spf1 include:%{d1} all"]},
                                        CLIENT, "permerror", 1),
    "an alias": ({"example.com": ["CNAME a.example"], "a.example": ["TXT v=spf1 a -all", "A "
                  + CLIENT]}, CLIENT, "pass", 2),
}


@pytest.mark.parametrize("what", TABLE)
def test_evaluation(what):
    records, client, status, lookups = TABLE[what]
    result, zone = evaluated(records, client)
    assert (result.status, len(zone.asked)) == (status, lookups), result.steps


def test_records_of_16384_bytes():
    """All records of an evaluation count together."""
    room = spf.MOST_BYTES - len("v=spf1 include:b.example -all")
    for size, status in ((room, "fail"), (room + 1, "permerror")):
        other = "v=spf1 x=".ljust(size, "y")
        assert evaluated({"example.com": ["TXT v=spf1 include:b.example -all"],
                          "b.example": ["TXT " + other]})[0].status == status


def hosts(addresses):
    """-> records of ten mx with ten hosts each, which all have so many addresses."""
    numbers = [(mx, host) for mx in range(10) for host in range(10)]
    return {"example.com": ["TXT v=spf1 " + " ".join(f"mx:m{mx}.example" for mx in range(10))
                            + " -all"],
            **{f"m{mx}.example": [f"MX 1 h{host}.m{mx}.example" for host in range(10)]
               for mx in range(10)},
            **{f"h{host}.m{mx}.example": ["A 192.0.2.2"] * addresses for mx, host in numbers}}


# addresses of each of the hosts -> status, look-ups
@pytest.mark.parametrize("addresses, status, lookups", [
    (8, "fail", MOST_LOOKUPS), (250, "permerror", 8)])
def test_records_of_all_answers(addresses, status, lookups):
    """A hundred hosts of 250 addresses would cost a second, most of it to read the answers."""
    result, zone = evaluated(hosts(addresses))
    assert (result.status, len(zone.asked)) == (status, lookups)


def test_names_of_the_client_count_too():
    result, _ = evaluated({"example.com": ["TXT v=spf1 ptr:h.example -all"],
                           REVERSE: [f"PTR x{number}.h.example" for number in range(10)],
                           **{f"x{number}.h.example": ["A 192.0.2.2"] * 250
                              for number in range(10)}})
    assert result.status == "permerror"


HUGE = {"example.com": ["TXT v=spf1 " + "mx:m.example ptr " * 5 + "-all"],
        "m.example": [f"MX 1 m{number}.example" for number in range(10)],
        REVERSE: [f"PTR {number}.example.com" for number in range(200)],
        **{f"{number}.example.com": ["A 192.0.2.2"] for number in range(200)},
        **{f"m{number}.example": ["A 192.0.2.2"] * 250 for number in range(10)}}


@pytest.mark.parametrize("what", [*spf_cases.HOSTILE, "many hosts"])
def test_hostile_records_cost_little(what):
    """Beside a usual evaluation; without the limits, they cost thousands of times as much."""
    records = HUGE if what == "many hosts" else {
        "example.com": ["TXT v=spf1 " + spf_cases.HOSTILE[what]]}
    sender = b"\1-" * 125 + b"@example.com"
    zone = Zone(records)
    answers = {}

    def find(name, kind):
        if (name, kind) not in answers:
            answers[name, kind] = zone.find(name, kind)
        return answers[name, kind]

    def evaluate(times):
        for _ in range(times):
            spf.evaluate(packed(CLIENT), sender, b"mx", find)

    def evaluate_a_usual_one(times):
        record = Answer("found", [b"v=spf1 " + b"ip4:198.51.100.0/24 " * 20 + b"-all"])
        for _ in range(times):
            spf.evaluate(packed(CLIENT), sender, b"mx", lambda *_: record)

    evaluated(records, sender=sender)
    assert any(growth.seconds(evaluate, 1) < growth.seconds(evaluate_a_usual_one, 250)
               for _ in range(growth.ATTEMPTS))


def test_a_reason_shows_names_only():
    """A target that is not a name, as a local part can make one, is not in the reason."""
    result, _ = evaluated({"example.com": ["TXT v=spf1 exists:%{l}.example.net a:x!y.example"],
                           "a\x1b<b>.example.net": ["A 127.0.0.1"]},
                          sender=b"a\x1b<b>@example.com")
    assert result.reason == "exists of example.com"
    assert result.steps[1:] == ["  A of a?<b>.example.net: 127.0.0.1",
                                "exists:%{l}.example.net matches: pass"]


def test_steps():
    result, _ = evaluated({
        "example.com": ["TXT v=spf1 ip4:192.0.2.9 mx include:b.example -all", "TXT x",
                        "MX 10 m.example"],
        "m.example": ["A 192.0.2.8", "A 192.0.2.7"], "b.example": ["TXT v=spf1 ?ptr ~all"]})
    assert (result.status, result.reason) == ("fail", "-all of example.com")
    assert result.steps == [
        "  TXT of example.com: 2 found",
        "ip4:192.0.2.9 does not match",
        "  MX of example.com: m.example",
        "  A of m.example: 192.0.2.8, 192.0.2.7",
        "mx does not match",
        "    TXT of b.example: 1 found",
        f"    PTR of {REVERSE}: NXDOMAIN",
        "  ?ptr does not match",
        "  ~all matches: softfail",
        "include:b.example does not match",
        "-all matches: fail"]


def test_a_long_answer_in_the_steps():
    result, _ = evaluated({"example.com": ["TXT v=spf1 a"] + [
        f"AAAA 2001:db8::{number}" for number in range(2, 14)]}, CLIENT6)
    assert result.steps[1].count(", ") == spf_lookups.MOST_SHOWN - 1
    assert result.steps[1].endswith("2001:db8::11...")


def test_the_number_of_a_term_that_is_not_in_the_grammar():
    with pytest.raises(spf_record.Malformed, match="^term 2: an unknown mechanism$"):
        spf_record.parse(b"v=spf1   a  b ")
