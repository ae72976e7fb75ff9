#!/bin/sh
# SPDX-License-Identifier: MIT
# authres 1.2.0 (PyPI) reads smtp.mailfrom="" and cannot write it again.
#
# The field of a bounce, spf=pass smtp.mailfrom="", is parsed, and the
# property's value is the empty string.  Writing that object raises
# AttributeError: the value is a plain str here, and the writer asks it for
# quote_if_needed, a method of the class that every other value has.
#
# Why it surprises: RFC 8601 section 2.2 lets a value be a quoted string, which
# may be empty (RFC 2045 section 5.1, RFC 5322 section 3.2.4), and an empty
# reverse-path is every bounce's (RFC 5321 section 4.5.5).  One would guess
# that what the parser took, str() gives back.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install --no-deps authres==1.2.0

cat >write.py <<'END'
import sys

import authres

EXPECTED = {
    "smtp.mailfrom=a@example.org": "smtp.mailfrom=a@example.org",
    'smtp.mailfrom="a b"': 'smtp.mailfrom="a b"',
    'smtp.mailfrom=""': "AttributeError",
}
START = "mx.example.net; spf=pass "
changed = False
for given, expected in EXPECTED.items():
    field = authres.AuthenticationResultsHeader.parse_value(START + given)
    read = field.results[0].properties[0].value
    try:
        written = field.header_value().removeprefix(START)
    except AttributeError:
        written = "AttributeError"
    print(f"given {given}  value {read!r}  written {written}")
    changed |= written != expected
sys.exit(changed)
END
venv/bin/python write.py
