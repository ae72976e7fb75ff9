#!/bin/sh
# SPDX-License-Identifier: MIT
# Mail::Verp 0.06 (Debian libmail-verp-perl) finds another recipient in the address that
# it wrote, if the sender has a "-".
#
# For list@lists.example.org and joe@example.net it writes
# list-joe=example.net@lists.example.org, and reads both from that.  For list-owner@ it
# writes list-owner-joe=example.net@, and reads list@ and owner-joe@example.net.  With
# "+" as its separator it reads what it wrote.
#
# Why it surprises: VERP (cr.yp.to/proto/verp.txt, which the module refers to) comes from
# qmail, where the usual sender of a list is list-owner, or list-return-5 with ezmlm, and
# the "-" is the module's default.  It writes a "-" of the recipient as "+2D", so
# the last "-" is always the one between the two.  The guess was that it reads from
# there.  But it takes the first.
#
# For who handles bounces of qmail's lists by it: all are of members that the list does
# not have.  Take the address from qmail-local instead: for .qmail-list-owner-default,
# $DEFAULT is the member's, with "=" for the "@".
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
apt-get -q -o APT::Sandbox::User=root download libmail-verp-perl=0.06+dfsg-4 >fetch.log
for file in *.deb; do dpkg -x "$file" root; done

cat >verp.pl <<'END'
use strict;
use warnings;
use Mail::Verp;

my ($separator, $sender, $recipient) = @ARGV;
my $verp = Mail::Verp->new(separator => $separator);
my $address = $verp->encode($sender, $recipient);
print join(' ', $address, $verp->decode($address)), "\n";
END

changed=0
show() {
	# shellcheck disable=SC2046 # three words
	set -- "$4" "$2 $3" $(perl -I root/usr/share/perl5 verp.pl "$1" "$2" "$3")
	printf '%s\n  written  %s\n  read     %s %s\n' "$2" "$3" "$4" "$5"
	[ "$4 $5" = "$1" ] || changed=1
}
lists=lists.example.org
show - "list@$lists" joe@example.net "list@$lists joe@example.net"
show - "list@$lists" joe-x@example.net "list@$lists joe-x@example.net"
show - "list-owner@$lists" joe@example.net "list@$lists owner-joe@example.net"
show - "list-return-5@$lists" joe@example.net "list@$lists return-5-joe@example.net"
show + "list-owner@$lists" joe@example.net "list-owner@$lists joe@example.net"
exit "$changed"
