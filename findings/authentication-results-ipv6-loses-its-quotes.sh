#!/bin/sh
# SPDX-License-Identifier: MIT
# Mail::AuthenticationResults 2.20230112 (Debian) takes the quotes off an IPv6
# address, and authres 1.2.0 (PyPI) refuses what it wrote.
#
# policy.iprev="2001:db8::1" is read and written as policy.iprev=2001:db8::1,
# though the same module puts quotes around john=x@example.org.  authres reads
# the quoted form and writes it so; the bare one raises SyntaxError, and all of
# the field's other results are lost with it.
#
# Why it surprises: RFC 8601 section 2.2 has a property's value be a MIME value
# (RFC 2045 section 5.1: a token or a quoted string), and ":" is in no token.
# With IPv4 both agree, so tests with 192.0.2.1 show nothing; one would guess
# that a writer that quotes for "=" quotes for ":" too.
#
# For who writes fields: put quotes around an IPv6 address.  For who reads
# them: expect it bare.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
apt-get -q -o APT::Sandbox::User=root download libmail-authenticationresults-perl=2.20230112-1 \
	>fetch.log
for file in *.deb; do dpkg -x "$file" root; done
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install --no-deps authres==1.2.0

cat >read.pl <<'END'
use strict;
use warnings;
use Mail::AuthenticationResults::Parser;

my $text = eval { Mail::AuthenticationResults::Parser->new->parse($ARGV[0])->as_string };
if (!defined $text) {
    my ($error) = "$@" =~ /^(.*?)(?: at .*)?$/m;
    print "refused: $error\n";
    exit;
}
$text =~ s/\s*\n\s*/ /g;
print "$text\n";
END
cat >read.py <<'END'
import sys

import authres

try:
    field = authres.AuthenticationResultsHeader.parse_value(sys.argv[1])
except authres.SyntaxError:
    print("refused")
else:
    print(field.header_value())
END
by_perl() { perl -I root/usr/share/perl5 read.pl "$1"; }
by_authres() { venv/bin/python read.py "$1"; }

changed=0
show() {
	printf '%s\n  %s\n' "$1" "$2"
	[ "$2" = "$3" ] || changed=1
}
start='mx.example.net; iprev=pass policy.iprev='
for value in 192.0.2.1 '"2001:db8::1"'; do
	show "authres reads $start$value" "$(by_authres "$start$value")" "$start$value"
done
show "Mail::AuthenticationResults reads $start\"2001:db8::1\"" \
	"$(by_perl "$start\"2001:db8::1\"")" "${start}2001:db8::1"
show "authres reads ${start}2001:db8::1" "$(by_authres "${start}2001:db8::1")" refused
sender='mx.example.net; spf=pass smtp.mailfrom='
show "Mail::AuthenticationResults reads ${sender}john=x@example.org" \
	"$(by_perl "${sender}john=x@example.org")" "$sender\"john=x@example.org\""
exit "$changed"
