#!/bin/sh
# SPDX-License-Identifier: MIT
# DMARCReporting 0.3.1 (PyPI, 2026) shows "pass" under DKIM Auth for mail without a
# signature.
#
# It lists the records of DMARC reports in which something failed.  Of one for mail that
# nobody signed it shows "DKIM Align fail, DKIM Auth pass", as of one for mail with a good
# signature of another domain.  With <result>none</result> in the record it shows "none".
#
# Why it surprises: mail without a signature has no dkim element, of which RFC 7489
# appendix C (RFC 9990, too) allows none or more, and many reports have it so.  The tool
# is there to figure out errors, and a host that does not sign is the first one to look
# for.  The guess was an empty column, or "none".  But it takes the first result that is
# not pass, and "pass" if there is none of these.
#
# For who reads reports with it: "Align fail, Auth pass" may be unsigned mail.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install dmarcreporting==0.3.1 lxml==6.1.3 \
	tabulate==0.10.0

cat >read.py <<'END'
import io
import sys

from DMARCReporting import constants, parser

REPORT = """\
<feedback><report_metadata><org_name>Example</org_name><email>dmarc@example.net</email>
<report_id>1</report_id>
<date_range><begin>1795132800</begin><end>1795219199</end></date_range></report_metadata>
<policy_published><domain>example.org</domain><p>none</p></policy_published>
<record><row><source_ip>192.0.2.1</source_ip><count>3</count>
<policy_evaluated><disposition>none</disposition><dkim>fail</dkim><spf>pass</spf>
</policy_evaluated></row>
<identifiers><header_from>example.org</header_from></identifiers>
<auth_results>{}<spf><domain>example.org</domain><result>pass</result></spf></auth_results>
</record></feedback>
"""
DKIM = "<dkim><domain>{}</domain><selector>s</selector><result>{}</result></dkim>"


class Names:
    """Nothing is asked of the DNS."""

    def reverse_name(self, address):
        return address


changed = False
for what, dkim, expected in (
    ("no signature", "", "fail pass"),
    ("no signature, and the report says so", DKIM.format("example.org", "none"), "fail none"),
    ("a bad signature", DKIM.format("example.org", "fail"), "fail fail"),
    ("a good signature of another domain", DKIM.format("example.net", "pass"), "fail pass"),
):
    (record,) = parser.DMARCRuaParser(Names()).parse(io.BytesIO(REPORT.format(dkim).encode()))
    row = dict(zip(constants.headers, record))
    print(f"{what}\n  DKIM Align {row['DKIM Align']}, DKIM Auth {row['DKIM Auth']}")
    changed |= f"{row['DKIM Align']} {row['DKIM Auth']}" != expected
sys.exit(changed)
END
venv/bin/python read.py
