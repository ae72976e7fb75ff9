#!/bin/sh
# SPDX-License-Identifier: MIT
# dmarc-report-parser 0.1.5 (npm) refuses a report as soon as one of its records says why
# the policy was not applied.
#
# A report of RFC 7489's format is read, and so is one with two signatures.  With one
# <reason>, alone or with a comment, it is an error, "Expected ... received array", and
# no record of the report is read.  dmarc-report 3.1.0 (PyPI) reads all of them.
#
# Why it surprises: RFC 7489 appendix C has any number of reasons in a record, and
# receivers write them for mailing lists and forwarders; the package has all six kinds
# of reason in its own schema.  The guess was that it reads one, and at worst stops at a
# second.  But its XML reader makes a list of every element, the schema takes the list
# off again, and forgets to do so within a reason.
#
# For who reads reports with it: those with forwarded mail are missing, and only these;
# look for its errors before you trust its sums.  (Needs node 20.)
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
npm install --silent --ignore-scripts --no-save dmarc-report-parser@0.1.5 >npm.log
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install dmarc-report==3.1.0

write() {
	cat <<END
<feedback><version>1.0</version>
<report_metadata><org_name>Example</org_name><email>dmarc@example.net</email>
<report_id>1</report_id>
<date_range><begin>1795132800</begin><end>1795219199</end></date_range></report_metadata>
<policy_published><domain>example.org</domain><p>reject</p></policy_published>
<record><row><source_ip>192.0.2.1</source_ip><count>3</count>
<policy_evaluated><disposition>none</disposition><dkim>fail</dkim><spf>fail</spf>$1
</policy_evaluated></row>
<identifiers><header_from>example.org</header_from></identifiers>
<auth_results>$2<spf><domain>example.org</domain><result>fail</result></spf>
</auth_results></record></feedback>
END
}

cat >read.js <<'END'
const { parseDmarcReportsFromXml } = require('dmarc-report-parser');
const { readFileSync, writeSync } = require('node:fs');

parseDmarcReportsFromXml([readFileSync('report.xml')]).then(
    ({ reports }) => writeSync(1, `${reports[0].record.length} record\n`),
    (error) => writeSync(1, `${JSON.parse(error.message)[0].path.filter(isNaN).join('.')}\n`));
END
cat >read.py <<'END'
from dmarc_report.parser import DMARCParser

print(len(DMARCParser.parse_file("report.xml").records), "record")
END

changed=0
show() {
	write "$2" "$3" >report.xml
	python=$(venv/bin/python read.py)
	npm=$(node read.js)
	printf '%s\n  dmarc-report         %s\n  dmarc-report-parser  %s\n' "$1" "$python" "$npm"
	[ "$python" = '1 record' ] && [ "$npm" = "$4" ] || changed=1
}
key() { printf '<dkim><domain>example.org</domain><result>%s</result></dkim>' "$1"; }
refused=record.row.policy_evaluated.reason.type
show 'no reason' '' '' '1 record'
show 'two signatures' '' "$(key fail)$(key neutral)" '1 record'
show 'a reason' '<reason><type>mailing_list</type></reason>' '' "$refused"
show 'a reason, with a comment' \
	'<reason><type>local_policy</type><comment>arc=pass</comment></reason>' '' "$refused"
exit "$changed"
