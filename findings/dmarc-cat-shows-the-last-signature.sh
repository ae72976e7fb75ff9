#!/bin/sh
# SPDX-License-Identifier: MIT
# dmarc-cat 0.15.0 (Debian dmarc-cat) shows mail that DMARC passed by DKIM as not
# passed, if it had two signatures and the one that failed is reported last.
#
# A report says of three messages, with an RSA and an Ed25519 signature each, that DKIM
# passed (policy_evaluated), that the RSA signature did and that the other was neutral.
# The column RDKIM is "neutral" if the Ed25519 signature comes last, "pass" if it comes
# first.  dmarc-report 3.1.0 (PyPI) shows both files as passed.
#
# Why it surprises: RFC 9990 lists all signatures in auth_results, without an order, and
# has the result that counts in policy_evaluated.  The guess was that a table with one
# word for DKIM takes it from there, or takes the best, or the first.  It is the last of
# the list, and no line says that there were others.
#
# For who signs twice, as with Ed25519 beside RSA (RFC 8463 section 3): many receivers
# don't know the second algorithm, and their reports look like failures here.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
apt-get -q -o APT::Sandbox::User=root download dmarc-cat=0.15.0-1+b4 >fetch.log
for file in *.deb; do dpkg -x "$file" root; done
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install dmarc-report==3.1.0

# selector=result of each signature -> a report
write() {
	cat <<END
<feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0">
<version>1.0</version>
<report_metadata><org_name>Example</org_name><email>dmarc@example.net</email>
<report_id>1</report_id>
<date_range><begin>1795132800</begin><end>1795219199</end></date_range></report_metadata>
<policy_published><domain>example.org</domain><p>none</p></policy_published>
<record><row><source_ip>192.0.2.1</source_ip><count>3</count>
<policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>pass</spf>
</policy_evaluated></row>
<identifiers><header_from>example.org</header_from>
<envelope_from>example.org</envelope_from></identifiers>
<auth_results>
END
	for of in $1; do
		printf '<dkim><domain>example.org</domain><selector>%s</selector><result>%s</result></dkim>\n' \
			"${of%=*}" "${of#*=}"
	done
	printf '<spf><domain>example.org</domain><result>pass</result></spf>\n'
	printf '</auth_results></record></feedback>\n'
}

cat >read.py <<'END'
import sys

from dmarc_report.parser import DMARCParser

(record,) = DMARCParser.parse_file(sys.argv[1]).records
print(record.policy_evaluated.dkim.value, record.policy_evaluated.spf.value)
END

changed=0
name='example.net!example.org!1795132800!1795219199.xml'
show() {
	write "$1" >"$name"
	cat=$(root/usr/bin/dmarc-cat -N "$name" | awk '$1 == "192.0.2.1" { print $5, $6 }')
	report=$(venv/bin/python read.py "$name")
	printf '%s\n  dmarc-report  %s\n  dmarc-cat     %s\n' "$1" "$report" "$cat"
	[ "$report, $cat" = "pass pass, $2" ] || changed=1
}
show 'rsa=pass' 'pass pass'
show 'ed=neutral rsa=pass' 'pass pass'
show 'rsa=pass ed=neutral' 'neutral pass'
exit "$changed"
