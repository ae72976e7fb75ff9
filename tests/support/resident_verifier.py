# SPDX-License-Identifier: MIT
"""Fixtures for a module: a name server, and the resident verifier that asks it."""

import pytest

from tests.support import dns_server, native, queue_driver, resident, verifying
from tests.support import verifier as one_shot

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


@pytest.fixture(params=native.LAUNCHERS)
def host(request, tmp_path, dns):
    """A Host, whose launcher is the one in C or none."""
    host = queue_driver.Host(tmp_path)
    host.native = () if request.param == "native" else None
    host.environment.update(DKVERIFY="-", DNSCACHEIP=dns.address)
    return host
