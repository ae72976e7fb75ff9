#!/bin/sh
# SPDX-License-Identifier: MIT
# zone-file 1.0.0 (npm) reads no DMARC record from a zone file, however it is written,
# and not from the file that it wrote itself.
#
# Its makeZoneFile() writes the text "v=DMARC1; p=reject" in quotes; its
# parseZoneFile() reads "v=DMARC1" from that.  dnspython 2.9.2 (PyPI) reads all of it.
# With "\;" or "\059" for the ";" the package keeps the backslash, so that a reader of
# tags finds another version: v=DMARC1\.  An SPF record, which has no ";", is read.
#
# Why it surprises: RFC 1035 section 5.1 has a ";" begin a comment, and quotes take the
# meaning from it; RFC 9989 section 4.8 separates tags by ";", as DKIM, BIMI, MTA-STS and
# TLS reporting do.  The guess was that a package that handles "\;" (it does not cut
# there) takes quotes into account, or else removes the backslash, or reads at least
# what it writes.
#
# For who publishes records: look at the text that a panel or script with this package
# shows after reading a zone.  (Needs node 20.)
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
npm install --silent --ignore-scripts --no-save zone-file@1.0.0 >npm.log
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install dnspython==2.9.2

cat >write.js <<'END'
const { makeZoneFile } = require('zone-file');

const soa = { name: '@', mname: 'ns.example.net.', rname: 'hostmaster.example.net.',
    serial: 1, refresh: 3600, retry: 600, expire: 86400, minimum: 300 };
const txt = [{ name: '_dmarc', txt: process.argv[2] }];
process.stdout.write(makeZoneFile({ $origin: 'example.org.', $ttl: 3600, soa, txt },
    '$ORIGIN example.org.\n$TTL 3600\n{txt}\n'));
END
cat >read.js <<'END'
const { parseZoneFile } = require('zone-file');

const { txt } = parseZoneFile(require('node:fs').readFileSync('zone', 'latin1'));
require('node:fs').writeSync(1, `${[].concat(txt[0].txt).join('')}\n`);
END
cat >read.py <<'END'
import dns.zone

zone = dns.zone.from_file("zone", "example.org.", check_origin=False)
print(b"".join(zone.find_rdataset("_dmarc", "TXT")[0].strings).decode())
END

changed=0
show() {
	python=$(venv/bin/python read.py)
	npm=$(node read.js)
	printf '%s\n  dnspython  %s\n  zone-file  %s\n' "$(grep _dmarc zone)" "$python" "$npm"
	[ "$python" = "$1" ] && [ "$npm" = "$2" ] || changed=1
}
# shellcheck disable=SC2016 # $ORIGIN and $TTL are for the zone file
by_hand() { printf '$ORIGIN example.org.\n$TTL 3600\n_dmarc IN TXT %s\n' "$1" >zone; }
node write.js 'v=DMARC1; p=reject' >zone
show 'v=DMARC1; p=reject' 'v=DMARC1'
by_hand '"v=DMARC1\; p=reject"'
show 'v=DMARC1; p=reject' 'v=DMARC1\; p=reject'
by_hand '"v=DMARC1\059 p=reject"'
show 'v=DMARC1; p=reject' 'v=DMARC1\059 p=reject'
node write.js 'v=spf1 mx -all' >zone
show 'v=spf1 mx -all' 'v=spf1 mx -all'
exit "$changed"
