#!/bin/sh
# SPDX-License-Identifier: MIT
# formail 3.22 (Debian procmail) sees one message in an mbox of mblaze's mexport 1.1
# (Debian mblaze), however many there are.
#
# Of a Maildir with three messages, formail -s gets one, which has the other two in its
# body.  mexport writes no empty line between messages.  With one before each "From "
# line, formail gets three.  Python's mailbox reads three from both.  A bounce, with
# "Return-Path: <>", has no sender in that line either: mbox-reader 1.2.0 (npm) has the
# day of the week as its returnPath.
#
# Why it surprises: mbox(5), of qmail as of mutt, has each message end with an empty
# line, as RFC 4155 appendix A does, and mexport's manual promises mboxrd, which differs
# from this in the ">" alone; its messages have those.  The guess was that what differs
# between the two programs is how they quote "From ".  And qmail's mbox(5) has
# MAILER-DAEMON for the sender of a bounce.
#
# For who packs a Maildir of bounces or reports: add the line,
# sed '1!s/^From /\n&/' (GNU), before formail reads it.  (Needs node 20.)
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
for package in mblaze=1.1-1 procmail=3.22-27; do
	apt-get -q -o APT::Sandbox::User=root download "$package" >fetch.log
done
for file in *.deb; do dpkg -x "$file" root; done
npm install --silent --ignore-scripts --no-save mbox-reader@1.2.0 >npm.log

mkdir -p maildir/new
message() {
	printf '%s\n' "Return-Path: <$2>" 'Date: Fri, 20 Nov 2026 10:00:00 +0000' \
		'From: joe@example.org' 'To: jane@example.net' "Subject: $1" '' hello >"maildir/new/$1"
}
message 1 joe@example.org
message 2 ''
message 3 joe@example.org
printf '%s\n' maildir/new/1 maildir/new/2 maildir/new/3 >names
root/usr/bin/mexport <names >exported
sed '1!s/^From /\n&/' exported >separated

cat >read.js <<'END'
const { mboxReader } = require('mbox-reader');

(async () => {
    const senders = [];
    for await (const { returnPath } of mboxReader(process.stdin)) senders.push(returnPath);
    require('node:fs').writeSync(1, `${senders.join(' ')}\n`);
})();
END
cat >count.py <<'END'
import mailbox
import sys

print(len(mailbox.mbox(sys.argv[1])))
END

changed=0
grep '^From ' exported
show() {
	formail=$(root/usr/bin/formail -s sh -c 'cat >/dev/null; echo message' <"$1" | wc -l)
	python=$(python3 count.py "$1")
	printf '%s: formail %s, Python %s\n' "$1" "$formail" "$python"
	[ "$formail $python" = "$2" ] || changed=1
}
show exported '1 3'
show separated '3 3'
senders=$(node read.js <exported)
printf 'returnPath by mbox-reader: %s\n' "$senders"
[ "$senders" = 'joe@example.org Fri joe@example.org' ] || changed=1
exit "$changed"
