#!/bin/sh
# SPDX-License-Identifier: MIT
# Mail::AuthenticationResults 2.20230112 (Debian) moves a method's version, and
# neither it nor authres 1.2.0 (PyPI) reads the field then.
#
# "dkim/1=pass header.d=example.org" is read without complaint and written as
# "dkim=pass / 1 header.d=example.org".  Read again, the module's own text
# raises "not expecting an assignment"; authres raises SyntaxError.  authres
# reads the first form and writes it as it was.
#
# Why it surprises: RFC 8601 section 2.2 puts the version after the method's
# name, Keyword [ [CFWS] "/" [CFWS] method-version ] "=", and 1 is the version
# of every method in use, so the field says what one without "/1" says.  One
# would guess that a parser that takes the version keeps its place, or drops
# it, and that its output is its input.
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
field='mx.example.net; dkim/1=pass header.d=example.org'
moved='mx.example.net; dkim=pass / 1 header.d=example.org'
show "authres reads $field" "$(by_authres "$field")" "$field"
show "Mail::AuthenticationResults reads $field" "$(by_perl "$field")" "$moved"
show "it reads $moved" "$(by_perl "$moved")" 'refused: not expecting an assignment'
show "authres reads $moved" "$(by_authres "$moved")" refused
exit "$changed"
