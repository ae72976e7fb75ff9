#!/bin/sh
# SPDX-License-Identifier: MIT
# sender-policy-flattener 0.4.0 (PyPI, 2025) makes a record that fails all mail of one
# that says redirect=.
#
# It looks up the names in records and writes a record of addresses in their place.  Of
# "v=spf1 include:spf.example.net -all" it makes "v=spf1 ip4:192.0.2.1 -all"; of "v=spf1
# redirect=spf.example.net" it makes "v=spf1  -all", as of "v=spf1 +include:spf.example.net
# -all".  pyspf 2.0.14 (PyPI) passes mail from 192.0.2.1 by each of the three, and by the
# first of those that the package made.
#
# Why it surprises: RFC 7208 section 6.1 has redirect= hand all over to another record,
# as a domain does that has another's hosts send for it, and section 4.6.2 has "+" be
# what is meant without it.  The guess was that a package for the names in records
# follows this one as it follows include:, or that it stops at what it doesn't know.  It
# passes over it without a word, and ends what it writes with -all in any case.
#
# For who flattens a record: look at the result before it is published, and give the
# package the name behind redirect= itself.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install sender-policy-flattener==0.4.0 \
	netaddr==1.3.0 pyspf==2.0.14 dnspython==2.9.2

cat >flatten.py <<'END'
import sys

import dns.resolver
import spf
from sender_policy_flattener.crawler import spf2ips

RECORDS = {
    "v=spf1 include:spf.example.net -all": ("v=spf1 ip4:192.0.2.1 -all", "pass"),
    "v=spf1 +include:spf.example.net -all": ("v=spf1  -all", "fail"),
    "v=spf1 redirect=spf.example.net": ("v=spf1  -all", "fail"),
}
zone = {"spf.example.net": "v=spf1 ip4:192.0.2.1 -all"}


class Resolver:
    """Has the zone's texts, as dnspython shows them: in quotes."""

    def query(self, name, _):
        try:
            return [f'"{zone[name.to_text(omit_final_dot=True)]}"']
        except KeyError:
            raise dns.resolver.NXDOMAIN from None


def answer(name, kind, *_, **__):
    found = kind == "TXT" and name in zone
    return [((name, kind), (zone[name].encode(),))] if found else []


def judged(record):
    zone["example.org"] = record
    return spf.check2("192.0.2.1", "joe@example.org", "mx.example.org")[0]


spf.DNSLookup = answer
changed = False
for record, expected in RECORDS.items():
    before = judged(record)
    (written,) = spf2ips({"example.org": "txt"}, "example.org", Resolver())
    after = judged(written)
    print(f"{record}\n  pyspf: {before}\n{written}\n  pyspf: {after}\n")
    changed |= before != "pass" or (written, after) != expected
sys.exit(changed)
END
venv/bin/python flatten.py
