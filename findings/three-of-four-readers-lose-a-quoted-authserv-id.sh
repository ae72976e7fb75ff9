#!/bin/sh
# SPDX-License-Identifier: MIT
# One of four readers takes an authserv-id in quotes as what it is.
#
# In '"mx.example.net/1"; dkim=pass header.d=example.org' the name is
# mx.example.net/1 to Mail::AuthenticationResults 2.20230112 (Debian).  authres
# 1.2.0 (PyPI) raises SyntaxError.  The AuthRes plugin of SpamAssassin 4.0.1
# (Debian) takes nothing from the field, though told to trust this name.  Go's
# emersion/go-msgauth 0.6.6 (Debian) gives the name with its quotes, so that it
# equals no name that one compares it with.  '"mx.example.net"' is read alike.
#
# Why it surprises: RFC 8601 section 2.2 has the authserv-id be a MIME value, a
# token or a quoted string, and "/" is in no token (RFC 2045 section 5.1).
# OpenDKIM's AuthservIDWithJobID puts "/" and a number behind the name.
# Three of them take quotes around a reason.  One would guess that they do so
# around the first word, too.
#
# For who chooses an authserv-id: take a host's name, which needs no quotes.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
fetch() { apt-get -q -o APT::Sandbox::User=root download "$1" >fetch.log; }
for package in spamassassin=4.0.1-1~deb12u1 libhtml-parser-perl=3.81-1+deb12u1 \
	libhtml-tagset-perl=3.20-6 libnet-dns-perl=1.36-1+deb12u1 liburi-perl=5.17-1 \
	libnetaddr-ip-perl=4.079+dfsg-2+b1 libhttp-date-perl=6.05-2 \
	libmail-authenticationresults-perl=2.20230112-1 \
	golang-github-emersion-go-msgauth-dev=0.6.6-2; do
	fetch "$package"
done
for file in *.deb; do dpkg -x "$file" root; done
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install --no-deps authres==1.2.0

mkdir rules
cat >rules/check.pre <<'END'
loadplugin Mail::SpamAssassin::Plugin::Check
loadplugin Mail::SpamAssassin::Plugin::AuthRes
END
cat >rules/local.cf <<'END'
util_rb_tld com net org
authres_networks all
authres_trusted_authserv mx.example.net mx.example.net/1
header DKIM_IS_PASS eval:check_authres_result('dkim', 'pass')
END
cat >parse.pl <<'END'
use strict;
use warnings;
use Mail::AuthenticationResults::Parser;

print Mail::AuthenticationResults::Parser->new->parse($ARGV[0])->value->value, "\n";
END
cat >read.pl <<'END'
use strict;
use warnings;
use Mail::SpamAssassin;

my $filter = Mail::SpamAssassin->new({rules_filename => 'rules', site_rules_filename => 'rules',
    userprefs_filename => '/dev/null', userstate_dir => 'state', dont_copy_prefs => 1,
    local_tests_only => 1});
my $mail = $filter->parse("Authentication-Results: $ARGV[0]\nSubject: hello\n\nhello\n");
my $status = $filter->check($mail);
print $status->get_names_of_tests_hit =~ /\bDKIM_IS_PASS\b/ ? "pass\n" : "nothing\n";
END
cat >read.py <<'END'
import sys

import authres

try:
    print(authres.AuthenticationResultsHeader.parse_value(sys.argv[1]).authserv_id)
except authres.SyntaxError:
    print("refused")
END
cat >read.go <<'END'
package main

import (
	"fmt"
	"os"

	"github.com/emersion/go-msgauth/authres"
)

func main() {
	name, _, err := authres.Parse(os.Args[1])
	if err != nil {
		panic(err)
	}
	fmt.Println(name)
}
END
export GO111MODULE=off GOPATH="$place/root/usr/share/gocode" GOCACHE="$place/cache"
go build -o read read.go

by_perl() { perl -I root/usr/share/perl5 -I root/usr/lib/x86_64-linux-gnu/perl5/5.36 "$@"; }

changed=0
show() {
	field="$1; dkim=pass header.d=example.org"
	seen="$(by_perl parse.pl "$field") $(venv/bin/python read.py "$field") $(./read "$field")"
	seen="$seen $(by_perl read.pl "$field" 2>perl.log)"
	printf '%s\n' "$field"
	# shellcheck disable=SC2086 # four words
	printf '  Mail::AuthenticationResults %s  authres %s  Go %s  SpamAssassin %s\n' $seen
	[ "$seen" = "$2" ] || changed=1
}
show mx.example.net 'mx.example.net mx.example.net mx.example.net pass'
show '"mx.example.net"' 'mx.example.net refused "mx.example.net" nothing'
show '"mx.example.net/1"' 'mx.example.net/1 refused "mx.example.net/1" nothing'
exit "$changed"
