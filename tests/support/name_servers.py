# SPDX-License-Identifier: MIT
"""A domain's own name servers on loopback, and qmail-dk that asks them at their port."""

import contextlib

import pytest

from tests.support import rspawn
from tests.support.administrator import DOMAIN, GROUP, Administrator, records
from tests.support.dns_server import DnsServer

NAME = f"s2._domainkey.{DOMAIN}"

# qmail-dk that asks name servers at a port that a test can have.
OTHER_PORT = """
import sys
sys.path.insert(0, {checkout!r})
from lib import qmail_dk
from lib.lookup import name_servers
name_servers.PORT = "{port}"
sys.exit(qmail_dk.main(sys.argv[1:]))
"""


class Servers:
    """A resolver, and two name servers of the domain and one of another, all on one port."""

    def __init__(self, stack):
        self.resolver = stack.enter_context(DnsServer({
            DOMAIN: {"NS": ["a.ns.example.com", "b.ns.example.com"]},
            "a.ns.example.com": {"A": ["127.0.0.2"]}, "b.ns.example.com": {"A": ["127.0.0.3"]},
            "provider.example": {"NS": ["ns.provider.example"]},
            "ns.provider.example": {"A": ["127.0.0.4"]}}))
        try:
            self.a, self.b, self.provider = (
                stack.enter_context(DnsServer({}, f"127.0.0.{number}", self.resolver.port))
                for number in (2, 3, 4))
        except OSError as error:
            pytest.skip(f"127.0.0.2 to 127.0.0.4 can't be used: {error}")


@pytest.fixture
def admin(tmp_path):
    with contextlib.ExitStack() as stack:
        admin = Administrator(tmp_path)
        admin.dns = Servers(stack)
        admin.environment.update(DNSCACHEIP=admin.dns.resolver.address, DKTIMEOUT="4")
        program = tmp_path / "program.py"
        program.write_text(OTHER_PORT.format(checkout=str(rspawn.CHECKOUT),
                                             port=admin.dns.resolver.port))
        admin.command.write_text(admin.command.read_text().replace(
            f"{rspawn.CHECKOUT}/lib/qmail_dk.py", str(program)))
        admin.keygen("s1")
        admin.record = records(admin.succeed("rotate", DOMAIN, "--selector", "s2",
                                             "--group", GROUP))[NAME]
        yield admin


def publish(admin, *servers):
    for server in servers:
        server.zone[NAME] = [admin.record]
