# SPDX-License-Identifier: MIT
"""What the DNS may say, and what it means: asked of a server that can lie."""

import contextlib
import socket
import threading
import time
from unittest import mock

import dns.exception
import dns.message
import dnslib
import pytest
from hypothesis import given, settings, strategies

from lib.errors import SettingTrouble
from lib.lookup import budget, resolver, wire_format
from lib.lookup.answer import Answer
from tests.support import dns_server, resident

LONG = "v=DKIM1; k=rsa; p=" + "ABCDEFGH" * 80       # 3 strings
HUGE = "v=DKIM1; k=rsa; p=" + "ABCDEFGH" * 400      # more than one datagram
NAME = "s._domainkey.example.com"
NONE = ("none", [])
TEMPORARY = ("temporary", [])


PATIENT = (100, 100)            # seconds to wait for answers that come
IMPATIENT = (0.15, 0.3)         # for those that don't


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """An honest answer is waited for on a machine however busy."""
    monkeypatch.setattr(resolver, "TIMEOUTS", PATIENT)


def found(*texts):
    return "found", [text.encode() for text in texts]


def ask(server, name=NAME, seconds=1000):
    answer = budget.Lookups(server.address, seconds).find(name.encode())
    return answer.status, answer.values


# what the server has -> (answer, transports of the queries)
ANSWERS = {
    "one record": (["k=rsa; p=AA"], found("k=rsa; p=AA"), ["udp"]),
    "two records": (["one", "two"], found("one", "two"), ["udp"]),
    "an empty record": ([""], found(""), ["udp"]),
    "strings joined": ([["v=DK", "IM1; ", "p="]], found("v=DKIM1; p="), ["udp"]),
    "long record": ([LONG], found(LONG), ["udp"]),
    "huge record": ([HUGE], found(HUGE), ["udp", "tcp"]),
    "NXDOMAIN": ({"rcode": "NXDOMAIN"}, NONE, ["udp"]),
    "no TXT": ({"rcode": "NOERROR"}, NONE, ["udp"]),
    "SERVFAIL": ({"rcode": "SERVFAIL"}, TEMPORARY, ["udp", "udp"]),
    "REFUSED": ({"rcode": "REFUSED"}, TEMPORARY, ["udp"]),
    "NOTIMP": ({"rcode": "NOTIMP"}, TEMPORARY, ["udp", "udp"]),
    "FORMERR": ({"rcode": "FORMERR"}, TEMPORARY, ["udp", "udp"]),
    "EDNS is dropped": ({"lie": "no edns", "then": ["x"]}, found("x"), ["udp", "udp"]),
    **{f"{rcode} to EDNS": ({"lie": "no edns", "rcode": rcode, "then": ["x"]}, found("x"),
                            ["udp", "udp"])
       for rcode in ("FORMERR", "SERVFAIL", "NOTIMP", "BADVERS")},
    "SERVFAIL to EDNS, no such name": (
        {"lie": "no edns", "rcode": "SERVFAIL", "then": {"rcode": "NXDOMAIN"}}, NONE,
        ["udp", "udp"]),
    "timeout": ({"timeout": True}, TEMPORARY, ["udp", "udp"]),
    "late": ({"turns": [{"timeout": True}, ["x"]]}, found("x"), ["udp", "udp"]),
    "referral": ({"lie": "referral"}, TEMPORARY, ["udp"]),
    "malformed": ({"lie": "malformed"}, TEMPORARY, ["udp"]),
    "TC over TCP as well": ({"lie": "truncated"}, TEMPORARY, ["udp", "tcp"]),
    "wrong identifier": ({"lie": "identifier"}, TEMPORARY, ["udp", "udp"]),
    "wrong question": ({"lie": "question"}, TEMPORARY, ["udp", "udp"]),
    "garbage": ({"lie": "garbage"}, TEMPORARY, ["udp", "udp"]),
    "our own query": ({"lie": "query"}, TEMPORARY, ["udp", "udp"]),
    "wrong identifier first": ({"lie": "identifier", "then": ["x"]}, found("x"), ["udp"]),
    "wrong question first": ({"lie": "question", "then": ["x"]}, found("x"), ["udp"]),
    "garbage first": ({"lie": "garbage", "then": ["x"]}, found("x"), ["udp"]),
    "wrong question over TCP": (
        {"turns": [{"lie": "truncated"}, {"lie": "question"}]}, TEMPORARY, ["udp", "tcp"]),
    "malformed over TCP": (
        {"turns": [{"lie": "truncated"}, {"lie": "malformed"}]}, TEMPORARY, ["udp", "tcp"]),
}


# those of which no answer, or not the first, is waited for to the end
TIMEOUTS = {"late": (0.15, 100), "EDNS is dropped": (0.15, 100), **dict.fromkeys(
    ("timeout", "wrong identifier", "wrong question", "garbage", "our own query"), IMPATIENT)}


@pytest.mark.parametrize("case", ANSWERS)
def test_answer(case, monkeypatch):
    value, expected, transports = ANSWERS[case]
    monkeypatch.setattr(resolver, "TIMEOUTS", TIMEOUTS.get(case, PATIENT))
    with dns_server.DnsServer({NAME: value}) as server:
        assert ask(server) == expected
        resident.until_true(lambda: len(server.asked) >= len(transports))
    assert [transport for transport, _, _ in server.asked] == transports
    assert {name for _, name, _ in server.asked} == {NAME}
    assert server.asked[0][2] == 1232
    if [first[0] for first in server.asked[:2]] == ["udp", "udp"]:
        assert server.asked[1][2] == 0


def test_edns_comes_back():
    """A record over 512 bytes may need it; so a server that was slow twice is asked with it."""
    with dns_server.DnsServer({NAME: {"timeout": True}}) as server, \
            mock.patch.object(resolver, "TIMEOUTS", (0.1, 0.1, 0.1)):
        ask(server)
        resident.until_true(lambda: len(server.asked) >= 3)
    assert [payload for _, _, payload in server.asked] == [1232, 0, 1232]


def test_a_server_without_edns_says_nothing_about_the_next():
    without = {"lie": "no edns", "rcode": "NOTIMP", "then": {"rcode": "REFUSED"}}
    with dns_server.DnsServer({NAME: without}) as first, \
            dns_server.DnsServer({NAME: ["x"]}) as second:
        answer = budget.Lookups(f"{first.address} {second.address}", 20).find(NAME.encode())
    assert (answer.status, [payload for _, _, payload in second.asked]) == ("found", [1232])


def chain(length, end, alone=False):
    zone = {f"c{i}.example": {"cname": f"c{i + 1}.example", "alone": alone}
            for i in range(1, length)}
    zone[NAME] = {"cname": "c1.example", "alone": alone}
    zone[f"c{length}.example"] = end
    return zone


# zone -> (answer, number of queries)
ALIASES = {
    "one": (chain(1, ["x"]), found("x"), 1),
    "eight": (chain(8, ["x"]), found("x"), 1),
    "nine": (chain(9, ["x"]), TEMPORARY, 1),
    "asked again": (chain(2, ["x"], alone=True), found("x"), 3),
    "eight asked again": (chain(8, ["x"], alone=True), found("x"), 9),
    "nine asked again": (chain(9, ["x"], alone=True), TEMPORARY, 9),
    "to NXDOMAIN": (chain(1, {"rcode": "NXDOMAIN"}), NONE, 1),
    "to no TXT": (chain(1, {"rcode": "NOERROR"}), NONE, 2),
    "to SERVFAIL": (chain(1, {"rcode": "SERVFAIL"}, alone=True), TEMPORARY, 3),
    "loop": ({NAME: {"cname": "c1.example"}, "c1.example": {"cname": NAME}}, TEMPORARY, 1),
    "loop asked again": ({NAME: {"cname": "c1.example", "alone": True},
                          "c1.example": {"cname": NAME, "alone": True}}, TEMPORARY, 9),
    "to itself": ({NAME: {"cname": NAME, "alone": True}}, TEMPORARY, 1),
}


@pytest.mark.parametrize("case", ALIASES)
def test_aliases(case):
    zone, expected, queries = ALIASES[case]
    with dns_server.DnsServer(zone) as server:
        assert ask(server) == expected
    assert len(server.asked) == queries


NOT_NAMES = [b"", b".", b"example..com", b"example.com.", b".example.com", b"a" * 64 + b".com",
             b"a." * 126 + b"com", b"ex ample.com", b"exa\\046mple.com", b"ex\0.com", b"*.com",
             "bücher.example".encode(), b"\xff.example", b"example.com\n"]


@pytest.mark.parametrize("name", NOT_NAMES)
def test_not_a_name(name):
    with dns_server.DnsServer({}) as server:
        answer = budget.Lookups(server.address, 20).find(name)
    assert (answer.status, answer.values, server.asked) == ("none", [], [])


@pytest.mark.parametrize("name", ["a" * 63 + ".com", "a." * 125 + "com",
                                  "_x.xn--bcher-kva.example"])
def test_name_at_the_limit(name):
    with dns_server.DnsServer({name: ["x"]}) as server:
        assert ask(server, name) == found("x")


class Clock:
    """A clock that only goes when somebody waits for an answer; the resolver of that world."""

    def __init__(self):
        self.now = 1000.0
        self.waited = []

    def monotonic(self):
        return self.now

    def find(self, name, kind, deadline):
        """Waits in vain for the names that begin with dead, to the end."""
        if name.startswith(b"dead"):
            self.waited.append(deadline - self.now)
            self.now = deadline
            return Answer("temporary")
        self.now += 0.25
        return Answer("found")


def test_time_is_shared(monkeypatch):
    """Dead names leave time for a good one, and all together keep to the limit."""
    clock = Clock()
    monkeypatch.setattr(budget, "time", clock)
    dns = budget.Lookups("", 16, clock)
    for name in (b"dead1.example", b"dead2.example", b"good.example", b"dead3.example"):
        dns.find(name)
    assert clock.waited == [8, 4, (4 - 0.25) / 2]
    for _ in range(100):
        dns.find(b"dead.example")
    assert dns.spent == clock.now - 1000 <= 16


def test_keys_leave_the_time_that_is_reserved(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(budget, "time", clock)
    dns = budget.Lookups("", 16, clock, reserved=4)
    for _ in range(100):
        dns.find(b"dead._domainkey.example")
    assert sum(clock.waited) == pytest.approx(12)
    dns.find(b"dead.example")
    assert clock.waited[-1] == pytest.approx(2)


def test_no_time_no_question():
    with dns_server.DnsServer({NAME: ["x"]}) as server:
        assert ask(server, seconds=0) == TEMPORARY
    assert not server.asked


def test_trickle_over_tcp_keeps_to_the_limit():
    """A server that sends byte after byte lets no read time out: it would take 80 seconds."""
    given_up = threading.Event()

    class Trickling(dns_server.DnsServer):
        def handle_tcp(self, request):
            try:
                request.request.sendall(b"\x10\x00")
                for _ in range(0x1000):
                    time.sleep(0.02)
                    request.request.sendall(b"x")
            except OSError:
                given_up.set()

    with Trickling({NAME: {"lie": "truncated"}}) as server:
        assert ask(server, seconds=8) == TEMPORARY
        assert given_up.wait(resident.LONGEST_WAIT)


class Silent(socket.socket):
    """A UDP port that never answers."""

    def __init__(self):
        super().__init__(socket.AF_INET, socket.SOCK_DGRAM)
        self.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1#%d" % self.getsockname()[1]


def refusing():
    """A port where nobody listens."""
    with Silent() as gone:
        return gone.address


def test_next_server_is_asked(monkeypatch):
    monkeypatch.setattr(resolver, "TIMEOUTS", (2, 5))
    with Silent() as silent, dns_server.DnsServer({NAME: {"rcode": "SERVFAIL"}}) as failing, \
            dns_server.DnsServer({NAME: ["x"]}) as good:
        for first in (silent.address, refusing(), failing.address):
            good.asked.clear()
            good_last = f"{first}  {good.address}"
            answer = budget.Lookups(good_last, 20).find(NAME.encode())
            assert (answer.status, answer.values) == found("x")
            assert good.asked


def test_a_final_answer_ends_the_search():
    with dns_server.DnsServer({}) as first, dns_server.DnsServer({NAME: ["x"]}) as second:
        answer = budget.Lookups(f"{first.address} {second.address}", 20).find(NAME.encode())
    assert (answer.status, second.asked) == ("none", [])


def test_nobody_listens():
    assert budget.Lookups(refusing(), 20).find(NAME.encode()).status == "temporary"


def test_truncated_and_no_tcp():
    with dns_server.DnsServer({NAME: [HUGE]}) as server:
        server.tcp = False
        assert ask(server) == TEMPORARY


def test_ipv6():
    try:
        with dns_server.DnsServer({NAME: ["x"]}, "::1") as server:
            assert ask(server) == found("x")
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")


UNUSABLE = ["fe80::1%no-such-if", ";", "192.0.2.9;", "192.0.2.300", "localhost", "2001:db8::g",
            "1" * 300, "\xff", "[2001:db8::1]"]

# DNSCACHEIP, resolv.conf -> addresses with port
SERVERS = {
    "one": ("192.0.2.1", "", [("192.0.2.1", 53)]),
    "blanks": (" 192.0.2.1\t192.0.2.2#5353 ", "nameserver 192.0.2.9\n",
               [("192.0.2.1", 53), ("192.0.2.2", 5353)]),
    "IPv6": ("2001:db8::1 2001:db8::2#54", "", [("2001:db8::1", 53), ("2001:db8::2", 54)]),
    "resolv.conf": ("", "# nameserver 192.0.2.8\nsearch example.com\nnameserver 192.0.2.1 # x\n"
                    "options edns0\nnameserver\n  nameserver\t2001:db8::1\n",
                    [("192.0.2.1", 53), ("2001:db8::1", 53)]),
    "empty resolv.conf": ("", "", [("127.0.0.1", 53)]),
    **{f"unusable: {word}": ("", f"nameserver {word}\nnameserver 192.0.2.1\n", [("192.0.2.1", 53)])
       for word in UNUSABLE},
    "none is usable": ("", "".join(f"nameserver {word}\n" for word in UNUSABLE),
                       [("127.0.0.1", 53)]),
}


@pytest.mark.parametrize("case", SERVERS)
def test_servers(case, tmp_path):
    addresses, text, expected = SERVERS[case]
    (tmp_path / "resolv.conf").write_text(text, encoding="latin-1")
    assert [to[:2] for _, to in resolver.servers(addresses, tmp_path / "resolv.conf")] == expected


def test_no_resolv_conf(tmp_path):
    assert resolver.servers("", tmp_path / "none")[0][1] == ("127.0.0.1", 53)


@pytest.mark.parametrize("addresses", ["localhost", "192.0.2.1#domain", "192.0.2.300",
                                       "192.0.2.1 #53", "1" * 300, "\udcff", "192.0.2", "0"])
def test_bad_addresses(addresses):
    with pytest.raises(SettingTrouble, match="DNSCACHEIP"):
        budget.Lookups(addresses, 20).find(NAME.encode())


@pytest.mark.parametrize("section", ["add_answer", "add_auth", "add_ar"])
@pytest.mark.parametrize("count, status", [(254, "found"), (256, "temporary")])
def test_many_records(section, count, status):
    """Each may cost 127 labels to read."""
    class Verbose(dns_server.DnsServer):
        def reply(self, query, value):
            reply = super().reply(query, value)
            more = [dnslib.RR("x.example", dnslib.QTYPE.A, rdata=dnslib.A("192.0.2.1"))]
            getattr(reply, section)(*more * (count - len(reply.ar)))
            return reply

    with Verbose({NAME: ["x"]}) as server:
        assert ask(server)[0] == status


def hostile_wire(draw):
    """A response with bytes changed at random, with the right identifier."""
    zone = {NAME: draw(strategies.sampled_from([
        [LONG, "x"], {"cname": "c.example"}, {"rcode": "NXDOMAIN"}])), "c.example": ["y"]}
    query = wire_format.Query(wire_format.wire_name(NAME.encode()), "TXT", 1232)
    wire = bytearray(dns_server.DnsServer(zone).answers(query.wire, "udp")[0])
    for _ in range(draw(strategies.integers(1, 6))):
        wire[draw(strategies.integers(2, len(wire) - 1))] = draw(strategies.integers(0, 255))
    return query, bytes(wire[:draw(strategies.integers(2, len(wire)))])


def is_answer(query, wire):
    """Whether bytes answer a query, as dnspython says.

    It reads a question in the answer whose name is a pointer, which no server writes.
    """
    if wire[4:6] not in (b"\0\0", b"\0\1"):
        return False
    try:
        return dns.message.from_wire(query).is_response(
            dns.message.from_wire(wire, question_only=True))
    except (dns.exception.DNSException, ValueError):
        return False


@settings(max_examples=500, deadline=None)
@given(strategies.data())
def test_hostile_answer_raises_nothing_else(data):
    query, wire = hostile_wire(data.draw)
    assert query.is_answered_by(wire) == is_answer(query.wire, wire)
    with contextlib.suppress(resolver.ServerFailure):
        response = resolver.read(wire)
        resolver.check(response)
        chain = [wire_format.wire_name(NAME.encode())]
        assert all(isinstance(text, bytes) for text in resolver.follow(response, chain, "TXT"))
        assert len(chain) <= resolver.ALIASES + 1


def test_identifiers_vary():
    with dns_server.DnsServer({}) as server:
        identifiers = set()
        honest = server.answers

        def watch(data, transport):
            identifiers.add(data[:2])
            return honest(data, transport)
        server.answers = watch
        for number in range(20):
            ask(server, f"n{number}.example")
    assert len(identifiers) > 15
