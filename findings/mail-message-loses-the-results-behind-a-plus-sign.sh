#!/bin/sh
# SPDX-License-Identifier: MIT
# Mail::Message 3.012 (Debian) cuts a value of Authentication-Results at its "+" or "=",
# and loses all results behind it.
#
# Of "spf=pass smtp.mailfrom=joe+news@example.org; dkim=pass ...; dmarc=pass ..." its
# Mail::Message::Field::AuthResults makes the one result spf=pass, with joe as the sender.
# A sender of ezmlm's kind ends at its "=", and header.b=Ab+cDe01 becomes Ab.  In quotes
# these values are whole, and so are the results behind them.  authres 1.2.0 (PyPI) reads
# all of them, with and without quotes.
#
# Why it surprises: RFC 8601 section 2.2 lets a value be a token, which may have a "+"
# (RFC 2045 section 5.1), or an address, whose local part may have both; neither needs
# quotes.  The first eight letters of a signature, as in header.b (RFC 6008), have a "+"
# in about one of eight.  The guess was that a value ends at a blank or a ";", and that a reader
# that meets something else goes on behind the next ";".  But it has a list of characters
# of its own, and stops for good.
#
# For who reads results with it: a missing result says nothing.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
for package in libmail-message-perl=3.012-1 libmailtools-perl=2.21-2 \
	libtimedate-perl=2.3300-2 liburi-perl=5.17-1 libuser-identity-perl=1.01-1; do
	apt-get -q -o APT::Sandbox::User=root download "$package" >fetch.log
done
for file in *.deb; do dpkg -x "$file" root; done
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install --no-deps authres==1.2.0

cat >read.pl <<'END'
use strict;
use warnings;
use Mail::Message::Field::AuthResults;

my $field = Mail::Message::Field::AuthResults->new('Authentication-Results' => $ARGV[0]);
my @results;
for my $result ($field->results) {
    my @properties = grep { /\./ } sort keys %$result;
    push @results, join ' ', "$result->{method}=$result->{result}",
        map { "$_=$result->{$_}" } @properties;
}
print join('; ', @results), "\n";
END
cat >read.py <<'END'
import sys

import authres

results = []
for result in authres.AuthenticationResultsHeader.parse_value(sys.argv[1]).results:
    words = [f"{result.method}={result.result}"]
    words += [f"{each.type}.{each.name}={each.value}" for each in result.properties]
    results.append(" ".join(words))
print("; ".join(results))
END

changed=0
show() {
	field="mx.example.net; $1; dmarc=pass header.from=example.org"
	perl=$(perl -I root/usr/share/perl5 read.pl "$field")
	python=$(venv/bin/python read.py "$field")
	printf '%s\n  authres        %s\n  Mail::Message  %s\n' "$field" "$python" "$perl"
	whole="$(printf '%s' "$1" | tr -d '"'); dmarc=pass header.from=example.org"
	[ "$python" = "$whole" ] && [ "$perl" = "${2:-$whole}" ] || changed=1
}
show 'spf=pass smtp.mailfrom=joe@example.org'
show 'spf=pass smtp.mailfrom=joe+news@example.org' 'spf=pass smtp.mailfrom=joe'
show 'spf=pass smtp.mailfrom=news-return-1-ann=example.com@example.org' \
	'spf=pass smtp.mailfrom=news-return-1-ann'
show 'dkim=pass header.b=Ab+cDe01' 'dkim=pass header.b=Ab'
show 'dkim=pass header.b="Ab+cDe01"'
exit "$changed"
