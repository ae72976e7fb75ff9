#!/bin/sh
# SPDX-License-Identifier: MIT
# sender-rewriting-scheme 1.0.0 (npm) does not know an address that it wrote, if a host
# on the way made small letters of it.
#
# It makes SRS0=756f=JT=example.org=joe@fwd.example.net of joe@example.org, and finds
# joe@example.org in that, but nothing in srs0=756f=jt=example.org=joe@fwd.example.net.
# Mail::SRS 0.31 (Debian libmail-srs-perl) and srslib 0.1.5 (PyPI) find it in theirs,
# whatever letters it has.
#
# Why it surprises: RFC 5321 section 2.4 has the case of a local part kept, and is known
# for how many hosts do not; the Sender Rewriting Scheme takes its two letters for the
# date from 32 characters for this, and Mail::SRS compares its hash without case.  The
# package's hash is hexadecimal in small letters, and the part that reads the date makes
# capitals of it first.  The guess was that it is made for this, too.  But before that,
# it looks for "SRS0" and two capitals as they are.
#
# For who forwards mail by it: bounces that such hosts send are not passed on, and no
# error says so: the result is null.  (Needs node 20.)
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
for package in libmail-srs-perl=0.31-9 libdigest-hmac-perl=1.04+dfsg-2; do
	apt-get -q -o APT::Sandbox::User=root download "$package" >fetch.log
done
for file in *.deb; do dpkg -x "$file" root; done
npm install --silent --ignore-scripts --no-save sender-rewriting-scheme@1.0.0 >npm.log
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install srslib==0.1.5

cat >srs.pl <<'END'
use strict;
use warnings;
use Mail::SRS;

my $srs = Mail::SRS->new(Secret => 'example');
my ($how, @arguments) = @ARGV;
print $srs->$how(@arguments), "\n";
END
cat >srs.js <<'END'
const { SRS } = require('sender-rewriting-scheme');

const [how, ...rest] = process.argv.slice(2);
process.stdout.write(`${new SRS({ secret: 'example' })[how](...rest)}\n`);
END
cat >srs.py <<'END'
import sys

from srslib import SRS

print(getattr(SRS("example"), sys.argv[1])(*sys.argv[2:]))
END
srs() {
	case $1 in
		Mail::SRS) shift && perl -I root/usr/share/perl5 srs.pl "$@" 2>>log ;;
		srslib) shift && venv/bin/python srs.py "$@" ;;
		sender-rewriting-scheme) shift && node srs.js "$@" ;;
	esac
}

changed=0
show() {
	address=$(srs "$1" forward joe@example.org fwd.example.net)
	small=$(printf '%s\n' "$address" | tr '[:upper:]' '[:lower:]')
	same=$(srs "$1" reverse "$address")
	other=$(srs "$1" reverse "$small")
	printf '%s\n  %s  %s\n  %s  %s\n' "$1" "$address" "$same" "$small" "$other"
	[ "$same" = joe@example.org ] && [ "$other" = "$2" ] || changed=1
}
show Mail::SRS joe@example.org
show srslib joe@example.org
show sender-rewriting-scheme null
exit "$changed"
