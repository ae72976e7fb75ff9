#!/bin/sh
# SPDX-License-Identifier: MIT
# opendkim-genzone 2.11.0 beta 2 (Debian opendkim-tools) writes names without their domain
# where nsupdate 9.18.49 (Debian) wants it, and where two domains are in one zone.
#
# With -D -u it writes "zone example.org" and "update add s._domainkey 86400 TXT ...".
# nsupdate makes of that a key at "s._domainkey.", below the root, in an update of
# example.org, which a server refuses (RFC 2136 section 3.4.1.3).  With -D -s
# -d example.org, where the table has selector s for example.org and news.example.org,
# both keys are at one name, s._domainkey.example.org, and none is at that of
# news.example.org.  With -F, which appends the domain, too, all is right in both cases.
#
# Why it surprises: the manual calls the output of -u suitable as input to nsupdate, says
# that -s includes the subdomains, and has -D and -F side by side, as a matter of form.
# In a zone file (RFC 1035 section 5.1) a name without a final dot is relative to the
# zone.  The guess was that this holds for an update below its "zone" line, too, and that
# the name of a subdomain's key has the subdomain in it.  RFC 6376 section 3.6.2.2 says
# what two records at one name give: undefined results.
#
# For who publishes keys with it: use -F.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
for package in opendkim-tools=2.11.0~beta2-8+deb12u1 libdb5.3=5.3.28+dfsg2-1 \
	libopendbx1=1.4.6-16+b1 libmemcached11=1.1.4-1 libhashkit2=1.1.4-1 \
	libldap-2.5-0=2.5.13+dfsg-5 liblua5.3-0=5.3.6-2 libbsd0=0.11.7-2 \
	bind9-dnsutils=1:9.18.49-1~deb12u3 bind9-libs=1:9.18.49-1~deb12u3 \
	libuv1=1.44.2-1+deb12u1 libjson-c5=0.16-2 liblmdb0=0.9.24-1 libmaxminddb0=1.7.1-1 \
	libfstrm0=0.6.1-1 libprotobuf-c1=1.4.1-1+b1 libjemalloc2=5.3.0-1; do
	apt-get -q -o APT::Sandbox::User=root download "$package" >fetch.log
done
for file in *.deb; do dpkg -x "$file" root; done
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install dnspython==2.9.2
export LD_LIBRARY_PATH="$place/root/usr/lib/x86_64-linux-gnu"
openssl genrsa -traditional -out one.pem 1024 2>openssl.log
openssl genrsa -traditional -out two.pem 1024 2>openssl.log
printf '%s\n' "first example.org:s:$place/one.pem" "second news.example.org:s:$place/two.pem" \
	>table

cat >read.py <<'END'
import sys

import dns.zone

zone = dns.zone.from_file(sys.argv[1], "example.org.", relativize=False, check_origin=False)
for name in sorted(zone):
    print(f"{len(zone.find_rdataset(name, 'TXT'))} at {name}")
END
genzone() { root/usr/sbin/opendkim-genzone "$@" "file:$place/table" 2>genzone.log; }
zone() {
	genzone -d example.org -s -t 3600 "$1" >zone
	venv/bin/python read.py zone | paste -s -d , -
}
# What nsupdate would send, which it shows instead.
update() {
	genzone -d example.org -u "$1" | grep '^zone\|^update' >commands
	echo show >>commands
	root/usr/bin/nsupdate commands | sed -n 's/\(^[^;[:space:]]*\)[[:space:]].*TXT.*/\1/p'
}

changed=0
show() {
	printf '%s\n  %s\n' "$1" "$2"
	[ "$2" = "$3" ] || changed=1
}
show 'update, -D' "$(update -D)" s._domainkey.
show 'update, -F' "$(update -F)" s._domainkey.example.org.
show 'keys of the zone, -D' "$(zone -D)" '2 at s._domainkey.example.org.'
show 'keys of the zone, -F' "$(zone -F)" \
	'1 at s._domainkey.example.org.,1 at s._domainkey.news.example.org.'
exit "$changed"
