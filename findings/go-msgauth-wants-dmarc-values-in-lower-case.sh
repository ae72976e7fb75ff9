#!/bin/sh
# SPDX-License-Identifier: MIT
# Go's emersion/go-msgauth 0.6.6 (Debian golang-github-emersion-go-msgauth-dev)
# refuses a DMARC record with "p=Reject".
#
# "v=DMARC1; p=Reject" is "invalid policy for parameter 'p'", and one "aspf=S"
# makes a record with p=reject invalid: the domain has no policy then.
# dmarc 1.2.1 (PyPI) and Mail::DMARC 1.20211209 (Debian libmail-dmarc-perl) take
# both.
#
# Why it surprises: RFC 9989 section 4.8 defines the values as ABNF strings,
# which RFC 5234 section 2.3 has match in any case; only DMARC1 is marked as
# case-sensitive (%s).  The same package takes "dkim=PASS" in an
# Authentication-Results field.  One would guess that it does so here.
#
# For who publishes records: write tags and values in lower case.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
fetch() { apt-get -q -o APT::Sandbox::User=root download "$1" >fetch.log; }
for package in golang-github-emersion-go-msgauth-dev=0.6.6-2 libmail-dmarc-perl=1.20211209-4 \
	liburi-perl=5.17-1; do
	fetch "$package"
done
for file in *.deb; do dpkg -x "$file" root; done
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install dmarc==1.2.1

cat >read.go <<'END'
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/emersion/go-msgauth/authres"
	"github.com/emersion/go-msgauth/dmarc"
)

func main() {
	if strings.Contains(os.Args[1], "dkim=") {
		_, results, err := authres.Parse(os.Args[1])
		if err != nil {
			panic(err)
		}
		fmt.Println(results[0].(*authres.DKIMResult).Value)
	} else if record, err := dmarc.Parse(os.Args[1]); err != nil {
		fmt.Println("refused")
	} else {
		fmt.Println(record.Policy, record.SPFAlignment)
	}
}
END
cat >read.pl <<'END'
use strict;
use warnings;
use Mail::DMARC::Policy;

my $policy = Mail::DMARC::Policy->new($ARGV[0]);
print lc($policy->p . ' ' . ($policy->aspf // 'r')), "\n";
END
cat >read.py <<'END'
import sys

import dmarc

policy = dmarc.DMARC().parse_record(record=sys.argv[1], domain="example.org")
print(policy.p.value, policy.aspf.value)
END
export GO111MODULE=off GOPATH="$place/root/usr/share/gocode" GOCACHE="$place/cache"
go build -o read read.go

changed=0
show() {
	go=$(./read "$1")
	perl=$(perl -I root/usr/share/perl5 read.pl "$1")
	python=$(venv/bin/python read.py "$1")
	printf '%s  dmarc %s  Mail::DMARC %s  Go %s\n' "$1" "$python" "$perl" "$go"
	[ "$python, $perl, $go" = "$2, $2, $3" ] || changed=1
}
show 'v=DMARC1; p=reject; aspf=s' 'reject s' 'reject s'
show 'v=DMARC1; p=Reject' 'reject r' refused
show 'v=DMARC1; p=reject; aspf=S' 'reject s' refused
field='mx.example.net; dkim=PASS header.d=example.org'
value=$(./read "$field")
printf '%s  Go %s\n' "$field" "$value"
[ "$value" = pass ] || changed=1
exit "$changed"
