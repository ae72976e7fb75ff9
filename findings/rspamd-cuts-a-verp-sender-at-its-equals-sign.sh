#!/bin/sh
# SPDX-License-Identifier: MIT
# rspamd 3.4 (Debian rspamd) cuts the sender of a list's message at its "=", of results in
# an ARC-Authentication-Results field, and reads nothing behind it or behind a quote.
#
# Of "spf=pass smtp.mailfrom=list-joe=example.net@example.org smtp.helo=..." its
# parse_ar_element takes the status and "list-joe".  If dmarc=pass has a reason in quotes,
# and header.from= behind that, it takes the status alone; so it does of an IPv6 address
# in quotes.  authres 1.2.0 (PyPI) wrote all of these, and reads back what it wrote.
#
# Why it surprises: RFC 8601 section 2.2 lets an address be the value of a property as it
# is, with a "=" in its local part, as VERP has (cr.yp.to/proto/verp.txt) and SRS; it has
# a reason be a value, before the properties.  The ARC field has the same (RFC 8617 section
# 4.1.1).  rspamd's grammar has a rule for quoted strings, and the guess was that they are
# for values, and that a value ends at a space.  But it ends at a "=" as a name does, and
# a quoted string may only stand alone, where the format has none.
#
# For who reads its log or uses its parser: the status is right, as it stands first, and
# it is all that the arc module counts; domains and addresses may be lacking or cut.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
for package in rspamd=3.4-1 libhyperscan5=5.4.0-2 \
	libluajit-5.1-2=2.1.0~beta3+git20220320+dfsg-4.1+deb12u1; do
	apt-get -q -o APT::Sandbox::User=root download "$package" >fetch.log
done
for file in *.deb; do dpkg -x "$file" root; done
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install --no-deps authres==1.2.0
export LD_LIBRARY_PATH="$place/root/usr/lib/x86_64-linux-gnu:$place/root/usr/lib/rspamd"

cat >write.py <<'END'
import sys

import authres

method, reason, *values = sys.argv[1:]
properties = []
for word in values:
    name, _, value = word.partition("=")
    properties.append(authres.AuthenticationResultProperty(*name.split("."), value))
result = authres.AuthenticationResult(method, result="pass", reason=reason or None,
                                      properties=properties)
text = str(authres.AuthenticationResultsHeader("mx.example.net", results=[result]))
(read,) = authres.AuthenticationResultsHeader.parse(text).results
if [item.value for item in read.properties] != [item.value for item in properties]:
    raise SystemExit("authres does not read what it wrote: " + text)
text = text.partition(":")[2]
print(text.partition(";")[2].strip())
END
cat >read.lua <<'END'
local parse = require("lua_auth_results").parse_ar_element
for element in io.lines("elements") do
  local seen = {}
  for name, value in pairs(parse(element)) do
    seen[#seen + 1] = name .. "=" .. value
  end
  table.sort(seen)
  print(table.concat(seen, " "))
end
END

changed=0
show() {
	expected=$1
	shift
	venv/bin/python write.py "$@" >elements
	seen=$(root/usr/bin/rspamadm --var=LUALIBDIR="$place/root/usr/share/rspamd/lualib" \
		lua -b read.lua)
	printf '%s\n  rspamd: %s\n' "$(cat elements)" "$seen"
	[ "$seen" = "$expected" ] || changed=1
}
show 'smtp.helo=a.example.org smtp.mailfrom=list@example.org spf=pass' \
	spf '' smtp.mailfrom=list@example.org smtp.helo=a.example.org
show 'smtp.mailfrom=list-joe spf=pass' \
	spf '' smtp.mailfrom=list-joe=example.net@example.org smtp.helo=a.example.org
show 'dmarc=pass header.from=example.org' dmarc '' header.from=example.org
show 'dmarc=pass' dmarc 'aligned signature' header.from=example.org
show 'iprev=pass' iprev '' policy.iprev=2001:db8::1
exit "$changed"
