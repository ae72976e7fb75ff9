#!/bin/sh
# SPDX-License-Identifier: MIT
# Mail::DKIM 1.20230212 (Debian libmail-dkim-perl) takes no spaces around the
# colons of a key record's h= tag.
#
# A record "v=DKIM1; h=sha1:sha256; p=..." lets a rsa-sha256 signature pass;
# "v=DKIM1; h=sha1 : sha256; p=..." makes the same signature invalid: "public
# key: does not support hash algorithm 'sha256'".  The s= tag of the same
# record may have the spaces ("s=tlsrpt : email" passes).
#
# Why it surprises: RFC 6376 section 3.6.1 writes the value of h= as
# key-h-tag-alg *( [FWS] ":" [FWS] key-h-tag-alg ), so both records say the
# same.  The module takes spaces around ";" and "=", within p=, and around the
# colons of s=; one would guess that it cuts every list in one way.
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
openssl genrsa -traditional -out key.pem 1024 2>openssl.log

cat >verify.pl <<'END'
use strict;
use warnings;
use Mail::DKIM::PublicKey;
use Mail::DKIM::Signer;
use Mail::DKIM::Verifier;

die "Mail::DKIM $Mail::DKIM::Verifier::VERSION" if $Mail::DKIM::Verifier::VERSION ne '1.20230212';
my $record;
{
    no warnings 'redefine';
    # The key comes from here, not from DNS.
    *Mail::DKIM::PublicKey::fetch_async = sub {
        my ($class, %with) = @_;
        my $key = $class->parse($record);
        return sub { $with{Callbacks}{Success}->($key) };
    };
}
my $mail = "From: joe\@example.org\r\nSubject: hello\r\n\r\nhello\r\n";
my $key = `openssl rsa -in key.pem -pubout 2>openssl.log`;
$key =~ s/-----[^-]*-----|\s//g;
my $signer = Mail::DKIM::Signer->new(Algorithm => 'rsa-sha256', Method => 'relaxed/relaxed',
    Domain => 'example.org', Selector => 's', KeyFile => 'key.pem');
$signer->PRINT($mail);
$signer->CLOSE;
my $signed = $signer->signature->as_string . "\r\n$mail";

my $unsupported = "invalid (public key: does not support hash algorithm 'sha256')";
my $changed = 0;
for (['h=sha1:sha256', 'pass'], ['h=sha1 : sha256', $unsupported], ['h=sha256', 'pass'],
    ['s=tlsrpt : email', 'pass']) {
    my ($tag, $expected) = @$_;
    $record = "v=DKIM1; $tag; p=$key";
    my $verifier = Mail::DKIM::Verifier->new;
    $verifier->PRINT($signed);
    $verifier->CLOSE;
    my $seen = $verifier->result_detail;
    print "$tag  $seen\n";
    $changed = 1 if $seen ne $expected;
}
exit $changed;
END
perl -I root/usr/share/perl5 -I root/usr/lib/x86_64-linux-gnu/perl5/5.36 verify.pl
