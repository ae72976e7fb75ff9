# SPDX-License-Identifier: MIT
"""qmail-dk log --names: mail that could not be decided, by the domains' name servers."""

import pytest

from tests.support.administrator import admin       # noqa: F401
from tests.support.dns_server import DnsServer
from tests.support.read_log import Log, rows

UNDECIDED = ("qmail-qfilter-verify: qp 1 deferred: no key (F); dkim=temperror d={} s=s (the key "
             "can't be had now: timeout); dns 9.000 s; client=192.0.2.7 sender=<a@example.org> "
             "message-id=<1@example.org>")
ZONE = {"a.example": {"NS": ["NS1.hoster.example", "ns2.hoster.example"]},
        "b.example": {"NS": ["ns1.hoster.example"]},
        "dead.example": {"timeout": True}, "deep.example": {"NS": ["ns.deep.example"]},
        "odd.example": {"NS": ["a\x1bb.example"]}}
MESSAGES = {"a.example": 3, "b.example": 4, "mail.deep.example": 1, "none.example": 2,
            "odd.example": 1}
COUNTED = {"ns1.hoster.example": [7, 2], "ns2.hoster.example": [3, 1], "ns.deep.example": [1, 1],
           "not known now": [2, 1], "a?b.example": [1, 1]}


@pytest.fixture
def log(admin):
    written = Log(admin)
    written.write(*(UNDECIDED.format(domain) for domain, number in MESSAGES.items()
                    for _ in range(number)))
    return written


def test_counts(log):
    with DnsServer(ZONE) as server:
        log.admin.environment["DNSCACHEIP"] = server.address
        assert rows(log.sums("--names", log.path)["servers"]) == COUNTED
        said = log.admin.succeed("log", "--names", log.path)
    assert "not decided, by name server" in said and "ns1.hoster.example" in said
    assert not rows(log.sums(log.path)["servers"])


def test_a_dead_resolver_is_not_waited_for_long(log):
    log.write(UNDECIDED.format("dead.example"))
    with DnsServer(ZONE) as server:
        log.admin.environment["DNSCACHEIP"] = server.address
        assert rows(log.sums("--names", log.path)["servers"]) == {"not known now": [1, 1]}


@pytest.mark.parametrize("text", ["a" * 64 + ".example", "a" * 300 + ".example", "a..example",
                                  "a%.example", "/", "-"])
def test_what_is_no_domain_is_not_asked_for(admin, text):
    """Any user of the host can write a line with it to syslog."""
    log = Log(admin)
    log.write("qmail-qfilter-verify: qp 1 accepted: no signature (C); spf=temperror "
              f"mailfrom={text} (TXT of a name: timeout); dns 9.000 s")
    with DnsServer({}) as server:
        log.admin.environment["DNSCACHEIP"] = server.address
        assert rows(log.sums("--names", log.path)["servers"]) == {"not known now": [1, 1]}
        assert not server.asked
