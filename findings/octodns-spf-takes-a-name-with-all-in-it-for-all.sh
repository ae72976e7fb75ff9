#!/bin/sh
# SPDX-License-Identifier: MIT
# octodns-spf 1.0.0 (PyPI, 2025) drops each term of a record with "all" in it when it
# merges, be it an include of _spf.smallhosts.example.
#
# The source adds addresses to the SPF record that a zone has (merging_enabled).  From
# "v=spf1 ip4:192.0.2.1 include:_spf.smallhosts.example -all" it makes one without the
# include, from "v=spf1 a:wall.example.org -all" one without the host, and from
# "v=spf1 exists:%{i}.allow.example.org -all" one with nothing of the old but its end.
# There is no error and no warning.  With _spf.example.net the include stays.
#
# Why it surprises: in RFC 7208 section 5.1 "all" is a mechanism of its own, a word
# between blanks, with no ":" behind it; and the package's README says that what is there
# will be preserved.  The guess was that it keeps each term, in another order perhaps.
# But it looks for the three letters anywhere in a term, and before it looks for the ":".
# The hosts of the term are then refused at the receivers.
#
# For who merges SPF records with it: compare the record with the one before.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install octodns-spf==1.0.0 octodns==1.22.0 \
	dnspython==2.9.2 fqdn==1.6.0 idna==3.20 natsort==8.4.0 python-dateutil==4.0.0 \
	PyYAML==6.0.4

cat >merge.py <<'END'
import sys

from octodns.record import Record
from octodns.zone import Zone
from octodns_spf import SpfSource

zone = Zone("example.org.", [])
zone.add_record(Record.new(zone, "", {"type": "TXT", "ttl": 3600, "value": sys.argv[1]}))
SpfSource("spf", ip4_addresses=["192.0.2.2"], merging_enabled=True).populate(zone)
print(*[value for record in zone.records for value in record.values])
END

changed=0
show() {
	record="v=spf1 ip4:192.0.2.1 $1 -all"
	merged=$(venv/bin/python merge.py "$record" 2>log)
	printf '%s\n  with ip4:192.0.2.2: %s\n' "$record" "$merged"
	[ "$merged" = "v=spf1 $2 -all" ] || changed=1
}
both='ip4:192.0.2.1 ip4:192.0.2.2'
show 'include:_spf.example.net' "$both include:_spf.example.net"
show 'include:_spf.smallhosts.example' "$both"
show 'a:gate.example.org' "a:gate.example.org $both"
show 'a:wall.example.org' "$both"
show 'exists:%{i}.allow.example.org' "$both"
exit "$changed"
