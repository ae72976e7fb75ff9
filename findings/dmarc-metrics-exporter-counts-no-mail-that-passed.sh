#!/bin/sh
# SPDX-License-Identifier: MIT
# dmarc-metrics-exporter 1.3.1 (PyPI, 2026) drops a report of RFC 9990 at the first record
# whose disposition is "pass".
#
# It counts three records with the dispositions none, quarantine and reject.  With "pass"
# for one of them it raises KeyError there: the records before are counted, that one
# and those behind it are not.  The program moves the message to the folder for errors, and
# has already noted the report as seen, so that it is passed over if it comes again.
# dmarc-report 3.1.0 (PyPI) reads all of them.
#
# Why it surprises: RFC 9990 has four words for the disposition, where RFC 7489 had three:
# "pass" is for mail that passed DMARC.  The package has a model of the new format, with
# the four words.  The guess was that what the model has can be counted.  But a table of
# three translates them to the words of the metric, and lacks the one that most mail of
# a domain in good order has.
#
# For who watches reports with it: look into the folder for errors.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install dmarc-metrics-exporter==1.3.1 \
	xsdata==26.10 dmarc-report==3.1.0

cat >read.py <<'END'
import sys
from email.message import EmailMessage

from dmarc_metrics_exporter import deserialization
from dmarc_report.parser import DMARCParser

REPORT = """\
<feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0">
<version>1.0</version>
<report_metadata><org_name>Example</org_name><email>dmarc@example.net</email>
<report_id>1</report_id>
<date_range><begin>1795132800</begin><end>1795219199</end></date_range></report_metadata>
<policy_published><domain>example.org</domain><p>reject</p></policy_published>
{}</feedback>
"""
RECORD = """\
<record><row><source_ip>192.0.2.1</source_ip><count>3</count>
<policy_evaluated><disposition>{}</disposition><dkim>{}</dkim><spf>fail</spf>
</policy_evaluated></row>
<identifiers><header_from>example.org</header_from>
<envelope_from>example.org</envelope_from></identifiers>
<auth_results><dkim><domain>example.org</domain><selector>s</selector>
<result>{}</result></dkim></auth_results></record>
"""


def counted(report):
    """The dispositions that are counted before the first error, and its name."""
    message = EmailMessage()
    message.add_attachment(report, maintype="text", subtype="xml", filename="report.xml")
    seen = []
    try:
        for feedback in deserialization.get_aggregate_report_from_email(message):
            for event in deserialization.convert_to_events(feedback):
                seen.append(event.result.disposition.value)
    except KeyError as error:
        seen.append(type(error).__name__)
    return " ".join(seen)


changed = False
for dispositions, expected in {
    "none quarantine reject": "none quarantine reject",
    "none pass reject": "none KeyError",
    "pass": "KeyError",
}.items():
    records = []
    for word in dispositions.split():
        dkim = "fail" if word in ("quarantine", "reject") else "pass"
        records.append(RECORD.format(word, dkim, dkim))
    report = REPORT.format("".join(records)).encode()
    with open("report.xml", "wb") as file:
        file.write(report)
    parsed = DMARCParser.parse_file("report.xml").records
    judged = " ".join(record.policy_evaluated.disposition.value for record in parsed)
    seen = counted(report)
    print(f"{dispositions}\n  dmarc-report            {judged}\n  dmarc-metrics-exporter  {seen}")
    changed |= judged != dispositions or seen != expected
sys.exit(changed)
END
venv/bin/python read.py
