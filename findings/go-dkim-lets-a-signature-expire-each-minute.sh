#!/bin/sh
# SPDX-License-Identifier: MIT
# Go's toorop/go-dkim of 2020 (Debian golang-github-toorop-go-dkim-dev) finds a
# signature expired or not by the second of the minute.
#
# With x= at 2100-01-01 00:00:00 it says "signature has expired" for 59 seconds of
# each minute; with x= at 00:00:59 of the same day it never does.  dkimpy 1.1.8 (PyPI)
# passes both.  The package signs the message itself, with its own option for x=.
#
# Why it surprises: RFC 6376 section 3.5 has x= count the seconds since 1970, and a
# signature expires once, when the time is past it.  The guess was that a wrong clock
# can hurt here, or a year after 2038.  But the package takes the field "second" of
# both times, 0 to 59, and compares these: a good signature fails if the clock's second
# is the higher one, and mail sent again some seconds later passes.
#
# For who signs: x= costs mail at receivers with this package; one x= in sixty, that
# with second 59, does not.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
apt-get -q -o APT::Sandbox::User=root download \
	golang-github-toorop-go-dkim-dev=0.0~git20201103.e1cd1a0-2 >fetch.log
for file in *.deb; do dpkg -x "$file" root; done
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install dkimpy==1.1.8 dnspython==2.9.2
openssl genrsa -traditional -out key.pem 1024 2>openssl.log

cat >judge.go <<'END'
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/toorop/go-dkim"
)

// Signs a message with x= at os.Args[2], writes it to a file, and verifies it.
func main() {
	key, _ := os.ReadFile("key.pem")
	end, _ := strconv.ParseInt(os.Args[2], 10, 64)
	message := []byte("From: joe@example.org\r\nSubject: hello\r\n\r\nhello\r\n")
	options := dkim.NewSigOptions()
	options.PrivateKey = key
	options.Domain = "example.org"
	options.Selector = "s"
	options.Headers = []string{"from", "subject"}
	options.Canonicalization = "relaxed/relaxed"
	options.AddSignatureTimestamp = true
	// The package adds the time of signing; a second may begin between the two.
	for {
		signed := append([]byte{}, message...)
		now := time.Now().Unix()
		options.SignatureExpireIn = uint64(end - now)
		if err := dkim.Sign(&signed, options); err != nil {
			panic(err)
		}
		if time.Now().Unix() == now {
			message = signed
			break
		}
	}
	if err := os.WriteFile("message", message, 0o600); err != nil {
		panic(err)
	}
	// In second 0 nothing is higher; wait for one that is.
	for time.Now().Second() == 0 {
		time.Sleep(100 * time.Millisecond)
	}
	record := func(string) ([]string, error) { return os.Args[1:2], nil }
	result, err := dkim.Verify(&message, dkim.DNSOptLookupTXT(record))
	if result == dkim.SUCCESS {
		fmt.Println("pass")
	} else {
		fmt.Println(err)
	}
}
END
cat >judge.py <<'END'
import sys

import dkim

message = open("message", "rb").read()
assert f"x={sys.argv[2]};".encode() in message, message
record = sys.argv[1].encode()
print("pass" if dkim.verify(message, dnsfunc=lambda *_, **__: record) else "fail")
END
export GO111MODULE=off GOPATH="$place/root/usr/share/gocode" GOCACHE="$place/cache"
go build -o judge judge.go

record="v=DKIM1; p=$(openssl rsa -in key.pem -pubout 2>openssl.log | grep -v -- ----- | tr -d '\n')"
changed=0
show() {
	go=$(./judge "$record" "$1")
	python=$(venv/bin/python judge.py "$record" "$1")
	printf 'x=%s (2100-01-01 00:%s)  dkimpy: %s  go-dkim: %s\n' "$1" "$2" "$python" "$go"
	[ "$python, $go" = "pass, $3" ] || changed=1
}
show 4102444800 00:00 'signature has expired'
show 4102444859 00:59 pass
show 4102444860 01:00 'signature has expired'
exit "$changed"
