#!/bin/sh
# SPDX-License-Identifier: MIT
# DNS::ZoneParse 1.10 (Debian libdns-zoneparse-perl) makes a text with quotes in it of a
# record in two strings, and writes that.
#
# A zone has a key as opendkim-genkey 2.11.0 (Debian opendkim-tools) writes it, and the
# same in one string.  The module reads the zone and writes it.  dnspython 2.9.2 (PyPI)
# finds the second as it was; the first has one string then, with a '"' on both
# sides of each place where two had met, and its p= is a tag of another name.
#
# Why it surprises: RFC 1035 section 3.3.14 has a TXT record be one or more strings, which
# the quotes are around (section 5.1), and RFC 6376 section 3.6.2.2 has a reader join
# them.  The guess was that a module that reads a zone to write it again either keeps the
# strings apart, or joins them.  It takes off the first and the last quote, and puts
# a backslash before those between when it writes: what was syntax is text from then on.
#
# For who changes zones by a script with this module (a serial, an address): put keys into
# a file of their own, with $INCLUDE, or in one string where they fit into 255 bytes.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
for package in libdns-zoneparse-perl=1.10-1.1 opendkim-tools=2.11.0~beta2-8+deb12u1; do
	apt-get -q -o APT::Sandbox::User=root download "$package" >fetch.log
done
for file in *.deb; do dpkg -x "$file" root; done
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install dnspython==2.9.2
perl root/usr/sbin/opendkim-genkey -D . -d example.org -s genkey -b 1024

cat >rewrite.pl <<'END'
use strict;
use warnings;
use DNS::ZoneParse;

print DNS::ZoneParse->new($ARGV[0])->output;
END
cat >read.py <<'END'
import sys

import dns.zone

zone = dns.zone.from_file(sys.argv[1], "example.org.", check_origin=False)
for selector in "one", "genkey":
    strings = zone.find_rdataset(f"{selector}._domainkey", "TXT")[0].strings
    tags = dict(tag.strip().split(b"=", 1) for tag in b"".join(strings).split(b";"))
    print(selector, len(strings), "key" if b"p" in tags else "no-key")
END

key=$(sed -n 's/.*\(p=[^"]*\)".*/\1/p' genkey.txt)
{
	printf '%s\n' "\$ORIGIN example.org." "\$TTL 3600" \
		'@ IN SOA ns.example.net. hostmaster.example.net. 1 3600 600 86400 300' \
		'@ IN NS ns.example.net.'
	printf 'one._domainkey IN TXT "v=DKIM1; k=rsa; %s"\n' "$key"
	cat genkey.txt
} >before
perl -I root/usr/share/perl5 rewrite.pl before >after
grep '^genkey' after | cut -c1-72

changed=0
show() {
	seen=$(venv/bin/python read.py "$1" | paste -s -d ' ' -)
	printf '%s: %s\n' "$1" "$seen"
	[ "$seen" = "$2" ] || changed=1
}
show before 'one 1 key genkey 2 key'
show after 'one 1 key genkey 1 no-key'
exit "$changed"
