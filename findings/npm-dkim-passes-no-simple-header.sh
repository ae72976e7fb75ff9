#!/bin/sh
# SPDX-License-Identifier: MIT
# dkim 0.8.0 (npm) passes no signature whose header is "simple".
#
# Of dkimpy 1.1.8's (PyPI) signatures it passes c=relaxed/relaxed and relaxed/simple, and
# fails simple/simple and simple/relaxed: "Signature did not verify".  With relaxed it
# finds no key in a record that has a tag which it doesn't know, and no signature in a
# field named "dkim-signature".  dkimpy passes all of them.
#
# Why it surprises: RFC 6376 section 3.4.1 has simple change nothing, and section 3.5 has
# it be the default.  The guess was that a verifier that can do the more difficult of
# the two can do this one; a note in its source doubts relaxed, not simple.  But section
# 3.7 has the value of b= removed before the field is hashed, with either, and the package
# removes it where it makes the field relaxed, and nowhere else.  (Unknown tags are
# ignored by section 3.2, and RFC 5322 section 1.2.2 has field names in any case.)
#
# For who signs: relaxed, which qmail-dk does as well, is read by all.  (Needs node 20.)
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
npm install --silent --ignore-scripts --no-save dkim@0.8.0 >npm.log
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install dkimpy==1.1.8 dnspython==2.9.2
openssl genrsa -traditional -out key.pem 1024 2>openssl.log

cat >sign.py <<'END'
import sys

import dkim

MESSAGE = b"From: joe@example.org\r\nSubject: test\r\n\r\nhello\r\n"
how = tuple(sys.argv[1].encode().split(b"/"))
with open("key.pem", "rb") as file:
    field = dkim.sign(MESSAGE, b"s", b"example.org", file.read(), canonicalize=how,
                      include_headers=[b"from", b"subject"])
name, colon, value = field.partition(b":")
sys.stdout.buffer.write(sys.argv[2].encode() + colon + value + MESSAGE)
END
cat >verify.py <<'END'
import sys

import dkim

message = dkim.DKIM(sys.stdin.buffer.read())
print("pass" if message.verify(dnsfunc=lambda *_, **__: sys.argv[1].encode()) else "fail")
END
cat >verify.js <<'END'
// The key comes from here, not from DNS.
const dns = require('node:dns');
dns.resolve = dns.resolveTxt = (...all) => all.pop()(null, [[process.argv[2]]]);
const { readFileSync, writeSync } = require('node:fs');

require('dkim').verify(readFileSync(0), (error, results = []) => {
    const words = results.map((result) => (result.verified ? 'pass' : 'fail'));
    writeSync(1, `${error ? error.message : words.join(' ') || 'no signature'}\n`);
});
END

key=$(openssl rsa -in key.pem -pubout 2>openssl.log | grep -v -- ----- | tr -d '\n')
changed=0
show() {
	record=$3$key
	venv/bin/python sign.py "$1" "$2" >message
	python=$(venv/bin/python verify.py "$record" <message)
	npm=$(node verify.js "$record" <message)
	printf 'c=%s, %s, key record %s...\n  dkimpy  %s\n  dkim    %s\n' \
		"$1" "$2" "$3" "$python" "$npm"
	[ "$python, $npm" = "pass, $4" ] || changed=1
}
show relaxed/relaxed DKIM-Signature 'v=DKIM1; p=' pass
show relaxed/simple DKIM-Signature 'v=DKIM1; p=' pass
show simple/simple DKIM-Signature 'v=DKIM1; p=' fail
show simple/relaxed DKIM-Signature 'v=DKIM1; p=' fail
show relaxed/relaxed dkim-signature 'v=DKIM1; p=' 'no signature'
show relaxed/relaxed DKIM-Signature 'v=DKIM1; x=y; p=' 'No key for signature'
exit "$changed"
