#!/bin/sh
# SPDX-License-Identifier: MIT
# mbox-md 0.1.1 (PyPI, 2026) takes dates with "-0000", as qmail writes them, for the local
# time of the machine that it runs on.
#
# It makes a file for each message, and names it by its Date: in the zone that --tz names.
# On a machine in New York, with --tz utc, a message of "30 Nov 2026 03:00:00 -0000" goes
# to 2026-11-30-0800, and one of "+0000", the same moment, to 2026-11-30-0300.  With --tz
# local they are five hours apart, too, on two days, so --since and --until miss some.
# Where the clock is at UTC both are right.
#
# Why it surprises: in RFC 5322 section 3.3 "-0000" is Universal Time as well, and says
# no more than that the sender's zone is not known.  qmail-inject and qmail-send write it
# in each Date: field.  The guess was that a tool that knows zones turns both into one
# moment.  But Python's email.utils.parsedate_to_datetime gives a time without a zone for
# "-0000", and astimezone takes such a time for local: each of the two is documented, and
# together they are hours wrong.
#
# For who files a Mailbox with it: run it with TZ=UTC.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install mbox-md==0.1.1 tzdata==2026.6

for zone in -0000 +0000; do
	printf '%s\n' 'From joe@example.org Mon Nov 30 03:00:00 2026' \
		'Return-Path: <joe@example.org>' "Date: 30 Nov 2026 03:00:00 $zone" \
		"Message-ID: <20261130030000.1$zone@example.org>" 'From: joe@example.org' \
		'To: ann@example.net' "Subject: zone $zone" '' 'hello' ''
done >Mailbox

changed=0
show() {
	rm -rf files
	TZ=$1 venv/bin/mbox-md --quiet --tz "$2" Mailbox files
	seen=
	for zone in -0000 +0000; do
		file=$(grep -rl --include='*.md' -e "zone $zone" files)
		file=${file##*/}
		seen="$seen$zone at $(printf '%.15s' "$file")  "
	done
	printf '%s, --tz %s\n  %s\n' "$1" "$2" "$seen"
	[ "$seen" = "-0000 at $3  +0000 at $4  " ] || changed=1
}
show UTC utc 2026-11-30-0300 2026-11-30-0300
show America/New_York utc 2026-11-30-0800 2026-11-30-0300
show America/New_York local 2026-11-30-0300 2026-11-29-2200
show Asia/Tokyo Europe/Paris 2026-11-29-1900 2026-11-30-0400
exit "$changed"
