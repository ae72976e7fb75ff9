#!/bin/sh
# SPDX-License-Identifier: MIT
# Go's emersion/go-msgauth 0.6.6 (Debian golang-github-emersion-go-msgauth-dev)
# finds no DMARC record if there is a second TXT record beside it.
#
# With "v=DMARC1; p=reject" alone, dmarc.Lookup gives the policy reject.  With
# "note" as another TXT record of _dmarc.example.org it gives an error: "invalid
# policy for parameter 'p'" or "unsupported DMARC version", depending on the
# order of the answer.  It joins the records to one text.
#
# Why it surprises: RFC 9989 section 4.10 (and RFC 7489 section 6.6.3 before
# it) has records that do not begin with the DMARC version discarded, as a
# verification token or a wildcard may stand at any name.  Go's net.LookupTXT has
# joined the strings of each record already.  One would guess that what is left
# to join is nothing.
#
# For who publishes records: have no other TXT record at _dmarc.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
apt-get -q -o APT::Sandbox::User=root download golang-github-emersion-go-msgauth-dev=0.6.6-2 \
	>fetch.log
for file in *.deb; do dpkg -x "$file" root; done

cat >look.go <<'END'
package main

import (
	"fmt"
	"os"

	"github.com/emersion/go-msgauth/dmarc"
)

func main() {
	// Nothing is asked: the arguments are the records.
	records := func(string) ([]string, error) { return os.Args[1:], nil }
	record, err := dmarc.LookupWithOptions("example.org", &dmarc.LookupOptions{LookupTXT: records})
	if err != nil {
		fmt.Println(err)
	} else {
		fmt.Println(record.Policy)
	}
}
END
export GO111MODULE=off GOPATH="$place/root/usr/share/gocode" GOCACHE="$place/cache"
go build -o look look.go

changed=0
show() {
	expected=$1
	shift
	seen=$(./look "$@")
	printf '"%s"  ' "$@"
	printf '%s\n' "$seen"
	[ "$seen" = "$expected" ] || changed=1
}
show reject 'v=DMARC1; p=reject'
show "dmarc: invalid policy for parameter 'p'" 'v=DMARC1; p=reject' note
show 'dmarc: unsupported DMARC version' note 'v=DMARC1; p=reject'
exit "$changed"
