#!/bin/sh
# SPDX-License-Identifier: MIT
# mail-ops-scripts 2.5.2 (PyPI, 2026) says "OK" in DMARC reports of mail that was rejected
# for DMARC, if SPF passed for any domain.
#
# Of a record with the disposition "reject", dkim and spf both "fail", and an SPF pass for
# lists.example.net, which is not the domain in From:, "mailops report" says OK in green.
# With --alerts, which are to be failures and spoofing, it shows nothing, and says that
# all records passed authentication.  It does so, too, if the first of the signatures
# passed for another domain.  dmarc-report 3.1.0 (PyPI) has fail and reject.
#
# Why it surprises: RFC 7489 section 3.1 has a pass count only if its domain is aligned
# with that in From:, and a report says both: auth_results what passed, policy_evaluated
# (appendix C) what came of it with alignment.  SPF alone passes for each list and each
# forwarder that rewrites the sender, and for whoever sends from a domain of his own.
# The guess was that a record with "reject" is at least not OK.  But the tool takes the
# word from auth_results, and looks at the disposition only if nothing passed there.
#
# For who reads reports with it: look for reject and quarantine in what --csv writes.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install mail-ops-scripts==2.5.2 \
	dmarc-report==3.1.0

cat >report.py <<'END'
import contextlib
import io
import sys

from dmarc_report.parser import DMARCParser
from mailops import cli, dmarc_parser

REPORT = """\
<feedback><report_metadata><org_name>Example</org_name><email>dmarc@example.net</email>
<report_id>1</report_id>
<date_range><begin>1795132800</begin><end>1795219199</end></date_range></report_metadata>
<policy_published><domain>example.org</domain><p>reject</p></policy_published>
<record><row><source_ip>192.0.2.1</source_ip><count>3</count>
<policy_evaluated><disposition>reject</disposition><dkim>fail</dkim><spf>fail</spf>
</policy_evaluated></row>
<identifiers><header_from>example.org</header_from></identifiers>
<auth_results>{}</auth_results></record></feedback>
"""
DKIM = "<dkim><domain>{}</domain><selector>s</selector><result>{}</result></dkim>"
SPF = "<spf><domain>{}</domain><result>{}</result></spf>"

dmarc_parser.resolve_ip = str       # nothing is asked of the DNS


def alerts():
    sys.argv = ["mailops", "report", "--alerts", "report.xml"]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        cli.main()
    return "none" if "No security alerts found" in printed.getvalue() else "one"


changed = False
for what, results, expected in (
    ("SPF fails", SPF.format("example.org", "fail"), "BLOCKED (Spoofing), alerts: one"),
    ("SPF passes for lists.example.net", SPF.format("lists.example.net", "pass"),
     "OK, alerts: none"),
    ("a signature of example.net passes",
     DKIM.format("example.net", "pass") + SPF.format("example.org", "fail"),
     "OK, alerts: none"),
):
    with open("report.xml", "w") as file:
        file.write(REPORT.format(results))
    (record,) = dmarc_parser.parse_dmarc_xml("report.xml")
    seen = f"{record['status_msg']}, alerts: {alerts()}"
    evaluated = DMARCParser.parse_file("report.xml").records[0].policy_evaluated
    judged = " ".join(each.value for each in (
        evaluated.dkim, evaluated.spf, evaluated.disposition))
    print(f"{what}\n  dmarc-report  {judged}\n  mailops       {seen}")
    changed |= seen != expected or judged != "fail fail reject"
sys.exit(changed)
END
venv/bin/python report.py
