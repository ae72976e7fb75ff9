#!/bin/sh
# SPDX-License-Identifier: MIT
# haraka-plugin-spf 1.3.0 (npm) gives permerror to a record with ten look-ups,
# as soon as any term stands behind the tenth.
#
# "v=spf1", nine a: terms and "ip4:192.0.2.1 -all" let mail from 192.0.2.1
# pass.  With ten a: terms it is a permerror, though ip4: and -all look up
# nothing; the mail passes only if an a: itself matches.  pyspf 2.0.14 (PyPI)
# lets all three pass, and gives permerror to eleven.
#
# Why it surprises: RFC 7208 section 4.6.4 limits the terms that cause DNS
# queries to 10, and says that ip4, ip6 and all do not count.  The plugin names
# this section in its source, and its own limit is 10.
#
# For who publishes records: stay at nine look-ups.  (Needs node 20.)
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
npm install --silent --ignore-scripts --no-save haraka-plugin-spf@1.3.0 >npm.log
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install pyspf==2.0.14 dnspython==2.9.2

cat >records.json <<'END'
[["nine, then ip4:", 9, "ip4:192.0.2.1", "pass", "pass"],
 ["ten, the last one matches", 9, "a:match.example.net", "pass", "pass"],
 ["ten, then ip4:", 10, "ip4:192.0.2.1", "pass", "permerror"],
 ["eleven, then ip4:", 11, "ip4:192.0.2.1", "permerror", "permerror"]]
END
cat >check.js <<'END'
const dns = require('node:dns/promises');

let record;
// All names are known here; nothing is asked.
class Resolver {
    async resolve(name, type) {
        if (type === 'TXT') return [[record]];
        if (type !== 'A') throw Object.assign(new Error(), { code: dns.NODATA });
        return [name === 'match.example.net' ? '192.0.2.1' : '198.51.100.1'];
    }
    resolveTxt(name) { return this.resolve(name, 'TXT'); }
    resolve4(name) { return this.resolve(name, 'A'); }
    cancel() {}
}
dns.Resolver = Resolver;
for (const name of ['resolve', 'resolveTxt', 'resolve4'])
    dns[name] = (...given) => new Resolver()[name](...given);
const { SPF } = require('haraka-plugin-spf/lib/spf');
SPF.prototype.log_debug = () => {};

(async () => {
    const results = [];
    for (const text of JSON.parse(process.argv[2])) {
        record = text;
        const check = new SPF();
        const result = await check.check_host('192.0.2.1', 'example.org', 'joe@example.org');
        results.push({ [check.SPF_PASS]: 'pass', [check.SPF_PERMERROR]: 'permerror' }[result]);
    }
    require('node:fs').writeSync(1, JSON.stringify(results));
    process.exit();     // before a dependency prints what it loaded
})();
END
cat >check.py <<'END'
import json
import subprocess
import sys

import spf

LINES = json.load(open("records.json"))
RECORDS = [" ".join(["v=spf1", *(f"a:a{n}.example.net" for n in range(number)), end, "-all"])
           for _, number, end, *_ in LINES]


def by_pyspf(record):
    def look_up(name, kind, *_, **__):
        address = "192.0.2.1" if name == "match.example.net" else "198.51.100.1"
        answers = {"TXT": (record.encode(),), "A": address}
        return [((name, kind), answers[kind])]
    spf.DNSLookup = look_up
    return spf.check2(i="192.0.2.1", s="joe@example.org", h="mail.example.org")[0]


haraka = json.loads(subprocess.run(["node", "check.js", json.dumps(RECORDS)],
                                   check=True, capture_output=True, text=True).stdout)
changed = False
for (name, _, _, *expected), record, by_haraka in zip(LINES, RECORDS, haraka):
    seen = [by_pyspf(record), by_haraka]
    print(f"{name}  pyspf {seen[0]}  Haraka {seen[1]}")
    changed |= seen != expected
sys.exit(changed)
END
venv/bin/python check.py
