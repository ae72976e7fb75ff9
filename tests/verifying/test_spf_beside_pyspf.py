# SPDX-License-Identifier: MIT
"""SPF beside pyspf: random records in a random DNS have one result, but for DIFFERENCES."""

import random

import pytest

from lib.verifying import spf
from tests.support.spf_zones import Zone, by_pyspf, packed

pyspf = pytest.importorskip("spf", reason="needs the Python package pyspf")

CLIENT, CLIENT6 = "192.0.2.1", "2001:db8::1"
REVERSE = "1.2.0.192.in-addr.arpa"
TEN = "a a a a a a a a a a"
ALICE = "alice@example.com"

# what: (sections of RFC 7208 by which we are right, the records, client, sender, our result,
# pyspf's, words of its explanation or of our reason; None if random_zone() makes no such case)
DIFFERENCES = {
    "an include of the record itself is an error only when it is evaluated": (
        "4.6.4, 5.2", {"example.com": ["TXT v=spf1 ~all include:example.com"]}, CLIENT, ALICE,
        "softfail", "permerror", "trivial recursion"),
    "an unknown modifier may be repeated": (
        "6", {"example.com": ["TXT v=spf1 x=1 x=1 ~all"]}, CLIENT, ALICE,
        "softfail", "permerror", "MUST appear at most once"),
    "an unknown modifier may have macros for exp": (
        "6, 12", {"example.com": ["TXT v=spf1 x=%{c} ~all"]}, CLIENT, ALICE,
        "softfail", "permerror", None),
    "letters after the transformers": (
        "7.1", {"example.com": ["TXT v=spf1 a:%{d2x}.example.com ~all"]}, CLIENT, ALICE,
        "permerror", "softfail", "a malformed macro"),
    "zero parts": (
        "7.3", {"example.com": ["TXT v=spf1 a:%{d0}.example.com ~all"]}, CLIENT, ALICE,
        "permerror", "softfail", "a malformed macro"),
    "a brace that is not closed": (
        "7.1", {"example.com": ["TXT v=spf1 a:%{.example.com ~all"]}, CLIENT, ALICE,
        "permerror", "softfail", "a macro without end"),
    "%% is a macro, wherever it stands": (
        "7.1", {"example.com": ["TXT v=spf1 exists:%{d}%% ~all"]}, CLIENT, ALICE,
        "softfail", "permerror", "invalid-macro-char"),
    "parts are joined by dots": (
        "7.3", {"a-b.com": ["TXT v=spf1 exists:%{o-}.x.example ~all"],
                "a.b.com.x.example": ["A 127.0.0.1"]}, CLIENT, "x@a-b.com",
        "pass", "softfail", None),
    "as many labels go as are too many": (
        "7.3", {"example.com": ["TXT v=spf1 exists:x.y." + "%{l}." * 5 + "%{l} ~all"],
                ".".join(["y" * 48] * 5): ["A 127.0.0.1"]}, CLIENT, "y" * 48 + "@example.com",
        "pass", "softfail", None),
    "an error in PTR records is no match": (
        "5.5", {"example.com": ["TXT v=spf1 ptr ~all"], REVERSE: ["TIMEOUT"]}, CLIENT, ALICE,
        "softfail", "temperror", None),
    "an error in a host's address is no match": (
        "5.5", {"example.com": ["TXT v=spf1 ptr ~all"], REVERSE: ["PTR a.example.com"],
                "a.example.com": ["TIMEOUT"]}, CLIENT, ALICE, "softfail", "temperror", None),
    "the first MX that matches is enough": (
        "5.4", {"example.com": ["TXT v=spf1 mx ~all", "MX 1 a.example.com", "MX 2 b.example.com"],
                "a.example.com": ["A " + CLIENT], "b.example.com": ["TIMEOUT"]}, CLIENT, ALICE,
        "pass", "temperror", None),
    "terms that find nothing count, not look-ups": (
        "4.6.4", {"example.com": ["TXT v=spf1 mx ~all"] + [
            f"MX {number} {number}.example.com" for number in range(3)]}, CLIENT, ALICE,
        "softfail", "permerror", "Void lookup limit"),
    "a redirection counts when it is followed": (
        "4.6.4, 6.1", {"example.com": [f"TXT v=spf1 {TEN} redirect=x.example ~all",
                                       "A 192.0.2.2"]}, CLIENT, ALICE,
        "softfail", "permerror", "Too many DNS lookups"),
    "the macro p counts": (
        "4.6.4", {"example.com": [f"TXT v=spf1 exists:%{{p}}.example.com {TEN[2:]} ~all",
                                  "A 192.0.2.2"], REVERSE: ["PTR example.com"]}, CLIENT, ALICE,
        "permerror", "softfail", None),
    "a domain has several labels": (
        "4.3, 5.2", {"example.com": ["TXT v=spf1 include:%{d1} ~all"],
                     "com": ["TXT v=spf1 -all"]}, CLIENT, ALICE, "permerror", "softfail", None),
    "a dot at the end of the domain": (
        "4.3", {"example.com": ["TXT v=spf1 ~all"]}, CLIENT, "alice@example.com.",
        "softfail", "none", None),
    "the last @ is before the domain": (
        "4.3", {"example.com": ["TXT v=spf1 ~all"]}, CLIENT, '"a@b"@example.com',
        "softfail", "none", None),
    "a sender without @ has no domain": (
        "2.4", {"example.com": ["TXT v=spf1 ~all"]}, CLIENT, "example.com",
        "none", "softfail", None),
}


def results(zone, client, sender, helo):
    """-> (our SpfResult, pyspf's result, its explanation)"""
    ours = spf.evaluate(packed(client), sender.encode(), helo.encode(), zone.find)
    return (ours, *by_pyspf(pyspf, zone, client, sender, helo))


@pytest.mark.parametrize("what", DIFFERENCES)
def test_differences(what):
    _, records, client, sender, our_status, their_status, words = DIFFERENCES[what]
    ours, theirs, explanation = results(Zone(records), client, sender, "mx.example.org")
    assert (ours.status, theirs) == (our_status, their_status)
    assert words is None or words in ours.reason + explanation


NAMES = ["example.com", "a.example.com", "b.example.net", "c.example.org", "m1.example.com",
         "m2.example.com"]
ABSENT, DEAD = "none.example.com", "dead.example.com"
ADDRESSES = ["192.0.2.1", "192.0.2.2", "198.51.100.7", "203.0.113.200"]
ADDRESSES6 = ["2001:db8::1", "2001:db8::2", "2001:db8:ffff::7"]
SENDERS = [ALICE, "a-b+c.d@example.com", "X.Y@Example.COM", "@example.com", "x@" + DEAD, ""]
HELOS = ["example.com", "m1.example.com", "mx", "[192.0.2.1]"]
MACROS = ["%{d}", "%{d2}", "%{o}", "%{l}", "%{l2r-}", "%{ir}", "%{v}", "%{h}", "%{H}", "%{s}",
          "%{i}", "%{dr}", "%{l1r+-}", "%%", "%_", "%-", "%{D}", "%{S}", "%{d1r}", "%{o9}"]
NO_MACROS = ["%{x}", "%", "%{d0x}", "%{", "%(d)", "%{c}", "%{d2x}", "%{r}", "%{}"]
SPECS = ["example", "example.com.", "a..example.com", "x.123", "x.1a", "x.-a", "x.a-", "x.a-b",
         "x.a_b", "", "a:b.example.com", "a/24.example.com", "x.%{d}.", "EXAMPLE.com",
         "x" * 64 + ".com"]
LENGTHS = ["", "", "", "", "/24", "/0", "/32", "/33", "//64", "//128", "//129", "/24//48", "/024",
           "/", "//", "/24/64", "///64", "/1", "//0"]
ODD_TERMS = ["x=y", "x.y-z_1=%{d}", "1x=y", "x=%{x}", "=y", "all:x", "all/8", "foo", "foo:bar",
             "ip4", "ip6", "include", "exists", "-", "a=b", "x=", "ptr/24", "ptr:", "a:", "mx:",
             "+x=y", "default=pass", "a:b=c.com", "redirect=", "exp=%{d}.example"]
ODD_RECORDS = ["v=spf10 all", "v=spf1all", "V=SPF1 -all", "v=spf1\t-all", "x", "v=spf1 -all ",
               "v=spf1  a  -all", "v=spf1 a \u00fc"]


def domain_spec(chance):
    kind = chance.random()
    if kind < .7:
        return chance.choice([*NAMES, ABSENT, DEAD])
    if kind < .88:
        return "".join(chance.choice([*MACROS, ".", "x", "-"]) for _ in range(
            chance.randint(1, 4))) + chance.choice([".example.com", ".com", "", "."])
    if kind < .94:
        return chance.choice(NO_MACROS) + ".example.com"
    return chance.choice(SPECS)


def term(chance):
    choose, sign = chance.choice, chance.choice(["", "", "", "+", "-", "~", "?"])
    return choose([
        lambda: sign + "all",
        lambda: sign + choose(["a", "A", "mx", "Mx"]) + choose(["", ":" + domain_spec(chance)])
        + choose(LENGTHS),
        lambda: sign + "include:" + choose([*NAMES, ABSENT, DEAD]),
        lambda: sign + "Include:" + choose([*NAMES, domain_spec(chance)]),
        lambda: sign + "ptr" + choose(["", ":example.com", ":" + domain_spec(chance)]),
        lambda: sign + "exists:" + domain_spec(chance),
        lambda: sign + "ip4:" + choose([*ADDRESSES, "192.0.2.0", "1.2.3", "1.2.3.04", "256.1.1.1"])
        + choose(["", "", "/24", "/32", "/0", "/33", "/00", "//24", "/"]),
        lambda: sign + "ip6:" + choose([*ADDRESSES6, "::", "::1.2.3.4", "1:2", "2001:db8:::1"])
        + choose(["", "", "/64", "/128", "/0", "/129", "//64"]),
        lambda: choose(["redirect=", "redirect=", "exp="]) + domain_spec(chance),
        lambda: choose(ODD_TERMS)])()


def record(chance):
    if chance.random() < .03:
        return chance.choice(ODD_RECORDS)
    terms = [term(chance) for _ in range(chance.choice([0, 1, 1, 2, 2, 3, 4]))]
    if chance.random() < .1:
        terms[:0] = ["a"] * chance.randint(7, 11)
    if chance.random() < .5:
        terms.append(chance.choice("-~?+") + "all")
    return "v=spf1 " + " ".join(terms)


def random_zone(chance):
    """A Zone in which only DEAD fails, which no MX or PTR record names."""
    records = {DEAD: ["TIMEOUT"]}
    for name in NAMES:
        texts = 1 if name == "example.com" else chance.choice([1, 1, 1, 1, 0, 2])
        found = [f"TXT {record(chance)}" for _ in range(texts)]
        for kind, data in (("A", ADDRESSES), ("AAAA", ADDRESSES6)):
            found += {f"{kind} {chance.choice(data)}" for _ in range(chance.choice([0, 1, 1, 2]))}
        found += {f"MX {chance.choice('579')} {chance.choice([*NAMES, ABSENT])}"
                  for _ in range(chance.choice([0, 1, 2, 3]))}
        records[name] = sorted(set(found))
    for address in ADDRESSES + ADDRESSES6:
        labels = address.split(".") if "." in address else packed(address).hex()
        zone = ".in-addr.arpa" if "." in address else ".ip6.arpa"
        records[".".join(reversed(labels)) + zone] = sorted({
            "PTR " + chance.choice([*NAMES, ABSENT]) for _ in range(chance.choice([0, 1, 2, 3]))})
    return Zone(records)


def test_random_records():
    seen = dict.fromkeys(spf.SIGNS, 0)
    explained = []
    for seed in range(3000):
        chance = random.Random(seed)
        zone = random_zone(chance)
        client = chance.choice(ADDRESSES + ADDRESSES6)
        ours, theirs, explanation = results(zone, client, chance.choice(SENDERS),
                                            chance.choice(HELOS))
        seen[ours.status] = seen.get(ours.status, 0) + 1
        if ours.status != theirs:
            explained.append(seed)
            assert any(words and words in ours.reason + explanation
                       for *_, words in DIFFERENCES.values()), (
                seed, ours.status, ours.reason, theirs, explanation)
    assert len(seen) == 7 and min(seen.values()) >= 30, seen
    assert len(explained) < 150
