# SPDX-License-Identifier: MIT
"""Programs of others read each result of our field as it was meant."""

import pathlib

import pytest

from tests.support import debian_packages, opendmarc, results_fields, results_readers
from tests.support.results_fields import ID, Result

# All printable characters but quotes and backslashes, which no reason of ours has.
ODD_REASON = "".join(chr(c) for c in range(0x20, 0x7f) if chr(c) not in '"\\').strip()

DKIM = {"header.d": "example.com", "header.s": "s2026a", "header.a": "rsa-sha256",
        "header.b": "Ab+/5678"}
OTHER_DKIM = {"header.d": "mail.example.org", "header.s": "x._y", "header.a": "ed25519-sha256",
              "header.b": "12345678"}
MAILFROM, HELO = {"smtp.mailfrom": "example.com"}, {"smtp.helo": "mail.example.com"}


def dmarc(status, reason="", policy=""):
    return Result("dmarc", status, reason, {"header.from": "example.com",
                                            **({"policy.dmarc": policy} if policy else {})})


# What readers are to find.
IP4 = "-ip4 of _spf.example.com"
FIELDS = {
    "signed": [Result("dkim", "pass", "", DKIM)],
    "two signatures": [Result("dkim", "pass", "", DKIM),
                       Result("dkim", "fail", "the signature is wrong for this message",
                              OTHER_DKIM)],
    "no key": [Result("dkim", "permerror", "no key: NXDOMAIN", DKIM)],
    "the DNS is silent": [Result("dkim", "temperror", "the key can't be had now: timeout", DKIM)],
    "a policy of ours": [Result("dkim", "policy", "l= covers a part of the body only", DKIM)],
    "no tags": [Result("dkim", "neutral", "v= is not 1", {})],
    "DomainKeys": [Result("dkim", "pass", "", DKIM),
                   Result("domainkeys", "pass", "", {"header.d": "example.com"})],
    "DomainKeys without a domain": [
        Result("domainkeys", "none", "no signature", {"header.from": "example.com"}),
        Result("domainkeys", "neutral", "two From: fields", {"header.sender": "example.org"})],
    "any reason": [Result("dkim", "fail", ODD_REASON, DKIM), Result("spf", "fail", "x", MAILFROM),
                   dmarc("fail", ODD_REASON, "reject")],
    "any reason of SPF": [Result("dkim", "pass", "", DKIM),
                          Result("spf", "softfail", ODD_REASON, HELO),
                          dmarc("pass", "", "quarantine")],
    "bounce": [Result("dkim", "pass", "", DKIM), Result("spf", "pass", "", HELO),
               dmarc("pass", "", "none")],
    "SPF without a domain": [
        Result("dkim", "pass", "", DKIM),
        Result("spf", "none", "the sender has no domain name", {}), dmarc("pass", "", "reject")],
    "DMARC without a domain": [
        Result("dkim", "pass", "", DKIM), Result("spf", "pass", "", MAILFROM),
        Result("dmarc", "none", "From: has no single author domain", {})],
    "no SPF": [Result("dkim", "pass", "", DKIM),
               dmarc("permerror", "the client is unknown, so SPF is not evaluated")],
    **{f"spf={status}": [Result("dkim", "pass", "", DKIM),
                         Result("spf", status, IP4 if status != "pass" else "", MAILFROM),
                         dmarc("none", "the domain has no DMARC record")]
       for status in ("pass", "fail", "softfail", "neutral", "none", "temperror", "permerror")},
    **{f"dmarc={status} {policy}": [
        Result("dkim", "fail", "the signature is wrong for this message", DKIM),
        Result("spf", "softfail", "~all of example.com", MAILFROM), dmarc(status, reason, policy)]
       for status, reason, policy in (
           ("pass", "", "reject"), ("pass", "", "quarantine"), ("pass", "", "none"),
           ("fail", "neither DKIM nor SPF passes", "reject"),
           ("fail", "no domain that passes DKIM or SPF is aligned", "quarantine"),
           ("fail", "neither DKIM nor SPF passes", "none"),
           ("temperror", "_dmarc.example.com: SERVFAIL", ""),
           ("permerror", "p=, sp= or np= is not valid, and rua= has no address", ""),
           ("none", "the domain has no DMARC record", ""))},
}
UNSIGNED = [Result("dkim", "none", "", {}), Result("domainkeys", "none", "", {})]


def field(name):
    return results_fields.field(FIELDS.get(name, []))


every_field = pytest.mark.parametrize("name", ["unsigned", *FIELDS])


def wanted(name):
    return FIELDS.get(name, UNSIGNED)


@every_field
def test_authres(name):
    assert results_readers.python_authres(field(name)) == wanted(name)


@every_field
def test_mail_authenticationresults(name):
    """Perl's.  It adds a blank to a reason where the field folds."""
    assert [result._replace(reason=" ".join(result.reason.split()))
            for result in results_readers.mail_authenticationresults(field(name))] == wanted(name)


@pytest.fixture(scope="module")
def milter():
    if not opendmarc.path():
        pytest.skip("needs the Debian package opendmarc")
    running = opendmarc.OpenDmarc(ID)
    yield running
    running.end()


@every_field
def test_opendmarc(milter, name):
    """It keeps DKIM results with a domain, and SPF's status."""
    seen = results_readers.open_dmarc(milter, field(name))
    assert [result for result in seen if result.method == "dkim"] == [
        Result("dkim", result.status, "", {key: result.properties[key]
                                           for key in ("header.d", "header.s")})
        for result in wanted(name) if result.method == "dkim" and result.properties]
    assert [result.status for result in seen if result.method == "spf"] == [
        result.status for result in wanted(name) if result.method == "spf"]


@pytest.fixture(scope="module")
def spamassassin(tmp_path_factory):
    """{name of a field: the results}"""
    directory = tmp_path_factory.mktemp("spamassassin")
    names = ["unsigned", *FIELDS]
    found = results_readers.spamassassin(
        debian_packages.unpacked("spamassassin", directory), directory,
        [field(name) + b"From: alice@example.com\n\nbody\n" for name in names],
        results_readers.SPAMASSASSIN_CF)
    return {name: results for name, (_, results) in zip(names, found)}


@every_field
def test_spamassassin(spamassassin, name):
    """The AuthRes plugin sorts the results by their methods."""
    assert spamassassin[name] == sorted(wanted(name), key=lambda result: result.method)


@pytest.fixture(scope="module")
def rspamd(tmp_path_factory):
    package = debian_packages.unpacked("rspamd", tmp_path_factory.mktemp("rspamd"))
    reader = package.find("/usr/share/rspamd/lualib/lua_auth_results.lua")
    if "parse_ar_element" not in pathlib.Path(reader).read_text():
        pytest.skip("this rspamd, as that of Debian 11, reads no results")
    return package


def test_rspamd(rspamd):
    """Where a forwarder copies our results into ARC-Authentication-Results.

    rspamd 3.4 reads nothing behind a value in quotes, and ends a result at any semicolon.
    """
    results = [result for name in ("unsigned", *FIELDS) for result in wanted(name)
               if ODD_REASON not in [other.reason for other in wanted(name)]]
    fields = [field(name).decode().replace("\n", "") for name in ("unsigned", *FIELDS)]
    texts = [text.strip() for found in fields if ODD_REASON not in found
             for text in found.split(";")[1:]]
    assert len(texts) == len(results)
    for text, seen, result in zip(texts, results_readers.rspamd(rspamd, texts), results):
        assert seen.pop(result.method) == result.status, text
        assert seen.items() <= result.properties.items(), text
        assert result.reason or set(seen) | {"header.b"} >= set(result.properties), text
