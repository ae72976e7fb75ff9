#!/bin/sh
# SPDX-License-Identifier: MIT
# octoDNS 1.22.0 (PyPI) reads no record that tinydns' data has by the number of its
# type, and reads those by name, which tinydns-data refuses.
#
# ":_dmarc.example.org:16:" with the text behind it is a TXT record to tinydns-data 1.05
# (Debian tinydns).  octoDNS leaves it out, and says so at the level "info" alone.  With
# "TXT" for the 16, octoDNS reads it, and tinydns-data stops: "type 0 prohibited".  A
# line of tinydns-data's own kind for texts, "'_dmarc.example.org:", is read by both.
#
# Why it surprises: the format (cr.yp.to/djbdns/tinydns-data.html) has n be a number
# from 1 to 65535 in ":fqdn:n:rdata", and the class says that it intends to conform to
# that page and fully support it.  The guess was that it takes the number, or that it
# stops if it does not.  But it looks for the letters, so the SPF, DKIM and DMARC
# records that older scripts and panels wrote as ":" lines are not in the zone that it
# makes.
#
# For who moves from tinydns: write each TXT record as a "'" line first.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
apt-get -q -o APT::Sandbox::User=root download tinydns=1:1.05-15+b2 >fetch.log
for file in *.deb; do dpkg -x "$file" root; done
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install octodns==1.22.0 dnspython==2.9.2 \
	fqdn==1.6.0 idna==3.20 natsort==8.4.0 python-dateutil==4.0.0 PyYAML==6.0.4

cat >read.py <<'END'
from octodns.source.tinydns import TinyDnsFileSource
from octodns.zone import Zone

zone = Zone("example.org.", [])
TinyDnsFileSource("data", "zones").populate(zone, lenient=True)
texts = [r.data["value"] for r in zone.records if r._type == "TXT"]
print(*texts or ["none"])
END
mkdir zones

changed=0
show() {
	printf '.example.org::ns.example.org\n%s\n' "$1" >data
	cp data zones/data
	tinydns=refused
	if root/usr/sbin/tinydns-data 2>log; then
		tinydns=$(root/usr/bin/tinydns-get txt _dmarc.example.org | sed -n 's/^answer: .* 16 //p')
	fi
	octodns=$(venv/bin/python read.py 2>>log)
	printf '%s\n  tinydns  %s\n  octodns  %s\n' "$1" "$tinydns" "$octodns"
	[ "$tinydns" = "$2" ] && [ "$octodns" = "$3" ] || changed=1
}
show "'_dmarc.example.org:v=DMARC1;p=none" '\017v=DMARC1;p=none' 'v=DMARC1\;p=none'
show ':_dmarc.example.org:16:\017v=DMARC1;p=none' '\017v=DMARC1;p=none' none
show ':_dmarc.example.org:TXT:v=DMARC1;p=none' refused 'v=DMARC1\;p=none'
exit "$changed"
