#!/bin/sh
# SPDX-License-Identifier: MIT
# Mail::DMARC 1.20211209 (Debian libmail-dmarc-perl) reads no exception rule of
# the Public Suffix List, the lines with "!", in the list that it comes with.
#
# That list has *.kobe.jp and !city.kobe.jp, so city.kobe.jp is a domain that
# somebody registered, and the organizational domain of mail.city.kobe.jp.  For
# Mail::DMARC this is mail.city.kobe.jp itself, and a signature with
# d=city.kobe.jp is not aligned with From: joe@mail.city.kobe.jp, as
# d=example.co.uk is with joe@mail.example.co.uk.  publicsuffixlist
# 1.1.2.20261023 (PyPI) reads the same file and finds city.kobe.jp.
#
# Why it surprises: RFC 7489 section 3.2, which the module implements, finds the
# organizational domain by such a list, and the list's own description has three
# kinds of rules: plain, with "*" and with "!".  The module knows the "*"; the guess
# was that it knows the "!", which takes names out of what the "*" covers.  (RFC
# 9989 walks up the DNS tree instead, and needs no list.)
#
# For who sends from below such a name: sign with d= of the domain in From:, and
# publish a DMARC record there.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
fetch() { apt-get -q -o APT::Sandbox::User=root download "$1" >fetch.log; }
for package in libmail-dmarc-perl=1.20211209-4 libconfig-tiny-perl=2.28-2 \
	libfile-sharedir-perl=1.118-3 libclass-inspector-perl=1.36-3 \
	libnet-dns-perl=1.36-1+deb12u1 libnet-idn-encode-perl=2.500-3+b1 \
	libnet-ip-perl=1.26-3 libregexp-common-perl=2017060201-3 libsocket6-perl=0.29-3 \
	liburi-perl=5.17-1 libxml-libxml-perl=2.0207+dfsg+really+2.0134-1+deb12u1 \
	libxml-sax-base-perl=1.09-3 libxml-sax-perl=1.02+dfsg-3 \
	libxml-namespacesupport-perl=1.12-2; do
	fetch "$package"
done
for file in *.deb; do dpkg -x "$file" root; done
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install publicsuffixlist==1.1.2.20261023

cat >find.pl <<'END'
use strict;
use warnings;
use Mail::DMARC::Policy;
use Mail::DMARC::PurePerl;

my ($from, $signer) = @ARGV;
my $dmarc = Mail::DMARC::PurePerl->new;
$dmarc->header_from($from);
$dmarc->dkim([{domain => $signer, selector => 's', result => 'pass'}]);
# The policy comes from here, not from DNS.
my $policy = Mail::DMARC::Policy->new('v=DMARC1; p=reject; adkim=r');
$policy->domain($from);
$dmarc->result->published($policy);
print $dmarc->get_organizational_domain, $dmarc->is_dkim_aligned ? " aligned\n" : " not\n";
END
cat >find.py <<'END'
import sys

from publicsuffixlist import PublicSuffixList

with open(sys.argv[1], "rb") as rules:
    print(PublicSuffixList(rules).privatesuffix(sys.argv[2]))
END
rules=root/usr/share/perl5/auto/share/dist/Mail-DMARC/public_suffix_list
changed=0
show() {
	python=$(venv/bin/python find.py "$rules" "mail.$1")
	perl=$(perl -I root/usr/share/perl5 -I root/usr/lib/x86_64-linux-gnu/perl5/5.36 \
		find.pl "mail.$1" "$1")
	printf 'mail.%s, d=%s\n  publicsuffixlist %s  Mail::DMARC %s\n' "$1" "$1" "$python" "$perl"
	[ "$python, $perl" = "$1, $2" ] || changed=1
}
grep -x -F -e '*.kobe.jp' -e '!city.kobe.jp' -e '*.ck' -e '!www.ck' "$rules"
show example.co.uk 'example.co.uk aligned'
show a.example.kobe.jp 'a.example.kobe.jp aligned'
show city.kobe.jp 'mail.city.kobe.jp not'
show www.ck 'mail.www.ck not'
exit "$changed"
