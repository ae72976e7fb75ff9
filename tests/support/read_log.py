# SPDX-License-Identifier: MIT
"""Logs, and what qmail-dk log makes of them."""

import collections
import json
import shutil
import subprocess

import pytest

SIGNED = ("signed: dkim d=example.com s=s1 a=rsa-sha256, domainkeys d=example.com s=s1 a=rsa-sha1; "
          "host=mx.example.net sender=<joe@example.com> recipient=<jane@example.net>")
VERIFIED = ("qp 4711 accepted: good (A); dkim=pass d=example.com s=s1; "
            "domainkeys=pass d=example.com s=s1; dns 0.021 s")
CLASSIC = "Nov 29 18:20:01 mail "
ISO = "2026-11-29T18:20:01.123456+01:00 mail "
TAI64N = "@40000000692b3c5d0a0b0c0d "

# An independent count of signed lines, and of verdicts, by domain; for syslog or multilog.
MAWK = r"""
/^[A-Z@0-9][^\]:]*:?[^\]]* ?qmail-(remote-dk|rspawn)\[[0-9]+\]: signed: / {
    split($0, at, "; host="); n = split(at[1], part, " d=")
    split("", seen)
    for (i = 2; i <= n; i++) {
        split(part[i], word, " ")
        if (!(word[1] in seen)) { seen[word[1]] = 1; print "signed", word[1] }
    }
}
/qmail-qfilter-verify: qp [0-9]+ (accepted|rejected|deferred): / {
    match($0, /qp [0-9]+ [a-z]+/); split(substr($0, RSTART, RLENGTH), word, " ")
    print "received", word[3]
}
"""


class Log:
    """A log of an administrator's host.  admin: administrator.Administrator"""

    def __init__(self, admin):
        self.admin = admin
        self.path = admin.directory / "mail.log"

    def write(self, *lines, head=CLASSIC, name=None):
        """Writes lines (str, or bytes as they are), with a head.  Returns the path."""
        path = self.admin.directory / name if name else self.path
        path.write_bytes(b"".join(line if isinstance(line, bytes) else
                                  (head + line + "\n").encode() for line in lines))
        return path

    def sums(self, *arguments, code=0):
        """Returns what log --json says of the file, or of arguments."""
        done = self.admin.run("log", "--json", *(arguments or (self.path,)))
        assert done.returncode == code, done.stderr
        assert bool(done.stderr) == bool(code)
        return json.loads(done.stdout)


def rows(part):
    """Returns a part of the JSON as {key, or tuple of keys: list of numbers}."""
    found = {}
    for row in part["rows"]:
        key = tuple(value for value in row.values() if isinstance(value, str))
        numbers = [value for value in row.values() if isinstance(value, int)]
        found[key[0] if len(key) == 1 else key] = numbers
    return found


def judged(*paths):
    """Returns a Counter of ("signed", domain) and ("received", verdict), as mawk counts them."""
    program = shutil.which("mawk") or pytest.skip("needs mawk")
    said = subprocess.run([program, MAWK, *paths], capture_output=True, text=True, check=True)
    assert said.stderr == ""
    return collections.Counter(tuple(line.split()) for line in said.stdout.splitlines())
