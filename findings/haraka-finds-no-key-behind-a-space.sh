#!/bin/sh
# SPDX-License-Identifier: MIT
# haraka-plugin-dkim 1.3.1 (npm) finds no key in a record with a space between
# "p" and "=", and fails a signature with a space between "b" and "=".
#
# "v = DKIM1; k = rsa; p=..." lets a signature pass; "v=DKIM1; p = ..." makes it
# invalid ("no key for signature").  "bh = ...; b=..." passes, "bh=...; b = ..."
# fails.  dkimpy 1.1.8 (PyPI) passes all four.
#
# Why it surprises: RFC 6376 section 3.2 allows white space on both sides of each
# tag's "=".  The plugin takes it in each other tag of both, and behind the "=" of
# these two, since it removes all white space before it reads the tags.  The guess
# was that it does so to all of the record and all of the field; but "p=" is sought
# in the record as it came, and "b=" in the field.
#
# For who publishes keys: write "p=" in one piece.  (Needs node 20.)
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
npm install --silent --ignore-scripts --no-save haraka-plugin-dkim@1.3.1 >npm.log
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install dkimpy==1.1.8 dnspython==2.9.2
openssl genrsa -traditional -out key.pem 1024 2>openssl.log

cat >sign.py <<'END'
import base64
import hashlib
import subprocess
import sys

# The two write no such spaces themselves, so this signs, relaxed/relaxed.
body = base64.b64encode(hashlib.sha256(b"hello\r\n").digest()).decode()
field = ("v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=s; h=from; "
         + sys.argv[1].replace("BODY", body))
hashed = f"from:joe@example.org\r\ndkim-signature:{field}"
signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", "key.pem"],
                           input=hashed.encode(), check=True, capture_output=True).stdout
message = (f"DKIM-Signature: {field}{base64.b64encode(signature).decode()}\r\n"
           "From: joe@example.org\r\n\r\nhello\r\n")
sys.stdout.buffer.write(message.encode())
END
cat >verify.py <<'END'
import sys

import dkim

message = dkim.DKIM(sys.stdin.buffer.read())
print("pass" if message.verify(dnsfunc=lambda *_, **__: sys.argv[1].encode()) else "fail")
END
cat >verify.js <<'END'
// The key comes from here, not from DNS.
require('node:dns').promises.resolveTxt = async () => [[process.argv[2]]];
const { DKIMVerifyStream } = require('haraka-plugin-dkim/lib/dkim');
console.debug = () => {};
const verifier = new DKIMVerifyStream({}, (error, result, [{ error: reason }]) => {
    require('node:fs').writeSync(1, `${result}${reason ? `: ${reason}` : ''}\n`);
    process.exit();     // before a dependency prints what it loaded
});
verifier.end(require('node:fs').readFileSync(0));
END

key=$(openssl rsa -in key.pem -pubout 2>openssl.log | grep -v -- ----- | tr -d '\n')
changed=0
show() {
	record=$1$key
	python3 sign.py "$2" >message
	python=$(venv/bin/python verify.py "$record" <message)
	haraka=$(node verify.js "$record" <message)
	printf 'key record %s..., signature %s...\n  dkimpy %s  Haraka %s\n' \
		"$1" "$2" "$python" "$haraka"
	[ "$python, $haraka" = "pass, $3" ] || changed=1
}
show 'v=DKIM1; p=' 'bh=BODY; b=' pass
show 'v = DKIM1; k = rsa; p= ' 'bh=BODY; b=' pass
show 'v=DKIM1; p = ' 'bh=BODY; b=' 'invalid: no key for signature'
show 'v=DKIM1; p=' 'bh = BODY; b=' pass
show 'v=DKIM1; p=' 'bh=BODY; b =' fail
exit "$changed"
