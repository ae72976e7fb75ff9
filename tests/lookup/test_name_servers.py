# SPDX-License-Identifier: MIT
"""rotate --activate and check ask the domain's own name servers, and say what each says."""

import contextlib
import re
import shutil
import socket
import subprocess
import time

import dnslib
import pytest

from lib.lookup import budget, name_servers
from tests.support import rspawn, signing
from tests.support.administrator import DOMAIN, Administrator, records
from tests.support.dns_server import DnsServer
from tests.support.name_servers import NAME, admin, publish      # noqa: F401
from tests.support.real_name_servers import free_address, tinydns, wait_for

NAME_ERROR = {"rcode": "NXDOMAIN"}
DEAD = {"timeout": True}

OTHER_KEY = [signing.record(signing.key("rsa.pem"))]
A, B = "a.ns.example.com (127.0.0.2)", "b.ns.example.com (127.0.0.3)"

# What one server has, the other having the record -> whether it is activated, and what is said.
ONE_OF_TWO = {
    "lacks it": (NAME_ERROR, False, f"is not in the DNS: NXDOMAIN (says {B}); remedy: others have "
                 "it: see that this one gets the zone (serial, transfer), and wait for it"),
    "no TXT": ([], False, f"is not in the DNS: no TXT record (says {B})"),
    "other key": (OTHER_KEY, False, f"not the public half of this private key (says {B})"),
    "fails": ({"rcode": "SERVFAIL"}, True, f"warn {NAME}: no answer: SERVFAIL (says {B})"),
    "refuses": ({"rcode": "REFUSED"}, True, f"warn {NAME}: no answer: REFUSED (says {B})"),
    "silent": (DEAD, True, f"warn {NAME}: no answer: timeout (says {B})"),
    "cut short": ({"lie": "truncated"}, True, f"warn {NAME}: no answer: the answer is cut short, "
                  f"and it can't be asked over TCP (connection closed) (says {B}); remedy: see "
                  "that its name server answers over TCP, too (beside tinydns runs axfrdns)"),
    "knows nothing": ({"refer": "a.root.example", "zone": "."}, True,
                      f"warn {NAME}: no answer: it knows nothing of the domain (says {B})"),
}


@pytest.mark.parametrize("name", ONE_OF_TWO)
def test_one_of_two(admin, name):
    value, activated, words = ONE_OF_TWO[name]
    publish(admin, admin.dns.a, admin.dns.resolver)
    admin.dns.b.zone[NAME] = value
    admin.dns.b.tcp = False
    if not activated:
        assert words in admin.refused("rotate", DOMAIN, "--activate")
        return
    output = admin.succeed("rotate", DOMAIN, "--activate")
    assert words in output and f"ok   {NAME}: the record is that of the key (says {A})" in output
    assert "s2 signs from now on" in output


def test_example_of_the_document(admin):
    """What doc/dns shows is what is printed, but for the names."""
    _, _, shown = (rspawn.CHECKOUT / "doc/dns").read_text().partition("\nAsking the name servers\n")
    shown = " ".join(shown.partition("\n\nServers that")[0].split())
    admin.dns.b.zone[NAME] = DEAD
    publish(admin, admin.dns.a, admin.dns.resolver)
    output = admin.succeed("rotate", DOMAIN, "--activate")
    admin.dns.b.zone[NAME] = NAME_ERROR
    output += admin.run("check", DOMAIN).stdout
    lines = [line for line in output.splitlines() if f" {NAME}: " in line]
    for server, address in ((A, "192.0.2.1"), (B, "192.0.2.2")):
        named = server.partition(".")[0] + f".ns.example.com ({address})"
        lines = [line.replace(server, named) for line in lines]
    for line in lines[:2] + [line for line in lines if line.startswith("FAIL")]:
        assert " ".join(line.split()) in shown.replace("s20260101b.", "s2."), line


def test_the_resolver_remembers_that_there_was_none(admin):
    """It was asked too early, and both servers have the record."""
    admin.dns.resolver.zone[NAME] = NAME_ERROR
    publish(admin, admin.dns.a, admin.dns.b)
    output = admin.succeed("rotate", DOMAIN, "--activate")
    assert f"the record is that of the key (says {A}, {B})" in output
    warning = f"warn {NAME}: the resolver remembers what was there before: NXDOMAIN;"
    assert warning in admin.run("check", DOMAIN).stdout
    admin.dns.resolver.zone[NAME] = [OTHER_KEY[0]]
    assert "remembers what was there before: another record;" in admin.run("check", DOMAIN).stdout
    publish(admin, admin.dns.resolver)
    assert "remembers what" not in admin.run("check", DOMAIN).stdout


def test_the_resolver_is_not_asked_too_early(admin):
    """It would remember for long that there was nothing."""
    assert "is not in the DNS" in admin.refused("rotate", DOMAIN, "--activate")
    asked = {name for _, name, _ in admin.dns.resolver.asked}
    assert asked == {DOMAIN, f"a.ns.{DOMAIN}", f"b.ns.{DOMAIN}"}
    admin.run("check", DOMAIN)
    assert NAME not in {name for _, name, _ in admin.dns.resolver.asked}
    assert {name for _, name, _ in admin.dns.a.asked} >= {NAME}


# Why no name server can be asked -> words; the resolver has the record.
INSTEAD = {
    "no NS": (lambda dns: dns.resolver.zone.pop(DOMAIN), f"{DOMAIN} has no NS records"),
    "no address": (lambda dns: [dns.resolver.zone.pop(f"{name}.ns.{DOMAIN}") for name in "ab"],
                   "it has no address"),
    "silent": (lambda dns: [server.zone.update({NAME: DEAD}) for server in (dns.a, dns.b)],
               "timeout"),
    "fail": (lambda dns: [server.zone.update({NAME: {"rcode": "REFUSED"}})
                          for server in (dns.a, dns.b)], "REFUSED"),
}


@pytest.mark.parametrize("name", INSTEAD)
def test_the_resolver_instead(admin, name):
    spoil, reason = INSTEAD[name]
    publish(admin, admin.dns.resolver)
    spoil(admin.dns)
    output = admin.succeed("rotate", DOMAIN, "--activate")
    assert ("the record is that of the key (says the resolver; no name server of the domain can "
            f"be asked: {reason})") in output


def test_one_time_limit_for_all(admin, monkeypatch):
    """Many dead servers are asked at once, not one after the other."""
    names = [f"{number}.ns.example.com" for number in range(12)]
    admin.dns.resolver.zone[DOMAIN] = {"NS": names}
    admin.dns.resolver.zone.update({name: {"A": [f"127.0.0.{2 + number % 2}"]}
                                    for number, name in enumerate(names)})
    admin.dns.resolver.zone[names[0]] = {"A": [f"127.0.0.{number}" for number in range(2, 4)]}
    admin.dns.a.zone[NAME] = admin.dns.b.zone[NAME] = DEAD
    monkeypatch.setattr(name_servers, "PORT", str(admin.dns.resolver.port))
    waited = []
    resolver = budget.resolver(admin.dns.resolver.address)
    started = time.monotonic()
    with pytest.raises(name_servers.Unknown, match="timeout"):
        name_servers.ask_all(NAME.encode(), resolver, 1)
    waited.append(time.monotonic() - started)
    assert waited[0] < len(names)       # of as many seconds, were they asked by turns


def test_alias_to_another_domain(admin):
    """A customer's name is an alias, and the name servers of its target count."""
    target = "s2._domainkey.provider.example"
    for server in (admin.dns.a, admin.dns.b):
        server.zone[NAME] = {"cname": target, "alone": True}
    line = admin.refused("rotate", DOMAIN, "--activate")
    assert "NXDOMAIN (says ns.provider.example (127.0.0.4))" in line
    admin.dns.provider.zone[target] = [admin.record]
    assert ("the record is that of the key (says ns.provider.example (127.0.0.4))"
            in admin.succeed("rotate", DOMAIN, "--activate"))


def test_alias_in_a_loop(admin):
    for server in (admin.dns.a, admin.dns.b):
        server.zone[NAME] = {"cname": NAME, "alone": True}
    publish(admin, admin.dns.resolver)
    assert "more than 8 CNAME" in admin.succeed("rotate", DOMAIN, "--activate")


def test_zone_of_its_own(admin):
    """_domainkey is delegated to another name server."""
    for server in (admin.dns.a, admin.dns.b):
        server.zone[NAME] = {"refer": "ns.provider.example", "zone": f"_domainkey.{DOMAIN}"}
    assert "(says ns.provider.example (127.0.0.4))" in admin.refused(
        "rotate", DOMAIN, "--activate")
    publish(admin, admin.dns.provider)
    admin.succeed("rotate", DOMAIN, "--activate")


def test_domain_that_is_no_zone(admin):
    """Its records are in the zone above."""
    domain = f"lists.{DOMAIN}"
    admin.keygen("s9", domain=domain)
    name = f"s9._domainkey.{domain}"
    printed = records(admin.succeed("dns", domain, "--only", "now"))
    admin.dns.a.zone[name] = [printed[name]]
    output = admin.run("check", domain).stdout
    assert f"ok   {name}: the record is that of the key (says {A})" in output
    assert f"FAIL {name}: is not in the DNS: NXDOMAIN (says {B})" in output


def test_truncated_and_no_tcp(admin):
    """As with tinydns and a key of 4096 bits: it answers over TCP only by axfrdns."""
    publish(admin, admin.dns.a)
    admin.dns.b.zone[NAME] = ["x" * 3000]
    admin.dns.b.tcp = False
    output = admin.succeed("rotate", DOMAIN, "--activate")
    assert "beside tinydns runs axfrdns" in output


@pytest.mark.root       # for port 53
def test_real_tinydns(tmp_path):
    """What is printed is loaded by one; the other does not have it yet, and is named."""
    if not (shutil.which("tinydns") and shutil.which("tinydns-data")):
        pytest.skip("needs the Debian package tinydns")
    addresses = free_address(), free_address()
    names = [f"ns{number}.{DOMAIN}" for number in (1, 2)]
    admin = Administrator(tmp_path)
    zone = {DOMAIN: {"NS": names}, **{name: {"A": [address]}
                                      for name, address in zip(names, addresses)}}
    with DnsServer(zone) as resolver, contextlib.ExitStack() as stack:
        admin.environment["DNSCACHEIP"] = resolver.address
        lines = admin.make_key("s1", "--tinydns")
        stack.enter_context(tinydns(tmp_path / "1", addresses[0], lines))
        publish = stack.enter_context(tinydns(tmp_path / "2", addresses[1]))
        line = admin.refused("rotate", DOMAIN, "--activate")
        assert f"is not in the DNS: NXDOMAIN (says {names[1]} ({addresses[1]}))" in line
        publish(lines)
        output = admin.succeed("rotate", DOMAIN, "--activate")
        assert (f"the record is that of the key (says {names[0]} ({addresses[0]}), "
                f"{names[1]} ({addresses[1]}))") in output


def udp_answer(address, name):
    """The answer of a name server to a question for TXT, as a verifier gets it by UDP."""
    question = dnslib.DNSRecord.question(name, "TXT")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.sendto(question.pack(), (address, 53))
        header = dnslib.DNSHeader.parse(dnslib.DNSBuffer(client.recv(65535)))
    return "truncated" if header.tc else dnslib.RCODE[header.rcode]


@pytest.mark.root       # for port 53
def test_what_tinydns_leaves_out(tmp_path):
    """As doc/dns says: what does not fit into 512 bytes, and a name that only has names below."""
    if not (shutil.which("tinydns") and shutil.which("tinydns-data")):
        pytest.skip("needs the Debian package tinydns")
    admin = Administrator(tmp_path)
    most = int(re.search(r"longer than (\d+) bytes",
                         (rspawn.CHECKOUT / "doc" / "dns").read_text())[1])
    expected, lines = {}, ""
    for length, outcome in ((most, "NOERROR"), (most + 1, "truncated")):
        domain = "d" * (length - len(f"s1._domainkey..{DOMAIN}")) + f".{DOMAIN}"
        lines += admin.make_key("s1", "--tinydns", domain=domain)
        expected[f"s1._domainkey.{domain}"] = outcome
        assert len(f"s1._domainkey.{domain}") == length
    lines += admin.make_key("s1", "--tinydns", "--bits", "3072")
    lines = "".join(line for line in lines.splitlines(True)
                    if not line.startswith("'_domainkey"))     # as from an older keygen
    expected.update({f"s1._domainkey.{DOMAIN}": "truncated", f"_domainkey.{DOMAIN}": "NXDOMAIN"})
    address = free_address()
    with tinydns(tmp_path / "1", address, lines) as publish:
        assert {name: udp_answer(address, name) for name in expected} == expected
        # It is none of the resolver's faults, though it can't answer either.
        zone = {DOMAIN: {"NS": [f"ns1.{DOMAIN}"]}, f"ns1.{DOMAIN}": {"A": [address]},
                f"s1._domainkey.{DOMAIN}": {"rcode": "SERVFAIL"}}
        with DnsServer(zone) as resolver:
            admin.environment["DNSCACHEIP"] = resolver.address
            line = admin.refused("rotate", DOMAIN, "--activate")
        assert "is cut short, and it can't be asked over TCP (Connection refused)" in line
        assert "runs axfrdns" in line and "DNSCACHEIP" not in line
        publish(lines + admin.succeed("dns", DOMAIN, "--tinydns", "--only", "policy"))
        assert udp_answer(address, f"_domainkey.{DOMAIN}") == "NOERROR"


@contextlib.contextmanager
def named(directory, port, lines):
    """BIND on 127.0.0.1 with the lines that qmail-dk printed for it."""
    directory.mkdir()
    (directory / "zone").write_text(f"$TTL 60\n@ IN SOA ns1 root 1 60 60 60 60\n@ IN NS ns1\n"
                                    f"ns1 IN A 127.0.0.1\n{lines}\n")
    (directory / "conf").write_text(
        f'options {{ directory "{directory}"; listen-on port {port} {{ 127.0.0.1; }};'
        f' listen-on-v6 {{ none; }}; pid-file "{directory}/pid"; recursion no;'
        f' session-keyfile "{directory}/key"; }};\ncontrols {{ }};\n'
        f'zone "{DOMAIN}" {{ type master; file "{directory}/zone"; }};\n')
    with subprocess.Popen(["named", "-g", "-c", directory / "conf"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(process, "127.0.0.1", port)
            yield
        finally:
            process.terminate()


def test_real_named(admin, tmp_path):
    """Beside a server that does not have the record; its own port, so the resolver's is another."""
    if not shutil.which("named"):
        pytest.skip("needs the Debian package bind9")
    admin.dns.resolver.zone["a.ns.example.com"] = {"A": ["127.0.0.1"]}
    program = tmp_path / "program.py"
    with contextlib.ExitStack() as stack:
        second = stack.enter_context(DnsServer({}, "127.0.0.3"))
        program.write_text(program.read_text().replace(str(admin.dns.resolver.port),
                                                       str(second.port)))
        lines = admin.succeed("dns", DOMAIN, "--bind", "--only", "next")
        stack.enter_context(named(tmp_path / "named", second.port, lines))
        line = admin.refused("rotate", DOMAIN, "--activate")
        assert f"is not in the DNS: NXDOMAIN (says {B})" in line
        publish(admin, second)
        output = admin.succeed("rotate", DOMAIN, "--activate")
        assert f"the record is that of the key (says a.ns.{DOMAIN} (127.0.0.1), {B})" in output
