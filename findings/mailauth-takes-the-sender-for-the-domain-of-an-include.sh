#!/bin/sh
# SPDX-License-Identifier: MIT
# mailauth 4.13.3 (npm) expands %{d} to the sender's domain where the record is that of
# an included domain.
#
# example.org has "v=spf1 include:spf.example.net -all", and spf.example.net has
# "v=spf1 a:hosts.%{d} -all".  mailauth asks for hosts.example.org, finds nothing and
# fails mail from a host that hosts.spf.example.net has; so it does with redirect=.
# pyspf 2.0.14 (PyPI) asks for hosts.spf.example.net, and both let the mail pass if that
# name is written out, or if the record with the macro is the sender's own.
#
# Why it surprises: RFC 7208 section 7.2 has two letters, d for the domain whose record
# is read and o for that of the sender, and the two differ in an included record alone
# (sections 5.2 and 6.1).  The guess was that a package that hands on the domain for "a"
# and "mx" without an argument, which it does, does so for the macro.  But d and o are one
# case there, and whoever tests macros without an include sees no difference.
#
# For who publishes a record that others include: write the domain instead of %{d}.
# (Needs node 20.)
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
npm install --silent --ignore-scripts --no-save mailauth@4.13.3 >npm.log
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install pyspf==2.0.14 dnspython==2.9.2

cat >zone.json <<'END'
{
  "plain.example.org TXT": "v=spf1 include:plain.example.net -all",
  "plain.example.net TXT": "v=spf1 a:hosts.spf.example.net -all",
  "own.example.org TXT": "v=spf1 a:hosts.%{d} -all",
  "hosts.own.example.org A": "192.0.2.1",
  "include.example.org TXT": "v=spf1 include:spf.example.net -all",
  "redirect.example.org TXT": "v=spf1 redirect=spf.example.net",
  "spf.example.net TXT": "v=spf1 a:hosts.%{d} -all",
  "hosts.spf.example.net A": "192.0.2.1"
}
END
cat >check.js <<'END'
const { spf } = require('mailauth/lib/spf');
const zone = require('./zone.json');

const resolver = async (name, type) => {
    const data = zone[`${name} ${type}`];
    if (!data) throw Object.assign(new Error(name), { code: 'ENOTFOUND' });
    return [type === 'TXT' ? [data] : data];
};
const sender = `joe@${process.argv[2]}`;
spf({ sender, ip: '192.0.2.1', helo: 'mx.example.com', mta: 'mx.example.com', resolver }).then(
    ({ status }) => require('node:fs').writeSync(1, `${status.result}\n`));
END
cat >check.py <<'END'
import json
import sys

import spf

with open("zone.json") as file:
    ZONE = json.load(file)


def answer(name, kind, *_, **__):
    data = ZONE.get(f"{name} {kind}")
    text = (data.encode(),) if kind == "TXT" and data else data
    return [((name, kind), text)] if data else []


spf.DNSLookup = answer
print(spf.check2("192.0.2.1", f"joe@{sys.argv[1]}", "mx.example.com")[0])
END

changed=0
show() {
	mailauth=$(node check.js "$1.example.org")
	python=$(venv/bin/python check.py "$1.example.org")
	printf '%-20s  pyspf %s  mailauth %s\n' "$1.example.org" "$python" "$mailauth"
	[ "$python, $mailauth" = "$2" ] || changed=1
}
show plain 'pass, pass'
show own 'pass, pass'
show include 'pass, fail'
show redirect 'pass, fail'
exit "$changed"
