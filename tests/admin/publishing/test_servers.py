# SPDX-License-Identifier: MIT
"""Records that publishers add and remove, as real name servers then answer and check sees them."""

import concurrent.futures
import contextlib
import shutil

import dnslib
import pytest

from lib import crypto
from lib.admin import check_keys, published, records
from lib.admin.publishing.choice import publisher
from lib.admin.publishing.record import Record
from lib.errors import PublishTrouble
from lib.lookup import budget
from lib.settings import Settings
from lib.signing.key_files import SigningKey
from tests.support import real_name_servers, signing
from tests.support.administrator import DOMAIN
from tests.support.dns_server import DnsServer

budget.resolver("127.0.0.1")       # by which dnspython can be imported
from lib.lookup import name_servers      # noqa: E402

KEY = SigningKey(DOMAIN.encode(), b"s1", b"/keys/s1", False,
                 crypto.load_private_key(signing.key("rsa.pem")))
RECORD = Record(f"s1._domainkey.{DOMAIN}", 3600, records.key_text(KEY.private_key))
POLICY = Record(f"_domainkey.{DOMAIN}", 3600, records.POLICY)
THERE = "the record is that of the key"
MISSING = "is not in the DNS"


class Server:
    """A name server and the publisher for it.  address, port: of the server"""

    def __init__(self, setting, address, port, monkeypatch, resolver):
        self.publisher = publisher(Settings({"DKPUBLISH": setting}))
        self.address = address
        self.port = port
        monkeypatch.setattr(name_servers, "PORT", port)
        self.settings = Settings({"DNSCACHEIP": resolver.address, "DKTIMEOUT": "20"})

    def said(self):
        """Returns what check says of the key's record."""
        (finding,) = check_keys.record_findings(KEY, published.Questions(self.settings))
        assert f"(says ns1.{DOMAIN} ({self.address}))" in finding.text
        return finding.text

    def answer(self, name, kind="TXT"):
        """Returns the answer section for a name, sorted list of (TTL, str)."""
        wire = dnslib.DNSRecord.question(name, kind).send(self.address, self.port, timeout=10)
        return sorted((rr.ttl, str(rr.rdata)) for rr in dnslib.DNSRecord.parse(wire).rr)

    def serial(self):
        return self.answer(DOMAIN, "SOA")


@contextlib.contextmanager
def tinydns(directory):
    if not shutil.which("tinydns") or not shutil.which("make"):
        pytest.skip("tinydns or make is not installed")
    address = real_name_servers.free_address()
    with real_name_servers.tinydns(directory, address):
        (directory / "Makefile").write_text("data.cdb: data\n\ttinydns-data\n")
        yield f"tinydns:{directory}/data", address, 53


@contextlib.contextmanager
def updated(server):
    with server as primary:
        yield primary.publish, "127.0.0.1", primary.port


SERVERS = {"tinydns": tinydns,
           "named": lambda directory: updated(real_name_servers.named(directory)),
           "knotd": lambda directory: updated(real_name_servers.knotd(directory))}


@pytest.fixture(params=[pytest.param("tinydns", marks=pytest.mark.root), "named", "knotd"])
def server(request, tmp_path, monkeypatch):
    with SERVERS[request.param](tmp_path / "server") as (setting, address, port), DnsServer({
            DOMAIN: {"NS": [f"ns1.{DOMAIN}"]}, f"ns1.{DOMAIN}": {"A": [address]}}) as resolver:
        yield Server(setting, address, port, monkeypatch, resolver)


def test_there_and_gone(server):
    """Doing it twice is doing it once: the zone has the same serial, too."""
    assert MISSING in server.said()
    for _ in range(2):
        assert server.publisher.add([POLICY, RECORD]) == ""
        assert server.said().startswith(THERE)
        assert [ttl for ttl, _ in server.answer(RECORD.name)] == [3600]
        assert server.answer(POLICY.name) == [(3600, '"o=~"')]
        serials = {str(server.serial())}
        server.publisher.add([RECORD, POLICY])
        assert {str(server.serial())} == serials
        for _ in range(2):
            server.publisher.remove([RECORD])
            assert MISSING in server.said()
            assert server.answer(POLICY.name) == [(3600, '"o=~"')]
        serials = {str(server.serial())}
        server.publisher.remove([RECORD])
        assert {str(server.serial())} == serials


def test_another_record_is_neither_joined_nor_removed(server):
    other = RECORD._replace(text="v=DKIM1; p=")
    server.publisher.add([other])
    with pytest.raises(PublishTrouble, match=f"another TXT record (of|at) {RECORD.name}; remedy"):
        server.publisher.add([RECORD])
    server.publisher.remove([RECORD])
    assert server.answer(RECORD.name) == [(3600, '"v=DKIM1; p="')]


def test_odd_texts(server):
    """Whatever a text has gets there, and is found again."""
    odd = [Record(f"s{number}._domainkey.{DOMAIN}", 60, text) for number, text in enumerate((
        "x" * 127, "x" * 128, "x" * 255, "x" * 256, "\\072:\\", '"; \t\n', "\0\x7f\xff"))]
    server.publisher.add(odd)
    for record in odd:
        wire = dnslib.DNSRecord.question(record.name, "TXT").send(server.address, server.port,
                                                                  timeout=10)
        (answer,) = dnslib.DNSRecord.parse(wire).rr
        assert b"".join(answer.rdata.data) == record.text.encode("latin-1")
        assert answer.ttl == 60
    serial = server.serial()
    server.publisher.add(odd)
    assert server.serial() == serial
    server.publisher.remove(odd)
    assert [record.name for record in odd if "p=" in str(server.answer(record.name))] == []
    server.publisher.add([record._replace(text="v=DKIM1; p=") for record in odd])


def test_many_at_once(server):
    """Each has a record of its own, another to remove, and one that all want."""
    own = [Record(f"own{number}._domainkey.{DOMAIN}", 60, f"p={number}") for number in range(6)]
    old = [Record(f"old{number}._domainkey.{DOMAIN}", 60, f"p={number}") for number in range(6)]
    server.publisher.add(old)

    def work(number):
        server.publisher.add([own[number], RECORD])
        server.publisher.remove([old[number], old[0]])

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert server.said().startswith(THERE)
    for number in range(6):
        assert server.answer(own[number].name) == [(60, f'"p={number}"')]
        assert (60, f'"p={number}"') not in server.answer(old[number].name)
