#!/bin/sh
# SPDX-License-Identifier: MIT
# Three of four verifiers take a word in z= for the signature, and fail the mail.
#
# z= has copies of the fields that were signed, for whoever looks for the cause of
# a failure.  With "z=Subject:web=20page" Go's emersion/go-msgauth 0.6.6 (Debian
# golang-github-emersion-go-msgauth-dev) fails a good signature; so does
# haraka-plugin-dkim 1.3.1 (npm) if the subject's first word is "b", and dkimpy
# 1.1.8 (PyPI) if z= is folded before such a word.  Mail::DKIM 1.20230212 (Debian
# libmail-dkim-perl) passes all of them.
#
# Why it surprises: RFC 6376 section 3.5 has a verifier make no use of z=, and the
# guess was that it can do no harm.  But section 3.7 has the value of b= removed
# before the field is hashed, and the three look for it by a pattern in the whole
# field.  z= is quoted-printable: a space is "=20", and "web page" has a "b=".
#
# For who signs with OpenDKIM: its option Diagnostics adds z=.  Use it to look for
# a cause, not for ever.  (Needs node 20.)
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
fetch() { apt-get -q -o APT::Sandbox::User=root download "$1" >fetch.log; }
for package in golang-github-emersion-go-msgauth-dev=0.6.6-2 \
	golang-golang-x-crypto-dev=1:0.4.0-1 libmail-dkim-perl=1.20230212-2~deb12u1 \
	libnet-dns-perl=1.36-1+deb12u1 libcrypt-openssl-rsa-perl=0.33-3+b1 \
	libcrypt-openssl-bignum-perl=0.09-2+b1 libmailtools-perl=2.21-2 \
	libmail-authenticationresults-perl=2.20230112-1 libtimedate-perl=2.3300-2 \
	libcrypt-openssl-random-perl=0.15-3+b1; do
	fetch "$package"
done
for file in *.deb; do dpkg -x "$file" root; done
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install dkimpy==1.1.8 dnspython==2.9.2
npm install --silent --ignore-scripts --no-save haraka-plugin-dkim@1.3.1 >npm.log
openssl genrsa -traditional -out key.pem 1024 2>openssl.log

cat >sign.py <<'END'
import base64
import hashlib
import re
import subprocess
import sys

# This signs relaxed/relaxed, since none of the four writes a z= like these.
subject, copy = sys.argv[1], sys.argv[2].replace("\\n", "\r\n\t")
body = base64.b64encode(hashlib.sha256(b"hello\r\n").digest()).decode()
field = (f"v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=s; h=from:subject; "
         f"{copy}bh={body}; b=")
relaxed = re.sub(r"[\r\n\t ]+", " ", field)
hashed = f"from:joe@example.org\r\nsubject:{subject}\r\ndkim-signature:{relaxed}"
signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", "key.pem"],
                           input=hashed.encode(), check=True, capture_output=True).stdout
message = (f"DKIM-Signature: {field}{base64.b64encode(signature).decode()}\r\n"
           f"From: joe@example.org\r\nSubject: {subject}\r\n\r\nhello\r\n")
sys.stdout.buffer.write(message.encode())
END
cat >verify.pl <<'END'
use strict;
use warnings;
use Mail::DKIM::PublicKey;
use Mail::DKIM::Verifier;

die "Mail::DKIM $Mail::DKIM::Verifier::VERSION" if $Mail::DKIM::Verifier::VERSION ne '1.20230212';
my $record = shift @ARGV;
{
    no warnings 'redefine';
    # The key comes from here, not from DNS; so it does below.
    *Mail::DKIM::PublicKey::fetch_async = sub {
        my ($class, %with) = @_;
        my $key = $class->parse($record);
        return sub { $with{Callbacks}{Success}->($key) };
    };
}
my $verifier = Mail::DKIM::Verifier->new;
$verifier->load(\*STDIN);
print $verifier->result, "\n";
END
cat >verify.py <<'END'
import sys

import dkim

message = dkim.DKIM(sys.stdin.buffer.read())
print("pass" if message.verify(dnsfunc=lambda *_, **__: sys.argv[1].encode()) else "fail")
END
cat >verify.js <<'END'
require('node:dns').promises.resolveTxt = async () => [[process.argv[2]]];
const { DKIMVerifyStream } = require('haraka-plugin-dkim/lib/dkim');
console.debug = () => {};
const verifier = new DKIMVerifyStream({}, (error, result) => {
    require('node:fs').writeSync(1, `${result}\n`);
    process.exit();     // before a dependency prints what it loaded
});
verifier.end(require('node:fs').readFileSync(0));
END
cat >verify.go <<'END'
package main

import (
	"fmt"
	"os"

	"github.com/emersion/go-msgauth/dkim"
)

func main() {
	record := func(string) ([]string, error) { return os.Args[1:2], nil }
	results, err := dkim.VerifyWithOptions(os.Stdin, &dkim.VerifyOptions{LookupTXT: record})
	if err != nil {
		panic(err)
	}
	if results[0].Err == nil {
		fmt.Println("pass")
	} else {
		fmt.Println("fail")
	}
}
END
export GO111MODULE=off GOPATH="$place/root/usr/share/gocode" GOCACHE="$place/cache"
go build -o verify verify.go

record="v=DKIM1; p=$(openssl rsa -in key.pem -pubout 2>openssl.log | grep -v -- ----- | tr -d '\n')"
changed=0
show() {
	python3 sign.py "$1" "$2" >message
	seen="$(perl -I root/usr/share/perl5 -I root/usr/lib/x86_64-linux-gnu/perl5/5.36 \
		verify.pl "$record" <message)"
	seen="$seen $(venv/bin/python verify.py "$record" <message)"
	seen="$seen $(node verify.js "$record" <message) $(./verify "$record" <message)"
	printf 'Subject: %s  (%s)\n' "$1" "${2:-no z=}"
	# shellcheck disable=SC2086 # four words
	printf '  Mail::DKIM %s  dkimpy %s  Haraka %s  Go %s\n' $seen
	[ "$seen" = "$3" ] || changed=1
}
show 'web page' '' 'pass pass pass pass'
show 'wet page' 'z=Subject:wet=20page; ' 'pass pass pass pass'
show 'web page' 'z=Subject:web=20page; ' 'pass pass pass fail'
show 'b side' 'z=Subject:b=20side; ' 'pass pass fail fail'
show 'plan b failed' 'z=Subject:plan=20\nb=20failed; ' 'pass fail fail fail'
exit "$changed"
