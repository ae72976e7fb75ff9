# SPDX-License-Identifier: MIT
"""Keys for qmail-dk why, sign and verify, and a message from their domain."""

import pytest

from lib.crypto import openssl
from tests.support import signing
from tests.support.administrator import Administrator, records
from tests.support.dns_server import DnsServer

MESSAGE = b"From: joe@example.com\nTo: jane@example.net\nSubject: test\n\nHello.\n"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A host with a key, and a name server with its record."""
    with DnsServer({}) as server:
        admin = Administrator(tmp_path_factory.mktemp("host"))
        admin.published = records(admin.keygen("s1"))
        admin.zone = server.zone
        admin.environment["DNSCACHEIP"] = server.address
        admin.settings = dict(admin.environment)
        odd_keys(admin.keys)
        yield admin


def odd_keys(directory):
    """Writes keys of other domains, on each of which the signer remarks."""
    keys = {"garbage.example": b"rubbish", "weak.example": openssl.generate("rsa", 512).pem(),
            "ed25519.example": signing.key("ed25519.pem"), "open.example": signing.key("rsa.pem")}
    for domain, content in keys.items():
        path = directory / domain / "default"
        path.parent.mkdir()
        path.write_bytes(content)
        path.chmod(0o640)
    (directory / "open.example" / "default").chmod(0o644)


@pytest.fixture
def admin(shared):
    shared.environment = dict(shared.settings)
    shared.zone.clear()
    shared.zone.update({name: [text] for name, text in shared.published.items()})
    return shared


def signed(admin):
    return admin.run("sign", stdin=MESSAGE).stdout.encode()
