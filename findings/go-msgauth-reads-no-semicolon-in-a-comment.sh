#!/bin/sh
# SPDX-License-Identifier: MIT
# Go's emersion/go-msgauth 0.6.6 (Debian golang-github-emersion-go-msgauth-dev)
# loses an Authentication-Results field in which a ";" is in a comment or in
# quotes, and cuts a quoted reason at its first space.
#
# "dkim=pass (2048-bit key; unprotected) header.d=example.org", as OpenDKIM
# writes it, is a "malformed authentication method and value"; so is
# reason="no key; see the log".  reason="body differs" is read as '"body', with
# the first quote and without the second word.  authres 1.2.0 (PyPI) reads
# all of them.
#
# Why it surprises: RFC 8601 section 2.2 allows comments between all parts of a
# field and a reason in quotes, and RFC 5322 section 3.2 any ";" in both.  The
# package skips "(good signature)", so one would guess that it knows
# comments, and finds their ends before it looks for ";".
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
apt-get -q -o APT::Sandbox::User=root download golang-github-emersion-go-msgauth-dev=0.6.6-2 \
	>fetch.log
for file in *.deb; do dpkg -x "$file" root; done
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install --no-deps authres==1.2.0

cat >read.go <<'END'
package main

import (
	"fmt"
	"os"

	"github.com/emersion/go-msgauth/authres"
)

func main() {
	_, results, err := authres.Parse(os.Args[1])
	if err != nil {
		fmt.Println("refused")
		return
	}
	result := results[0].(*authres.DKIMResult)
	fmt.Printf("%s [%s] %s\n", result.Value, result.Reason, result.Domain)
}
END
cat >read.py <<'END'
import sys

import authres

result = authres.AuthenticationResultsHeader.parse_value(sys.argv[1]).results[0]
print(f"{result.result} [{result.reason or ''}] {result.header_d}")
END
export GO111MODULE=off GOPATH="$place/root/usr/share/gocode" GOCACHE="$place/cache"
go build -o read read.go

changed=0
show() {
	field="mx.example.net; dkim=$1 header.d=example.org"
	python=$(venv/bin/python read.py "$field")
	go=$(./read "$field")
	printf '%s\n  authres %s  Go %s\n' "$field" "$python" "$go"
	[ "$python, $go" = "$2, $3" ] || changed=1
}
show 'pass (good signature)' 'pass [] example.org' 'pass [] example.org'
show 'pass (2048-bit key; unprotected)' 'pass [] example.org' refused
show 'fail reason=differs' 'fail [differs] example.org' 'fail [differs] example.org'
show 'fail reason="body differs"' 'fail [body differs] example.org' 'fail ["body] example.org'
show 'fail reason="no key; see the log"' 'fail [no key; see the log] example.org' refused
exit "$changed"
