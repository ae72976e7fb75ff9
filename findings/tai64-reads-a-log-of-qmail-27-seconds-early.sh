#!/bin/sh
# SPDX-License-Identifier: MIT
# tai64 1.0.0 (npm) reads the time in a log of multilog 27 seconds early.
#
# daemontools' tai64n 0.76 (Debian) stamps a line, and its tai64nlocal and
# tai64converter 0.0.1 (PyPI) read back the second at which that was.  tai64 reads one
# that is 27 seconds before.  If it writes a stamp itself, tai64nlocal shows 27 seconds
# after.
#
# Why it surprises: TAI64 (cr.yp.to/libtai/tai64.html) counts seconds of TAI, which
# today is 37 seconds ahead of UTC, and the package keeps a table of leap seconds for
# this, as the format asks.  The guess was that so does who made the format, or that
# the difference is in neither.  But tai64n adds 10 seconds to the clock of the host, at
# all times, which is right if that clock counts leap seconds, and the clock of no usual
# host does.  What follows the definition does not read what the
# definition's own program writes.
#
# For who compares a log of qmail with t= of a signature or with a Received field: take
# tai64nlocal, or a reader that takes off 10.  (Needs node 20.)
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
apt-get -q -o APT::Sandbox::User=root download daemontools=1:0.76-8.1 >fetch.log
for file in *.deb; do dpkg -x "$file" root; done
npm install --silent --ignore-scripts --no-save tai64@1.0.0 >npm.log
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install tai64converter==0.0.1

cat >read.js <<'END'
const { TAI64 } = require('tai64');

console.log(TAI64.fromHexString(process.argv[2]).toUnix().toString());
END
cat >write.js <<'END'
const { TAI64 } = require('tai64');

console.log(`@${TAI64.fromUnix(Number(process.argv[2])).toHexString()}00000000`);
END
cat >read.py <<'END'
import sys

from tai64converter import Tai64Converter

print(int(Tai64Converter().decode(sys.argv[1]).timestamp()))
END
seconds() { date -u -d "$(printf '%s\n' "$1" | TZ=UTC root/usr/bin/tai64nlocal)" +%s; }

changed=0
before=$(date +%s)
stamp=$(echo | root/usr/bin/tai64n | tr -d ' ')
after=$(date +%s)
local=$(seconds "$stamp")
python=$(venv/bin/python read.py "$stamp")
label=$(printf '%s\n' "$stamp" | cut -c 2-17)
npm=$(node read.js "$label")
printf 'the clock       %s\ntai64nlocal     %s\ntai64converter  %s\ntai64           %s\n' \
	"$before" "$local" "$python" "$npm"
{ [ "$local" -ge "$before" ] && [ "$local" -le "$after" ]; } || changed=1
[ "$python" = "$local" ] && [ "$npm" = "$((local - 27))" ] || changed=1
back=$(seconds "$(node write.js "$before")")
printf 'tai64 writes %s, tai64nlocal reads %s\n' "$before" "$back"
[ "$back" = "$((before + 27))" ] || changed=1
exit "$changed"
