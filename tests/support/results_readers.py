# SPDX-License-Identifier: MIT
"""What programs read in an Authentication-Results field: its results, by their own parsers.

Each reader takes a field (bytes, LF line ends) of ID and returns a list of Result.  One whose
program is missing skips the test.
"""

import json
import os
import subprocess

import authres
import pytest

from tests.support import readers
from tests.support.results_fields import ID, Result

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SECONDS = 60        # for a program that starts a Perl or Lua

# Of OpenDMARC's history file
OPENDMARC_STATUS = {0: "pass", 2: "softfail", 3: "neutral", 4: "temperror", 5: "permerror",
                    6: "none", 7: "fail", 8: "policy"}

SPAMASSASSIN_PRE = """loadplugin Mail::SpamAssassin::Plugin::Check
loadplugin Mail::SpamAssassin::Plugin::AuthRes
"""
SPAMASSASSIN_CF = f"""util_rb_tld com net org example
authres_networks all
authres_trusted_authserv {ID}
"""


def value_of(field):
    return field.partition(b":")[2].rstrip(b"\n")


def python_authres(field):
    text = field.decode().replace("\n", "")
    found = authres.AuthenticationResultsHeader.parse(text)
    assert found.authserv_id == ID
    return [Result(result.method, result.result, result.reason or "",
                   {f"{named.type}.{named.name}": named.value for named in result.properties})
            for result in found.results]


def mail_authenticationresults(field):
    """Perl's Mail::AuthenticationResults."""
    judge = readers.MailAuthenticationResults
    if not judge.is_installed():
        pytest.skip(f"needs the Debian package {judge.package}")
    name, results = json.loads(subprocess.run(
        ["perl", os.path.join(HERE, "perl", "results.pl")], input=value_of(field), check=True,
        stdout=subprocess.PIPE, timeout=SECONDS).stdout)
    assert name == ID
    return [Result(*result) for result in results]


def open_dmarc(milter, field):
    """OpenDMARC by the milter, an opendmarc.OpenDmarc: DKIM with d= and s=, and SPF's status."""
    found = []
    for line in milter.history_of(value_of(field)).decode().splitlines():
        word, *rest = line.split(" ")
        if word == "dkim":
            domain, selector, status = rest
            found.append(Result(word, OPENDMARC_STATUS[int(status)], "",
                                {"header.d": domain, "header.s": selector}))
        elif word == "spf" and rest != ["-1"]:      # it saw none
            found.append(Result(word, OPENDMARC_STATUS[int(rest[0])], "", {}))
    return found


def spamassassin(package, directory, messages, rules):
    """SpamAssassin 4: [(set of the rules that hit, results of the AuthRes plugin)].

    package: debian_packages.Unpacked; directory: pathlib.Path, for rules (str)
    messages: list of bytes.  The results are sorted by method.
    """
    if not os.path.exists(package.find("/usr/share/perl5/Mail/SpamAssassin/Plugin/AuthRes.pm")):
        pytest.skip("needs SpamAssassin 4")
    (directory / "check.pre").write_text(SPAMASSASSIN_PRE)
    (directory / "local.cf").write_text(rules)
    lines = subprocess.run(
        ["perl", os.path.join(HERE, "perl", "spamassassin.pl"), directory],
        input="".join(message.hex() + "\n" for message in messages), check=True, text=True,
        stdout=subprocess.PIPE, timeout=SECONDS, env=package.environment(HOME=str(directory))
    ).stdout.splitlines()
    return [(set(found["hits"]), [Result(*result) for result in found["results"]])
            for found in map(json.loads, lines)]


def rspamd(package, results):
    """rspamd: what it reads in each of the results (list of str) of ARC, [{name: value}]."""
    lines = subprocess.run(
        [package.find("/usr/bin/rspamadm"), "lua", "-b", os.path.join(HERE, "lua", "results.lua")],
        input="".join(result + "\n" for result in results), check=True, stdout=subprocess.PIPE,
        text=True, timeout=SECONDS, env=package.environment(
            LUALIBDIR=package.find("/usr/share/rspamd/lualib"))).stdout
    return [dict(line.split("\t") for line in group.splitlines())
            for group in lines.split("\n\n")[:-1]]
