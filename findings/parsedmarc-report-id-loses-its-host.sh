#!/bin/sh
# SPDX-License-Identifier: MIT
# parsedmarc 11.1.0 (PyPI) cuts a report_id at its "@".
#
# An aggregate report whose <report_id> is 20260101.1@example.net is read as
# the report 20260101.1; the part from the "@" on is in no other field.  An
# identifier in angle brackets loses them too.
#
# Why it surprises: RFC 9990 has the generator choose a Report-ID that is
# unique, and a receiver tells duplicates apart by it.  One would guess that a
# reader hands on the text of the element as it stands: the form local@host,
# as in a Message-ID, is the usual way to make a name unique.  Two reports that
# differ only behind the "@" have one name after parsedmarc.
#
# For who writes reports: keep what makes the identifier unique before any "@",
# or write none.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
python3 -m venv "$place/venv"
"$place/venv/bin/pip" -q --disable-pip-version-check install \
	parsedmarc==11.1.0 xmltodict==1.0.4

cat >"$place/read.py" <<'END'
import logging
import sys

import parsedmarc

REPORT = """<?xml version="1.0" encoding="UTF-8"?>
<feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0"><version>1.0</version>
<report_metadata><org_name>example.net</org_name>
<email>reports@example.net</email><report_id>%s</report_id>
<date_range><begin>1767225600</begin><end>1767311999</end></date_range>
</report_metadata>
<policy_published><domain>example.org</domain><p>none</p></policy_published>
<record><row><source_ip>192.0.2.1</source_ip><count>1</count>
<policy_evaluated><disposition>none</disposition><dkim>pass</dkim>
<spf>fail</spf></policy_evaluated></row>
<identifiers><header_from>example.org</header_from></identifiers>
<auth_results><dkim><domain>example.org</domain><selector>s</selector>
<result>pass</result></dkim></auth_results></record></feedback>"""

EXPECTED = {
    "20260101.1": "20260101.1",
    "20260101.1@example.net": "20260101.1",
    "20260101.1@example.com": "20260101.1",
    "&lt;20260101.1@example.net&gt;": "20260101.1",
}

logging.disable(logging.CRITICAL)
changed = False
for written, expected in EXPECTED.items():
    report = parsedmarc.parse_aggregate_report_xml(REPORT % written, offline=True)
    read = report["report_metadata"]["report_id"]
    print(f"written {written}  read {read}")
    changed |= read != expected
sys.exit(changed)
END
"$place/venv/bin/python" "$place/read.py"
