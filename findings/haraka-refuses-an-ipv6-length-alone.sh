#!/bin/sh
# SPDX-License-Identifier: MIT
# haraka-plugin-spf 1.3.0 (npm) gives permerror to a record with "a//64".
#
# "v=spf1 a//64 -all" and "v=spf1 mx//64 -all" are permerror, by IPv4 and by IPv6.
# With "a/32//64", which says the same, the mail passes.  pyspf 2.0.14 (PyPI) and
# Go's blitiri.com.ar/go/spf 1.5.1 (Debian golang-blitiri-go-spf-dev) pass all three.
#
# Why it surprises: RFC 7208 section 5.6 has either length omitted
# (dual-cidr-length = [ ip4-cidr-length ] [ "/" ip6-cidr-length ]), and "//64" is how
# one lets in the network of a host that makes its own IPv6 addresses, and no IPv4
# neighbours.  The plugin takes "/24" alone and both together, so the guess was that
# it takes "//64" alone, too.
#
# For who publishes records: write "/32//64".  (Needs node 20.)
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
apt-get -q -o APT::Sandbox::User=root download golang-blitiri-go-spf-dev=1.5.1-1 >fetch.log
for file in *.deb; do dpkg -x "$file" root; done
npm install --silent --ignore-scripts --no-save haraka-plugin-spf@1.3.0 >npm.log
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install pyspf==2.0.14 dnspython==2.9.2

# All names have these addresses; nothing is asked.
cat >check.js <<'END'
const dns = require('node:dns/promises');

const [, , address, record] = process.argv;
const ANSWERS = { TXT: [[record]], A: ['192.0.2.1'], AAAA: ['2001:db8::1'],
    MX: [{ exchange: 'mx.example.net', priority: 1 }] };
class Resolver {
    async resolve(name, type) { return ANSWERS[type]; }
    resolveTxt(name) { return this.resolve(name, 'TXT'); }
    resolve4(name) { return this.resolve(name, 'A'); }
    resolve6(name) { return this.resolve(name, 'AAAA'); }
    resolveMx(name) { return this.resolve(name, 'MX'); }
    cancel() {}
}
dns.Resolver = Resolver;
for (const name of ['resolve', 'resolveTxt', 'resolve4', 'resolve6', 'resolveMx'])
    dns[name] = (...given) => new Resolver()[name](...given);
const { SPF } = require('haraka-plugin-spf/lib/spf');
SPF.prototype.log_debug = () => {};

(async () => {
    const check = new SPF();
    const result = await check.check_host(address, 'example.org', 'joe@example.org');
    const names = { [check.SPF_PASS]: 'pass', [check.SPF_PERMERROR]: 'permerror' };
    require('node:fs').writeSync(1, `${names[result]}\n`);
    process.exit();     // before a dependency prints what it loaded
})();
END
cat >check.py <<'END'
import ipaddress
import sys

import spf

ANSWERS = {"TXT": (sys.argv[2].encode(),), "A": "192.0.2.1", "MX": (1, "mx.example.net"),
           "AAAA": ipaddress.ip_address("2001:db8::1").packed}
spf.DNSLookup = lambda name, kind, *_, **__: [((name, kind), ANSWERS[kind])]
print(spf.check2(i=sys.argv[1], s="joe@example.org", h="mail.example.org")[0])
END
cat >check.go <<'END'
package main

import (
	"context"
	"fmt"
	"net"
	"os"

	"blitiri.com.ar/go/spf"
)

type zone struct{ *net.Resolver }

func (zone) LookupTXT(context.Context, string) ([]string, error) {
	return []string{os.Args[2]}, nil
}

func (zone) LookupMX(context.Context, string) ([]*net.MX, error) {
	return []*net.MX{{Host: "mx.example.net", Pref: 1}}, nil
}

func (zone) LookupIPAddr(context.Context, string) ([]net.IPAddr, error) {
	return []net.IPAddr{{IP: net.ParseIP("192.0.2.1")}, {IP: net.ParseIP("2001:db8::1")}}, nil
}

func main() {
	result, _ := spf.CheckHostWithSender(net.ParseIP(os.Args[1]), "mail.example.org",
		"joe@example.org", spf.WithResolver(zone{}))
	fmt.Println(result)
}
END
export GO111MODULE=off GOPATH="$place/root/usr/share/gocode" GOCACHE="$place/cache"
go build -o check check.go

changed=0
show() {
	seen="$(venv/bin/python check.py "$1" "$2") $(./check "$1" "$2") $(node check.js "$1" "$2")"
	# shellcheck disable=SC2086 # three words
	printf "$2, from $1\n  pyspf %s  Go %s  Haraka %s\n" $seen
	[ "$seen" = "pass pass $3" ] || changed=1
}
for address in 192.0.2.1 2001:db8::2; do
	show "$address" 'v=spf1 a/32//64 -all' pass
	show "$address" 'v=spf1 a//64 -all' permerror
	show "$address" 'v=spf1 mx//64 -all' permerror
done
show 192.0.2.2 'v=spf1 a/24 -all' pass
exit "$changed"
