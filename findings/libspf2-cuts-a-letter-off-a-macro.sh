#!/bin/sh
# SPDX-License-Identifier: MIT
# libspf2 1.2.10 (Debian libspf2-2) loses the first letter of a macro that asks
# for all labels of a domain, or for more.
#
# For mail from email.example.com it expands %{d2} to example.com, but %{d3} and
# %{d4} to mail.example.com: "exists:%{d3}.x.example.net" looks up the name of
# another domain.  pyspf 2.0.14 (PyPI) expands both to email.example.com.
#
# Why it surprises: RFC 7208 section 7.3 has a number that exceeds the labels
# mean all of them, and section 7.4 lists these very expansions.  %{d2} for a
# domain of two labels is the usual case in records.  One would guess that a
# library of mail servers does the examples of its RFC.
#
# For who publishes records: write %{d} where all labels are meant.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 1' HUP INT TERM
cd "$place"
apt-get -q -o APT::Sandbox::User=root download libspf2-2=1.2.10-7.2+b1 >fetch.log
for file in *.deb; do dpkg -x "$file" root; done
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install pyspf==2.0.14 dnspython==2.9.2

cat >expand.py <<'END'
import ctypes
import glob
import sys

import spf

SENDER = "strong-bad@email.example.com"
# macro: its expansion in RFC 7208 section 7.4, and libspf2's
MACROS = {
    "d": ("email.example.com", "email.example.com"),
    "d4": ("email.example.com", "mail.example.com"),
    "d3": ("email.example.com", "mail.example.com"),
    "d2": ("example.com", "example.com"),
    "d1": ("com", "com"),
}
A, TXT = 1, 16
libspf2 = ctypes.CDLL(*glob.glob("root/usr/lib/**/libspf2.so.2", recursive=True))
pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
for function, result, *arguments in (
        ("SPF_dns_zone_new", pointer, pointer, text, number),
        ("SPF_dns_zone_add_str", number, pointer, text, number, number, text),
        ("SPF_server_new_dns", pointer, pointer, number),
        ("SPF_server_set_rec_dom", number, pointer, text),
        ("SPF_request_new", pointer, pointer),
        ("SPF_request_set_ipv4_str", number, pointer, text),
        ("SPF_request_set_env_from", number, pointer, text),
        ("SPF_request_query_mailfrom", number, pointer, ctypes.POINTER(pointer)),
        ("SPF_response_result", number, pointer),
        ("SPF_strresult", text, number)):
    getattr(libspf2, function).argtypes = arguments
    getattr(libspf2, function).restype = result


def by_libspf2(record, name):
    """Whether the record lets SENDER pass if name has an address; no DNS is asked."""
    zone = libspf2.SPF_dns_zone_new(None, b"zone", 0)
    libspf2.SPF_dns_zone_add_str(zone, b"email.example.com", TXT, 0, record.encode())
    libspf2.SPF_dns_zone_add_str(zone, name.encode(), A, 0, b"127.0.0.2")
    server = libspf2.SPF_server_new_dns(zone, 0)
    libspf2.SPF_server_set_rec_dom(server, b"mx.example.net")
    request = libspf2.SPF_request_new(server)
    libspf2.SPF_request_set_ipv4_str(request, b"192.0.2.3")
    libspf2.SPF_request_set_env_from(request, SENDER.encode())
    response = pointer()
    libspf2.SPF_request_query_mailfrom(request, ctypes.byref(response))
    return libspf2.SPF_strresult(libspf2.SPF_response_result(response)) == b"pass"


def by_pyspf(record, name):
    """The same by pyspf."""
    answers = {("email.example.com", "TXT"): (record.encode(),), (name, "A"): "127.0.0.2"}
    spf.DNSLookup = lambda asked, kind, *_, **__: [
        (key, value) for key, value in answers.items() if key == (asked.lower(), kind)]
    return spf.check2(i="192.0.2.3", s=SENDER, h="mx.example.org")[0] == "pass"


changed = False
for macro, expected in MACROS.items():
    record = f"v=spf1 exists:%{{{macro}}}.x.example.net -all"
    seen = []
    for check in (by_pyspf, by_libspf2):
        seen += [name for name in ("email.example.com", "mail.example.com", "example.com", "com")
                 if check(record, name + ".x.example.net")]
    print(f"%{{{macro}}}  pyspf {seen[0]}  libspf2 {seen[-1]}")
    changed |= tuple(seen) != expected
sys.exit(changed)
END
venv/bin/python expand.py
