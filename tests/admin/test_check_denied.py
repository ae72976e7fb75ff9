# SPDX-License-Identifier: MIT
"""check finds name servers that deny the name above the keys, as tinydns does."""

import pytest

from tests.support.administrator import DOMAIN
from tests.support.name_servers import admin      # noqa: F401

ABOVE = f"_domainkey.{DOMAIN}"
FIRST = f"s1.{ABOVE}"
A, B = "a.ns.example.com (127.0.0.2)", "b.ns.example.com (127.0.0.3)"

# What each of two servers has above the key -> who is said to deny it; "" for nobody.
ANSWERS = {
    "tinydns": (None, None, f"{A}, {B}"),
    "one of them": (["o=~"], None, B),
    "the policy": (["o=~"], ["o=-"], ""),
    "no record, but names below": ([], [], ""),
    "no answer": ({"rcode": "REFUSED"}, [], ""),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_denied(admin, name):
    of_a, of_b, who = ANSWERS[name]
    text = admin.succeed("dns", DOMAIN, "--only", "now", "--tinydns").split(":")[1]
    for server, value in ((admin.dns.a, of_a), (admin.dns.b, of_b)):
        server.zone[FIRST] = [text]
        if value is not None:
            server.zone[ABOVE] = value
    lines = [line for line in admin.run("check", DOMAIN).stdout.splitlines()
             if f" {ABOVE}: " in line]
    assert [line for line in lines if f"(says {who}); remedy: publish what" in line] == lines
    assert len(lines) == bool(who)
    assert not resolver_was_asked(admin)        # it could believe that, and find no key any more


def resolver_was_asked(admin):
    """Apart from the probe whether it answers, which is by chance that name."""
    return [name for _, name, _ in admin.dns.resolver.asked].count(ABOVE) > 1


def test_not_before_the_key_is_there(admin):
    assert f" {ABOVE}: " not in admin.run("check", DOMAIN).stdout


def test_not_by_the_resolver(admin):
    """Without name servers to ask, it is better not to ask."""
    text = admin.succeed("dns", DOMAIN, "--only", "now", "--tinydns").split(":")[1]
    admin.dns.resolver.zone[FIRST] = [text]
    del admin.dns.resolver.zone[DOMAIN]
    output = admin.run("check", DOMAIN).stdout
    assert f"ok   {FIRST}: the record is that of the key" in output
    assert not resolver_was_asked(admin)
