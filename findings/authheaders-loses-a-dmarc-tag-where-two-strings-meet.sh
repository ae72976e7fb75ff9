#!/bin/sh
# SPDX-License-Identifier: MIT
# authheaders 0.16.3 (PyPI) does not join the strings of a DMARC record, and
# tinydns-data 1.05 (Debian tinydns) makes two of any text over 127 bytes.
#
# Here the 128th byte of the record is within "sp=quarantine": authheaders reads
# sp as 'quar" "antine', which is no policy.  If it is in the name of a tag, this
# tag is lost.  dmarc 1.2.1 (PyPI) reads sp=quarantine in the same answer.
#
# Why it surprises: RFC 9989 section 4.5 has the strings of a record joined,
# and authheaders takes DKIM keys through dkimpy, which joins them.  One would
# guess that a text of up to 255 bytes is one string anyway, as this is what a
# string holds (RFC 1035 section 3.3).
#
# For who publishes records by tinydns: keep them under 128 bytes, or have the
# 128th byte in the addresses of rua=.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
apt-get -q -o APT::Sandbox::User=root download tinydns=1:1.05-15+b2 >fetch.log
for file in *.deb; do dpkg -x "$file" root; done
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install authheaders==0.16.3 dmarc==1.2.1

cat >read.py <<'END'
import re
import subprocess
import sys

import dns.rrset
import dmarc.resolver
from authheaders import dmarc_lookup

NAME = "_dmarc.example.org"
RECORD = ("v=DMARC1; p=reject; rua=mailto:dmarc-reports@example.org; "
          "ruf=mailto:dmarc-failures@example.org; fo=1; adkim=s; aspf=s; sp=quarantine")


def served(text):
    """The strings that tinydns serves for the text, as a dnspython RRset."""
    with open("data", "w") as data:
        text = text.replace(":", r"\072")
        data.write(f".example.org:192.0.2.1:a\n'{NAME}:{text}:3600\n")
    subprocess.run(["root/usr/sbin/tinydns-data"], check=True)
    answer = subprocess.run(["root/usr/bin/tinydns-get", "txt", NAME],
                            check=True, capture_output=True, text=True).stdout
    shown = re.search(r"^answer: \S+ 3600 16 (.*)$", answer, re.M).group(1)
    rest = re.sub(r"\\(...)", lambda octal: chr(int(octal.group(1), 8)), shown)
    strings = []
    while rest:
        end = 1 + ord(rest[0])
        strings.append('"' + rest[1:end] + '"')
        rest = rest[end:]
    return dns.rrset.from_text(NAME, 3600, "IN", "TXT", " ".join(strings))


changed = False
# Without fo= it is one string.
for text, expected in ((RECORD, ('quar" "antine', "quarantine")),
                       (RECORD.replace("fo=1; ", ""), ("quarantine", "quarantine"))):
    answer = served(text)
    dmarc_lookup.resolve = lambda name, kind, answer=answer: answer
    by_authheaders = dmarc_lookup.lookup_receiver_record("example.org")["sp"]
    by_dmarc = dmarc.DMARC().parse_record(
        record=dmarc.resolver.response(answer), domain="example.org").sp.value
    print(f"{answer[0]}\n  sp: authheaders {by_authheaders}  dmarc {by_dmarc}")
    changed |= (by_authheaders, by_dmarc) != expected
sys.exit(changed)
END
venv/bin/python read.py
