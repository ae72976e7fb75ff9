#!/bin/sh
# SPDX-License-Identifier: MIT
# SpamAssassin 4.0.1's AuthRes plugin (Debian spamassassin) takes nothing from
# an Authentication-Results field in which it does not know one method or
# property.
#
# "mx.example.net; dkim=pass header.d=example.org" makes the rule for dkim=pass
# hit.  With "; bimi=none" or "; x-ptr=pass" behind it, or with policy.x=y beside
# header.d, it does not: all results of the field are skipped.  authres 1.2.0
# (PyPI) gives the result of dkim in each.
#
# Why it surprises: RFC 8601 lets methods and properties be added, and section
# 2.7.6 advises to ignore a field with an experimental method, not the result
# alone.  One would guess that a reader skips what it does not know, as
# authres does, and as every reader of a header skips unknown fields; that
# registered results beside it are lost is easily missed by who adds one.
#
# For who writes fields: put results that are not registered into a field of
# their own.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
fetch() { apt-get -q -o APT::Sandbox::User=root download "$1" >fetch.log; }
for package in spamassassin=4.0.1-1~deb12u1 libhtml-parser-perl=3.81-1+deb12u1 \
	libhtml-tagset-perl=3.20-6 libnet-dns-perl=1.36-1+deb12u1 liburi-perl=5.17-1 \
	libnetaddr-ip-perl=4.079+dfsg-2+b1 libhttp-date-perl=6.05-2; do
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
authres_trusted_authserv mx.example.net
header DKIM_IS_PASS eval:check_authres_result('dkim', 'pass')
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

results = authres.AuthenticationResultsHeader.parse_value(sys.argv[1]).results
print(*[result.result for result in results if result.method == "dkim"] or ["nothing"])
END

changed=0
show() {
	field="mx.example.net; dkim=pass header.d=example.org$1"
	python=$(venv/bin/python read.py "$field")
	perl=$(perl -I root/usr/share/perl5 -I root/usr/lib/x86_64-linux-gnu/perl5/5.36 read.pl "$field")
	printf '%s\n  authres %s  SpamAssassin %s\n' "$field" "$python" "$perl"
	[ "$python, $perl" = "pass, $2" ] || changed=1
}
show '' pass
show '; spf=pass smtp.mailfrom=example.org' pass
show '; bimi=none' nothing
show '; x-ptr=pass' nothing
show ' policy.x=y' nothing
exit "$changed"
