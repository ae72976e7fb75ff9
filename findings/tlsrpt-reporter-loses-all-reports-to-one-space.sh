#!/bin/sh
# SPDX-License-Identifier: MIT
# tlsrpt-reporter 0.6.0 (PyPI, 2026) sends a domain no TLS report if a space stands
# behind the comma between two addresses.
#
# "v=TLSRPTv1; rua=mailto:tls@example.org,https://example.org/t" has two recipients;
# with ", " between them it has none, not even the first.  So it is with "MAILTO:" for
# one of them, and with an extension before rua=; with one behind it the record is read.
# checkdmarc 6.0.4 (PyPI) reads both addresses in all of them.
#
# Why it surprises: RFC 8460 section 3 allows white space on both sides of the ",", and
# extensions in any place; a scheme may have capitals (RFC 3986 section 3.1).  The
# guess was that a package whose only subject are these reports takes off the space, as
# it does behind the ";", or else drops the one address that it can't read.  It refuses
# the list as a whole, logs that, and writes a report that nobody gets.
#
# For who publishes records: no space behind the comma, small letters, rua= first.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install tlsrpt-reporter==0.6.0 \
	checkdmarc==6.0.4 dnspython==2.9.2

cat >read.py <<'END'
import logging
import sys

from checkdmarc.smtp_tls_reporting import parse_smtp_tls_reporting_record
from tlsrpt_reporter import mapping, utility

BOTH = ["mailto:tls@example.org", "https://example.org/t"]
RECORDS = {
    "v=TLSRPTv1;rua=mailto:tls@example.org,https://example.org/t": BOTH,
    "v=TLSRPTv1; rua=mailto:tls@example.org,https://example.org/t": BOTH,
    "v=TLSRPTv1; rua=mailto:tls@example.org,https://example.org/t; x=y;": BOTH,
    "v=TLSRPTv1; rua=mailto:tls@example.org, https://example.org/t": [],
    "v=TLSRPTv1; rua=MAILTO:tls@example.org,https://example.org/t": [],
    "v=TLSRPTv1; x=y; rua=mailto:tls@example.org,https://example.org/t": [],
}


def recipients(record):
    """As its reportd finds them; it logs these errors, and sends nothing."""
    try:
        found = utility.parse_tlsrpt_record(record)
        return list(mapping.DestinationMap().map_destination("example.org", found, logging))
    except (utility.MalformedTlsrptRecordException, mapping.InvalidDestinationScheme) as error:
        print(f"  tlsrpt-reporter: {type(error).__name__}: {error}")
        return []


changed = False
for record, expected in RECORDS.items():
    print(record)
    seen = recipients(record)
    judged = parse_smtp_tls_reporting_record(record)["tags"]["rua"]["value"]
    print(f"  tlsrpt-reporter: {len(seen)} recipients, checkdmarc: {len(judged)}")
    changed |= seen != expected
    changed |= [judged[0].replace("MAILTO", "mailto"), *judged[1:]] != BOTH
sys.exit(changed)
END
venv/bin/python read.py
