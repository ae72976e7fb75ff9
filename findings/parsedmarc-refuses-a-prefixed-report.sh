#!/bin/sh
# SPDX-License-Identifier: MIT
# parsedmarc 11.1.0 (PyPI) reads no aggregate report whose namespace has a
# prefix.
#
# The same report is read with xmlns="urn:ietf:params:xml:ns:dmarc-2.0" and
# plain names, and refused ("Missing field: 'feedback'") with
# xmlns:d="urn:ietf:params:xml:ns:dmarc-2.0" and d:feedback, d:record ...
#
# Why it surprises: RFC 9990 gives the format a namespace and nothing says that
# it must be the default one; to XML the two files have the same names.  This release
# reads the new format and gives the namespace back (xml_namespace), so one
# would guess that it compares names by namespace, not by how they are written.
#
# For who writes reports: declare the namespace as the default one.  Python's
# xml.etree writes ns0: unless told otherwise (register_namespace("", ...)).
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
import xml.etree.ElementTree as ElementTree

import parsedmarc

NAMESPACE = "urn:ietf:params:xml:ns:dmarc-2.0"
REPORT = f"""<feedback xmlns="{NAMESPACE}"><version>1.0</version>
<report_metadata><org_name>example.net</org_name>
<email>reports@example.net</email><report_id>20260101.1</report_id>
<date_range><begin>1767225600</begin><end>1767311999</end></date_range>
</report_metadata>
<policy_published><domain>example.org</domain><p>none</p></policy_published>
<record><row><source_ip>192.0.2.1</source_ip><count>1</count>
<policy_evaluated><disposition>none</disposition><dkim>pass</dkim>
<spf>fail</spf></policy_evaluated></row>
<identifiers><header_from>example.org</header_from></identifiers>
<auth_results><dkim><domain>example.org</domain><selector>s</selector>
<result>pass</result></dkim></auth_results></record></feedback>"""


def read(text):
    try:
        report = parsedmarc.parse_aggregate_report_xml(text, offline=True)
    except parsedmarc.InvalidAggregateReport as error:
        return f"refused: {error}"
    return f"read: {len(report['records'])} record"


logging.disable(logging.CRITICAL)
# ElementTree itself writes the prefix ns0: to what it read without one.
prefixed = ElementTree.tostring(ElementTree.fromstring(REPORT), "unicode")
assert prefixed.startswith("<ns0:feedback ")
plain, other = read(REPORT), read(prefixed)
print(f"default namespace  {plain}")
print(f"prefix ns0:        {other}")
sys.exit(plain != "read: 1 record" or other != "refused: Missing field: 'feedback'")
END
"$place/venv/bin/python" "$place/read.py"
