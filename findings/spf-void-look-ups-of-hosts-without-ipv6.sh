#!/bin/sh
# SPDX-License-Identifier: MIT
# Hosts with IPv4 addresses only are void look-ups to pyspf 2.0.14 (PyPI), for
# mail that comes by IPv6, and none to Go's blitiri.com.ar/go/spf 1.5.1 (Debian
# golang-blitiri-go-spf-dev).
#
# "v=spf1 a:a.example.net a:b.example.net a:c.example.net ip6:2001:db8::1 -all":
# each of the three hosts has an A record and no AAAA record.  By IPv4 both let
# the mail of a.example.net pass.  For mail from 2001:db8::1 pyspf gives
# permerror, "Void lookup limit of 2 exceeded"; the Go package lets it pass.
#
# Why it surprises: the record has four terms, names that all exist, and lists
# the sender.  RFC 7208 section 5 has a: ask for AAAA records only if the client
# has an IPv6 address, and section 4.6.4 calls a query without an answer void,
# so pyspf keeps to the letter.  One would guess that a void look-up is a
# misspelled name, or else that all libraries count alike; the Go package asks
# for addresses of both kinds at once and never sees the empty answer.
#
# For who publishes records: list ip4: and ip6: first, hosts without IPv6 last,
# and no more than two of these.
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

RECORD, CLIENT = sys.argv[1:]


def look_up(name, kind, *_, **__):
    """The records of example.org and of the hosts; nothing is asked."""
    answers = {"TXT": (RECORD.encode(),), "A": "192.0.2.1"}
    return [((name, kind), answers[kind])] if kind in answers else []


spf.DNSLookup = look_up
print(spf.check2(i=CLIENT, s="joe@example.org", h="mail.example.org")[0])
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

// The records of example.org and of the hosts; nothing is asked.
type zone struct{ record string }

func (z zone) LookupTXT(context.Context, string) ([]string, error) {
	return []string{z.record}, nil
}

func (z zone) LookupIPAddr(context.Context, string) ([]net.IPAddr, error) {
	return []net.IPAddr{{IP: net.ParseIP("192.0.2.1")}}, nil
}

func (z zone) LookupMX(context.Context, string) ([]*net.MX, error) {
	return nil, &net.DNSError{IsNotFound: true}
}

func (z zone) LookupAddr(context.Context, string) ([]string, error) {
	return nil, &net.DNSError{IsNotFound: true}
}

func main() {
	result, _ := spf.CheckHostWithSender(net.ParseIP(os.Args[2]), "mail.example.org",
		"joe@example.org", spf.WithResolver(zone{os.Args[1]}))
	fmt.Println(result)
}
END
export GO111MODULE=off GOPATH="$place/root/usr/share/gocode" GOCACHE="$place/cache"
go build -o check check.go

changed=0
show() {
	seen="$(venv/bin/python check.py "$1" "$2") $(./check "$1" "$2")"
	printf '%s\n  from %s  pyspf %s  Go %s\n' "$1" "$2" "${seen% *}" "${seen#* }"
	[ "$seen" = "$3" ] || changed=1
}
hosts='a:a.example.net a:b.example.net'
show "v=spf1 $hosts a:c.example.net ip6:2001:db8::1 -all" 192.0.2.1 'pass pass'
show "v=spf1 $hosts a:c.example.net ip6:2001:db8::1 -all" 2001:db8::1 'permerror pass'
show "v=spf1 $hosts ip6:2001:db8::1 -all" 2001:db8::1 'pass pass'
show "v=spf1 ip6:2001:db8::1 $hosts a:c.example.net -all" 2001:db8::1 'pass pass'
exit "$changed"
