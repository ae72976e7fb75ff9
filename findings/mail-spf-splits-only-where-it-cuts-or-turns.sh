#!/bin/sh
# SPDX-License-Identifier: MIT
# Mail::SPF 2.9.0 (Debian libmail-spf-perl) expands %{l-} as if it were %{l}.
#
# For mail from strong-bad@email.example.com, %{l-} stays strong-bad, while
# %{lr-} is bad.strong and %{l1r-} is strong.  pyspf 2.0.14 (PyPI) expands %{l-}
# to strong.bad.
#
# Why it surprises: RFC 7208 section 7.3 has a macro split at its delimiters and
# joined with dots, whether or not parts are cut off or their order is turned,
# and section 7.4 lists %{l-} with strong.bad.  The module uses the delimiter
# where a number or an "r" stands before it.  One would guess that it does the
# examples of the RFC.
#
# For who publishes records: a name looked up through %{l-} is not the same
# one everywhere.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
fetch() { apt-get -q -o APT::Sandbox::User=root download "$1" >fetch.log; }
for package in libmail-spf-perl=2.9.0-5 liberror-perl=0.17029-2 liburi-perl=5.17-1 \
	libnetaddr-ip-perl=4.079+dfsg-2+b1 libnet-dns-perl=1.36-1+deb12u1; do
	fetch "$package"
done
for file in *.deb; do dpkg -x "$file" root; done
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install pyspf==2.0.14 dnspython==2.9.2

cat >expand.pl <<'END'
use strict;
use warnings;
use Mail::SPF;
use Mail::SPF::MacroString;
use Mail::SPF::Request;

# These macros need no look-up.
my $request = Mail::SPF::Request->new(scope => 'mfrom', ip_address => '192.0.2.3',
    identity => 'strong-bad@email.example.com', helo_identity => 'mx.example.org');
my $macro = Mail::SPF::MacroString->new(text => $ARGV[0], server => Mail::SPF::Server->new,
    request => $request);
print $macro->expand, "\n";
END
cat >expand.py <<'END'
import sys

import spf

query = spf.query(i="192.0.2.3", s="strong-bad@email.example.com", h="mx.example.org")
print(query.expand(sys.argv[1]))
END
changed=0
show() {
	perl=$(perl -I root/usr/share/perl5 -I root/usr/lib/x86_64-linux-gnu/perl5/5.36 expand.pl "$1")
	python=$(venv/bin/python expand.py "$1")
	printf '%-7s  pyspf %-10s  Mail::SPF %s\n' "$1" "$python" "$perl"
	[ "$python $perl" = "$2 $3" ] || changed=1
}
show '%{l}' strong-bad strong-bad
show '%{lr-}' bad.strong bad.strong
show '%{l1r-}' strong strong
show '%{l-}' strong.bad strong-bad
exit "$changed"
