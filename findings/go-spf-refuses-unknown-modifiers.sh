#!/bin/sh
# SPDX-License-Identifier: MIT
# Go's blitiri.com.ar/go/spf 1.5.1 (Debian golang-blitiri-go-spf-dev) gives
# permerror to a record with a modifier that it does not know.
#
# "v=spf1 foo=bar ip4:192.0.2.1 -all" is a permerror, "unknown field"; with
# foo=bar at the end, "v=spf1 ip4:192.0.2.1 -all foo=bar", mail from 192.0.2.1
# passes.  pyspf 2.0.14 (PyPI) lets it pass in both.
#
# Why it surprises: RFC 7208 section 6 has readers ignore unknown modifiers,
# wherever and however often they stand.  The package says that all mechanisms
# and modifiers are supported.  One would guess that a modifier
# matters to no one who does not know it.
#
# For who publishes records: put modifiers of your own behind the last
# mechanism.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
apt-get -q -o APT::Sandbox::User=root download golang-blitiri-go-spf-dev=1.5.1-1 >fetch.log
for file in *.deb; do dpkg -x "$file" root; done
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install pyspf==2.0.14 dnspython==2.9.2

cat >check.py <<'END'
import sys

import spf

# Nothing is asked: the record is the answer.
spf.DNSLookup = lambda name, kind, *_, **__: [((name, kind), (sys.argv[1].encode(),))]
print(spf.check2(i="192.0.2.1", s="joe@example.org", h="mail.example.org")[0])
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

// Nothing is asked: the record is the answer.
type zone struct{ *net.Resolver }

func (zone) LookupTXT(context.Context, string) ([]string, error) {
	return []string{os.Args[1]}, nil
}

func main() {
	result, reason := spf.CheckHostWithSender(net.ParseIP("192.0.2.1"), "mail.example.org",
		"joe@example.org", spf.WithResolver(zone{}))
	fmt.Printf("%s (%v)\n", result, reason)
}
END
export GO111MODULE=off GOPATH="$place/root/usr/share/gocode" GOCACHE="$place/cache"
go build -o check check.go

changed=0
show() {
	python=$(venv/bin/python check.py "$1")
	go=$(./check "$1")
	printf '%s\n  pyspf %s  Go %s\n' "$1" "$python" "$go"
	[ "$python, $go" = "pass, $2" ] || changed=1
}
show 'v=spf1 ip4:192.0.2.1 -all' 'pass (matched ip)'
show 'v=spf1 ip4:192.0.2.1 -all foo=bar' 'pass (matched ip)'
show 'v=spf1 foo=bar ip4:192.0.2.1 -all' 'permerror (unknown field)'
exit "$changed"
