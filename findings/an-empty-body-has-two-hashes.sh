#!/bin/sh
# SPDX-License-Identifier: MIT
# Mail without a body passes at go-dkim if dkim-signer signed it, and at dkimpy if
# somebody else did.
#
# Signers, all relaxed/relaxed: dkim-signer 0.2.2 and nodemailer 10.6.1 (npm).
# Verifiers: Go's toorop/go-dkim of 2020 (Debian golang-github-toorop-go-dkim-dev) and
# dkimpy 1.1.8 (PyPI).  All agree about a line of text.  If the body is one empty line,
# go-dkim fails nodemailer's signature, and dkimpy that of dkim-signer.  If there is no
# body at all, dkim-signer hashes the header in its place, and both fail it.
#
# Why it surprises: RFC 6376 section 3.4.4 has relaxed make nothing of an empty body,
# and prints the hash of that; with simple it is one CRLF (section 3.4.3).  The guess
# was that all keep to this, as a signature of nothing is the first thing that one
# tries, or that a signer and a verifier in two languages don't make one mistake.
# go-dkim and dkim-signer both add the CRLF in relaxed, too.
#
# For who sends empty mail, such as the command to leave a list or to confirm: write a
# line of text.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
apt-get -q -o APT::Sandbox::User=root download \
	golang-github-toorop-go-dkim-dev=0.0~git20201103.e1cd1a0-2 >fetch.log
for file in *.deb; do dpkg -x "$file" root; done
npm install --silent --ignore-scripts --no-save dkim-signer@0.2.2 nodemailer@10.6.1 >npm.log
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install dkimpy==1.1.8 dnspython==2.9.2
openssl genrsa -traditional -out key.pem 1024 2>openssl.log

cat >sign.js <<'END'
const { readFileSync, writeFileSync } = require('node:fs');
const { DKIMSign } = require('dkim-signer');
const NodemailerDKIM = require('nodemailer/lib/dkim');

const privateKey = readFileSync('key.pem', 'utf8');
const key = { domainName: 'example.org', keySelector: 's', privateKey };
const BODIES = { text: 'hello\r\n', line: '\r\n', none: '' };
for (const [name, body] of Object.entries(BODIES)) {
    const message = `From: joe@example.org\r\nSubject: leave\r\n\r\n${body}`;
    writeFileSync(`dkim-signer-${name}`, `${DKIMSign(message, key)}\r\n${message}`);
    const parts = [];
    const signed = new NodemailerDKIM(key).sign(message);
    signed.on('data', (part) => parts.push(part));
    signed.on('end', () => writeFileSync(`nodemailer-${name}`, Buffer.concat(parts)));
}
END
cat >verify.py <<'END'
import sys

import dkim

record, message = sys.argv[1].encode(), open(sys.argv[2], "rb").read()
assert b"c=relaxed/relaxed;" in message, message
print("pass" if dkim.verify(message, dnsfunc=lambda *_, **__: record) else "fail")
END
cat >verify.go <<'END'
package main

import (
	"fmt"
	"os"

	"github.com/toorop/go-dkim"
)

func main() {
	message, err := os.ReadFile(os.Args[2])
	if err != nil {
		panic(err)
	}
	record := func(string) ([]string, error) { return os.Args[1:2], nil }
	result, _ := dkim.Verify(&message, dkim.DNSOptLookupTXT(record))
	if result == dkim.SUCCESS {
		fmt.Println("pass")
	} else {
		fmt.Println("fail")
	}
}
END
export GO111MODULE=off GOPATH="$place/root/usr/share/gocode" GOCACHE="$place/cache"
go build -o verify verify.go
node sign.js

record="v=DKIM1; p=$(openssl rsa -in key.pem -pubout 2>openssl.log | grep -v -- ----- | tr -d '\n')"
changed=0
show() {
	python=$(venv/bin/python verify.py "$record" "$1-$2")
	go=$(./verify "$record" "$1-$2")
	printf '%-12s body: %-5s dkimpy %s  go-dkim %s\n' "$1" "$2" "$python" "$go"
	[ "$python $go" = "$3" ] || changed=1
}
show nodemailer text 'pass pass'
show dkim-signer text 'pass pass'
show nodemailer line 'pass fail'
show dkim-signer line 'fail pass'
show nodemailer none 'pass fail'
show dkim-signer none 'fail fail'
exit "$changed"
