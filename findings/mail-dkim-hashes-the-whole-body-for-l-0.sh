#!/bin/sh
# SPDX-License-Identifier: MIT
# Mail::DKIM 1.20230212 (Debian libmail-dkim-perl) finds the body altered in
# every signature with l=0, as if the tag were not there.
#
# A signature with "l=0" and the hash of an empty body is "fail (body has been
# altered)"; with "l=7" and the hash of the first seven bytes it passes.
# dkimpy 1.1.8 (PyPI) lets both pass.
#
# Why it surprises: RFC 6376 section 3.5 has l= count the bytes of the body that
# are hashed, and says of the value 0 that the body is then not signed at all.
# One would guess that a verifier that takes l=7 takes l=0.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
fetch() { apt-get -q -o APT::Sandbox::User=root download "$1" >fetch.log; }
for package in libmail-dkim-perl=1.20230212-2~deb12u1 \
	libnet-dns-perl=1.36-1+deb12u1 libcrypt-openssl-rsa-perl=0.33-3+b1 \
	libcrypt-openssl-bignum-perl=0.09-2+b1 libmailtools-perl=2.21-2 \
	libmail-authenticationresults-perl=2.20230112-1 libtimedate-perl=2.3300-2 \
	libcrypt-openssl-random-perl=0.15-3+b1; do
	fetch "$package"
done
for file in *.deb; do dpkg -x "$file" root; done
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install dkimpy==1.1.8 dnspython==2.9.2
openssl genrsa -traditional -out key.pem 1024 2>openssl.log

cat >sign.py <<'END'
"""Signs a message with l=, without a library for DKIM; prints it."""
import base64
import hashlib
import subprocess
import sys

FIELDS = "from:joe@example.org\r\nsubject:hello\r\n"      # as "relaxed" has them
BODY = "hello\r\nworld\r\n"
length = int(sys.argv[1])
body_hash = base64.b64encode(hashlib.sha256(BODY[:length].encode()).digest()).decode()
tags = (f"v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=s; l={length}; "
        f"h=from:subject; bh={body_hash}; b=")
signature = base64.b64encode(subprocess.run(
    ["openssl", "dgst", "-sha256", "-sign", "key.pem"], check=True, capture_output=True,
    input=(FIELDS + "dkim-signature:" + tags).encode()).stdout).decode()
sys.stdout.buffer.write(f"DKIM-Signature: {tags}{signature}\r\n{FIELDS}\r\n{BODY}".encode())
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
    # The key comes from here, not from DNS.
    *Mail::DKIM::PublicKey::fetch_async = sub {
        my ($class, %with) = @_;
        my $key = $class->parse($record);
        return sub { $with{Callbacks}{Success}->($key) };
    };
}
my $verifier = Mail::DKIM::Verifier->new;
$verifier->load(\*STDIN);
print $verifier->result_detail, "\n";
END
cat >verify.py <<'END'
import sys

import dkim

passed = dkim.verify(sys.stdin.buffer.read(), dnsfunc=lambda *_, **__: sys.argv[1].encode())
print("pass" if passed else "fail")
END

key=$(openssl rsa -in key.pem -pubout 2>openssl.log | grep -v -- ----- | tr -d '\n')
changed=0
show() {
	python3 sign.py "$1" >message
	perl=$(perl -I root/usr/share/perl5 -I root/usr/lib/x86_64-linux-gnu/perl5/5.36 verify.pl \
		"v=DKIM1; p=$key" <message)
	python=$(venv/bin/python verify.py "v=DKIM1; p=$key" <message)
	printf 'l=%s  dkimpy %s  Mail::DKIM %s\n' "$1" "$python" "$perl"
	[ "$python, $perl" = "pass, $2" ] || changed=1
}
show 14 pass
show 7 pass
show 0 'fail (body has been altered)'
exit "$changed"
