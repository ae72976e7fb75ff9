#!/bin/sh
# SPDX-License-Identifier: MIT
# dkimpy 1.1.8 (PyPI) finds no key in a record with two services in s=.
#
# A record with "s=email" or "s=*" lets the signature pass; "s=email:tlsrpt"
# makes dkimpy raise UnknownKeyTypeError(None), as if the type of the key were
# not known.  Mail::DKIM 1.20230212 (Debian libmail-dkim-perl) lets all three
# pass.
#
# Why it surprises: RFC 6376 section 3.6.1 has s= hold a list with colons, and
# readers ignore services that they do not know.  dkimpy knows both of these:
# email, and tlsrpt of RFC 8460 section 3, whose reports one may want to sign
# with the key that one has.  One would guess that it takes the list, too.
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
import sys

import dkim

MESSAGE = b"From: joe@example.org\r\nSubject: hello\r\n\r\nhello\r\n"
with open("key.pem", "rb") as key:
    signature = dkim.sign(MESSAGE, b"s", b"example.org", key.read())
sys.stdout.buffer.write(signature + MESSAGE)
END
cat >verify.py <<'END'
import sys

import dkim

message = dkim.DKIM(sys.stdin.buffer.read())
try:
    print("pass" if message.verify(dnsfunc=lambda *_, **__: sys.argv[1].encode()) else "fail")
except dkim.DKIMException as error:
    print(repr(error))
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

key=$(openssl rsa -in key.pem -pubout 2>openssl.log | grep -v -- ----- | tr -d '\n')
venv/bin/python sign.py >message
changed=0
show() {
	record="v=DKIM1; s=$1; p=$key"
	python=$(venv/bin/python verify.py "$record" <message)
	perl=$(perl -I root/usr/share/perl5 -I root/usr/lib/x86_64-linux-gnu/perl5/5.36 verify.pl \
		"$record" <message)
	printf 's=%s  Mail::DKIM %s  dkimpy %s\n' "$1" "$perl" "$python"
	[ "$perl, $python" = "pass, $2" ] || changed=1
}
show '*' pass
show email pass
show email:tlsrpt 'UnknownKeyTypeError(None)'
exit "$changed"
