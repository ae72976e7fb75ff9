#!/bin/sh
# SPDX-License-Identifier: MIT
# dns-zonefile 0.3.2 (npm) loses the SPF and the DMARC record of a zone once a key of
# opendkim-genkey 2.11.0 (Debian opendkim-tools) is added at its end.
#
# In a zone as dnspython 2.9.2 (PyPI) writes it, SOA record on one line, the package
# reads all records.  With the key behind them, the MX, SPF and DMARC records are gone,
# and so is the key, without an error.  If the key comes before the SOA record, or the
# SOA record has parentheses itself, the others are read, and the key is cut at the end
# of its first line, before p=.  dnspython reads all four files alike.
#
# Why it surprises: RFC 1035 section 5.1 has parentheses join the lines that they are
# around, in any record.  The guess was that the package does so, or loses the record
# with them.  But it joins those of the SOA record alone, and if that has none, all from
# there to the next ")" becomes the SOA record: it is the key at the end of the file
# that takes away records far above it.
#
# For who publishes records: check what a panel or script made with this package read.
# (Needs node 20.)
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
apt-get -q -o APT::Sandbox::User=root download opendkim-tools=2.11.0~beta2-8+deb12u1 >fetch.log
for file in *.deb; do dpkg -x "$file" root; done
npm install --silent --ignore-scripts --no-save dns-zonefile@0.3.2 >npm.log
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install dnspython==2.9.2
perl root/usr/sbin/opendkim-genkey -D . -d example.org -s s -b 1024

cat >write.py <<'END'
import dns.zone

RECORDS = """\
$TTL 3600
@ SOA ns.example.net. hostmaster.example.net. ( 1 3600 600 86400 300 )
@ NS ns.example.net.
@ MX 10 mail.example.net.
@ TXT "v=spf1 mx -all"
_dmarc TXT "v=DMARC1; p=none"
"""
text = dns.zone.from_text(RECORDS, "example.org.").to_text(want_origin=True)
key = open("s.txt").read()
origin, rest = text.split("\n", 1)
files = {
    "without-key": text,
    "key-behind": text + key,
    "key-before": f"{origin}\n$TTL 3600\n{key}{rest}",
    "soa-with-parentheses": f"{origin}\n{RECORDS}{key}",
}
for name, content in files.items():
    with open(name, "w") as file:
        file.write(content)
END
cat >read.py <<'END'
import sys

import dns.zone

seen = []
for name, _, data in dns.zone.from_file(sys.argv[1], "example.org.").iterate_rdatas():
    if data.rdtype == dns.rdatatype.MX:
        seen.append("MX")
    if data.rdtype == dns.rdatatype.TXT:
        text = b"".join(data.strings)
        seen.append({"@": "SPF", "_dmarc": "DMARC"}.get(name.to_text(), "key"))
        if seen[-1] == "key" and b"p=MI" not in text:
            seen[-1] = "cut-key"
print(*sorted(seen))
END
cat >read.mjs <<'END'
import zonefile from 'dns-zonefile';
import { readFileSync } from 'node:fs';

const zone = zonefile.parse(readFileSync(process.argv[2], 'latin1'));
const seen = (zone.mx || []).map(() => 'MX');
for (const { txt } of zone.txt || [])
    if (txt.includes('v=spf1')) seen.push('SPF');
    else if (txt.includes('v=DMARC1')) seen.push('DMARC');
    else seen.push(txt.includes('p=MI') ? 'key' : 'cut-key');
console.log(seen.sort().join(' '));
END
venv/bin/python write.py

changed=0
show() {
	python=$(venv/bin/python read.py "$1")
	npm=$(node read.mjs "$1")
	printf '%s\n  dnspython     %s\n  dns-zonefile  %s\n' "$1" "$python" "$npm"
	[ "$python" = "$2" ] && [ "$npm" = "$3" ] || changed=1
}
show without-key 'DMARC MX SPF' 'DMARC MX SPF'
show key-behind 'DMARC MX SPF key' ''
show key-before 'DMARC MX SPF key' 'DMARC MX SPF cut-key'
show soa-with-parentheses 'DMARC MX SPF key' 'DMARC MX SPF cut-key'
exit "$changed"
