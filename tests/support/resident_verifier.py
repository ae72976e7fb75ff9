# SPDX-License-Identifier: MIT
"""Fixtures for a module: a name server, and the resident verifier that asks it."""

import pytest

from tests.support import dns_server, queue_driver, resident, verifier as one_shot, verifying

GOOD = one_shot.GOOD
ZONE = {
    verifying.NAME: one_shot.RECORD,
    "bad._domainkey.example.com": ["v=DKIM1; p=AAAA"],
    "revoked._domainkey.example.com": ["v=DKIM1; p="],
    "fails._domainkey.example.com": {"rcode": "SERVFAIL"},
    "dead._domainkey.example.com": {"timeout": True},
    **{f"dead{number}._domainkey.example.com": {"timeout": True} for number in range(12)},
    "_domainkey.strict.example": ["o=-"],
    "ed._domainkey.example.com": [verifying.Ed25519().record()],
}


@pytest.fixture(scope="module")
def dns():
    with dns_server.DnsServer(ZONE) as server:
        yield server


@pytest.fixture(scope="module")
def server(dns):
    with resident.Resident(dns.address) as running:
        yield running


@pytest.fixture
def host(tmp_path, dns):
    host = queue_driver.Host(tmp_path)
    host.environment.update(DKVERIFY="-", DNSCACHEIP=dns.address)
    return host
