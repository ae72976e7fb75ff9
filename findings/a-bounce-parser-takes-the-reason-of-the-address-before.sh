#!/bin/sh
# SPDX-License-Identifier: MIT
# Mail::DeliveryStatus::BounceParser 1.543 (Debian) gives an address in a bounce of
# qmail the reason of the address before it.
#
# A bounce says that joe@example.net is unknown, and that jane@example.com refused the
# message for its policy.  The parser has "user_unknown" for both, and joe's text as the
# reason of jane.  In a bounce of her own she is "unknown", which means that no reason
# was found.  flufl.bounce 6.0.0 (PyPI) finds the same addresses, and gives no reasons.
#
# Why it surprises: qmail's bounces have a format (QSBMF, cr.yp.to/proto/qsbmf.txt):
# a paragraph for each recipient, which begins with the address and goes on with the
# reason.  The module's documentation names qmail among those that it reads, with
# reports that may be incomplete.  The guess was that a reason that it can't name stays
# "unknown".  But it cuts the text at addresses, and if it can't name what stands behind
# one, it takes what stands before.  Which reason an address has then depends on who
# else failed.
#
# For who runs lists on qmail and takes off members by such reports: a message refused
# for DKIM or DMARC (5.7.1) takes off whoever stands behind an unknown user.  With one
# recipient a message, as VERP has it, this does not happen.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
for package in libmail-deliverystatus-bounceparser-perl=1.543+repacked-1 \
	libmime-tools-perl=5.510-1 libmailtools-perl=2.21-2; do
	apt-get -q -o APT::Sandbox::User=root download "$package" >fetch.log
done
for file in *.deb; do dpkg -x "$file" root; done
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install flufl.bounce==6.0.0

cat >read.pl <<'END'
use strict;
use warnings;
use Mail::DeliveryStatus::BounceParser;

open(my $file, '<', $ARGV[0]) or die;
my $bounce = Mail::DeliveryStatus::BounceParser->new(join '', <$file>);
print join(' ', sort map { $_->get('email') . ' ' . $_->get('std_reason') } $bounce->reports), "\n";
END
cat >read.py <<'END'
import email
import sys

from flufl.bounce import all_failures

with open(sys.argv[1], "rb") as file:
    _, permanent = all_failures(email.message_from_binary_file(file))
print(b" ".join(sorted(permanent)).decode())
END

joe='<joe@example.net>:
192.0.2.1 does not like recipient.
Remote host said: 550 5.1.1 No such user
Giving up on 192.0.2.1.'
jane='<jane@example.com>:
198.51.100.1 failed after I sent the message.
Remote host said: 550 5.7.1 Refused by policy'

write() {
	printf '%s\n' 'Return-Path: <>' 'Date: 20 Nov 2026 10:00:00 -0000' \
		'From: MAILER-DAEMON@mx.example.org' 'To: list-owner@example.org' \
		'Subject: failure notice' '' \
		'Hi. This is the qmail-send program at mx.example.org.' \
		"I'm afraid I wasn't able to deliver your message to the following addresses." \
		"This is a permanent error; I've given up. Sorry it didn't work out." ''
	for of in "$@"; do printf '%s\n\n' "$of"; done
	printf '%s\n' '--- Below this line is a copy of the message.' '' \
		'From: list@example.org' 'Subject: test' '' 'Hello'
}

changed=0
show() {
	perl=$(perl -I root/usr/share/perl5 read.pl bounce)
	python=$(venv/bin/python read.py bounce)
	printf '%s\n  flufl.bounce  %s\n  BounceParser  %s\n' "$1" "$python" "$perl"
	[ "$python" = "$2" ] && [ "$perl" = "$3" ] || changed=1
}
write "$jane" >bounce
show 'jane alone' jane@example.com 'jane@example.com unknown'
write "$joe" "$jane" >bounce
show 'jane behind joe' 'jane@example.com joe@example.net' \
	'jane@example.com user_unknown joe@example.net user_unknown'
write "$jane" "$joe" >bounce
show 'jane before joe' 'jane@example.com joe@example.net' \
	'jane@example.com unknown joe@example.net user_unknown'
exit "$changed"
