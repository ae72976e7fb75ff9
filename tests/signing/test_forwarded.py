# SPDX-License-Identifier: MIT
"""Mail that the verifier has seen come in, on its way out again through the signer."""

import time

import pytest

from lib.crypto import RSA_LEAST
from lib.mail import address, message
from lib.signing import forwarded
from lib.verifying import examination
from lib.verifying.client import Client
from lib.verifying.report import Terms
from tests.support import growth
from tests.support.public_suffixes import organizational_domain, suffixes
from tests.support.signing import Signer

AUTHSERV_ID = "mx.example.com"
ENVELOPE = "list-owner@lists.example.com"


def received(text, lookup_records, authserv_id=AUTHSERV_ID, client=None):
    """text as it lies in the queue after our verifier: its fields, below qmail-queue's.

    client: client.Client, for SPF and DMARC, None without DKDMARC
    """
    from lib.lookup.answer import Answer

    def lookup(name, kind="TXT"):
        found = lookup_records.get(name.decode())
        return Answer("found", [found.encode()]) if found else Answer("none", [], "NXDOMAIN")
    header, body = message.split(iter([text]))
    terms = Terms(RSA_LEAST, dmarc=bool(client), client=client)
    examined = examination.examine(header, body, terms, lookup, int(time.time()))
    return (b"Received: (qmail 4711 invoked by uid 64011); 23 Nov 2026 00:00:00 -0000\n"
            + examination.header_fields(examined, authserv_id.encode()) + text)


def mail(author, sender=None):
    fields = f"From: {author}\nTo: bob@example.net\nSubject: test\n"
    if sender:
        fields += f"Sender: {sender}\n"
    return fields.encode() + b"\nHello.\n"


@pytest.fixture
def signer(tmp_path):
    keys = (("example.com", "s1", "rsa.pem"), ("example.org", "s1", "rsa.pem"))
    return Signer(tmp_path, keys, DKAUTHSERVID=AUTHSERV_ID)


def signing_domains(signed, original):
    """-> d= of each signature that the signer has put on top."""
    added = signed[:len(signed) - len(original)].replace(b"\n ", b" ")
    return [line.partition(b" d=")[2].partition(b";")[0].decode()
            for line in added.splitlines() if b" d=" in line]


FORGED = mail("boss@example.com")

# text, envelope sender -> who signs
UNPROVEN = {
    "From": (FORGED, "x@example.net", []),
    "From, envelope of the same domain": (FORGED, "boss@example.com", []),
    "From, envelope below it": (FORGED, ENVELOPE, []),
    "From below our domain": (mail("boss@sub.example.com"), "x@example.net", []),
    "From above the envelope's": (mail("boss@example.com"), "x@deep.lists.example.com", []),
    "From beside the envelope's": (mail("boss@hr.example.com"), ENVELOPE, []),
    "Sender": (mail("x@example.net", "boss@example.com"), "x@example.net", []),
    "two in From": (mail("x@example.net, boss@example.com"), "boss@example.com", []),
    "two From fields": (b"From: x@example.net\n" + FORGED, "boss@example.com", []),
    "From that IDNA makes ours": (mail("boss@\uff45xample.com"), "eve@example.com", []),
    "From with a soft hyphen": (mail("boss@exam\xadple.com"), "eve@example.com", []),
    "From with a quoted domain": (mail('boss@"example.com"'), "eve@example.com", []),
    "From at an address": (mail("boss@[192.0.2.1]"), "eve@example.com", ["example.com"]),
    "From not in the grammar": (mail("boss@example.com <x@example.net"), "boss@example.com", []),
    "From with a route": (
        mail("CEO <@x,boss@example.com:a@evil.example>"), "eve@example.com", []),
    "From with an encoded word across its dots": (
        mail("=?utf-8?q?Boss_=3Cboss=40example.com=3E=2C_?=@one.example"), "eve@example.com", []),
    "From out of the grammar": (mail("Boss, Big <boss@example.com>"), "x@example.net", []),
    "From out of the grammar, below us": (
        mail("Boss, Big <boss@hr.example.com>"), "x@lists.example.com", []),
    "From at a name that can have no key": (mail("boss@web_01.example.com"), ENVELOPE, []),
    "a stranger's out of the grammar": (
        mail("Stranger, A. <x@example.net>"), ENVELOPE, ["example.com"]),
    "a stranger's, forwarded by a list": (
        mail("x@example.net"), ENVELOPE, ["example.com"]),
    "one of ours that is not claimed": (FORGED, "x@example.org", ["example.org"]),
}


@pytest.mark.parametrize("case", UNPROVEN)
def test_unproven(signer, case):
    text, envelope_sender, expected = UNPROVEN[case]
    queued = received(text, {})
    assert signing_domains(signer.sign(queued, envelope_sender), queued) == expected


RELAY, STRANGER = bytes((192, 0, 2, 1)), bytes((198, 51, 100, 1))
POLICIES = {"example.com": "v=spf1 ip4:192.0.2.1 -all", "_dmarc.example.com": "v=DMARC1; p=reject",
            "example.net": "v=spf1 ip4:198.51.100.1 -all", "_dmarc.example.net": "v=DMARC1; p=none"}

# From:, address and envelope sender of the client, envelope sender when it is forwarded
# -> dmarc= of the mark; who signs
BY_SPF = {
    # Each customer of the relay may send so; our signature would outlive the path.
    "by a relay that others use": ("boss@example.com", RELAY, b"x@example.com",
                                   "boss@example.com", b"pass", []),
    # SPF of a sub-domain, whoever runs its hosts, passes for the whole organization.
    "by a host of a sub-domain": ("boss@example.com", RELAY, b"x@sub.example.com",
                                  "boss@example.com", b"pass", []),
    "a stranger's, forwarded by SRS": ("x@example.net", STRANGER, b"x@example.net",
                                       "srs0=x@example.com", b"pass", ["example.com"]),
    "to a list of ours": ("boss@example.com", RELAY, b"boss@example.com", ENVELOPE, b"pass", []),
    "forged": ("boss@example.com", STRANGER, b"boss@example.com", "boss@example.com", b"fail", []),
}


@pytest.mark.parametrize("case", BY_SPF)
def test_dmarc_by_spf_proves_nothing(signer, case):
    """Only dkim=pass does: what SPF shows is true of one hop, and a signature stays."""
    author, address, sender, forwarder, result, expected = BY_SPF[case]
    records = {**POLICIES, "sub.example.com": POLICIES["example.com"]}
    queued = received(mail(author), records, client=Client(address, b"", sender))
    assert b"dmarc=" + result in queued
    assert signing_domains(signer.sign(queued, forwarder), queued) == expected


# domain -> the one under which all are one's own
ORGANIZATIONS = {
    "example.com": "example.com", "a.b.example.com": "example.com", "com": "com",
    "a.example.co.uk": "example.co.uk", "example.co.uk": "example.co.uk", "co.uk": "co.uk",
    "a.bmw.example.de": "example.de", "hr.bmw.de": "bmw.de", "a.co.example": "co.example",
    # a registry's label where there is none
    "hr.id.me": "id.me", "hr.com.de": "com.de", "hr.me.it": "me.it", "hr.ac.me": "ac.me",
    "hr.nic.de": "nic.de", "a.id.au": "a.id.au", "hr.co": "hr.co", "a.com.co": "a.com.co",
}


@pytest.mark.parametrize("domain", ORGANIZATIONS)
def test_organization(domain):
    assert forwarded.organization(domain.encode()) == ORGANIZATIONS[domain].encode()


def test_no_organization_is_smaller_than_by_the_public_suffix_list():
    """Below each country, each label that is a registry's anywhere."""
    rules = suffixes()
    countries = {rule for rule in rules if len(rule) == 2}
    names = {rule.split(".")[0] for rule in rules if rule.count(".") == 1 and len(rule) < 9}
    assert {"id", "com", "nom", "*"} < names and len(countries) > 200
    for name in names - {"*"}:
        for country in countries:
            domain = f"a.b.{name}.{country}"
            ours = forwarded.organization(domain.encode()).decode()
            theirs = organizational_domain(domain, rules)
            assert theirs == ours or theirs.endswith("." + ours), domain


def test_a_sibling_below_what_looks_like_a_registry(tmp_path):
    """DMARC takes lists.id.me for id.me's own."""
    signer = Signer(tmp_path, (("lists.id.me", "s1", "rsa.pem"),), DKAUTHSERVID=AUTHSERV_ID)
    queued = received(mail("boss@id.me"), {})
    assert signing_domains(signer.sign(queued, "eve@lists.id.me"), queued) == []
    queued = received(mail("boss@hr.id.me"), {})
    assert signing_domains(signer.sign(queued, "eve@lists.id.me"), queued) == []


# domains, others -> the related ones among the domains
RELATED = [
    ("example.com", "example.com", "example.com"),
    ("a.example.com", "example.com", "a.example.com"),
    ("example.com", "b.a.example.com", "example.com"),
    ("a.example.com", "b.example.com", ""),
    ("badexample.com", "example.com", ""),
    ("example.com example.net a.example.net", "x.example.net y.org", "example.net"),
    ("example.com", "x" * 300 + ".example.com", "example.com"),
    ("example.com", "", ""),
]


@pytest.mark.parametrize("domains, others, expected", RELATED)
def test_related(domains, others, expected):
    found = forwarded.related(*([name.encode() for name in names.split()]
                                for names in (domains, others)))
    assert found == {name.encode() for name in expected.split()}


def test_many_claims_and_a_deep_envelope_sender():
    """Either may cost time, but not each of the one for each of the other."""
    claims = [b"b%d.example" % number for number in range(20000)]

    def related(depth):
        domains = address.with_parents(b".".join([b"a"] * depth + [b"example"]))
        assert forwarded.related(domains, claims) == set()
    assert growth.grows_less_than(8, related, 1, 120)


def test_the_log_says_why(signer):
    signer.sign(received(FORGED, {}), "x@example.net")
    (line,) = signer.log
    assert "not signed as example.com: the message came from outside" in line


def test_no_key_no_line(signer):
    signer.sign(received(mail("x@example.net"), {}), "x@example.net")
    assert signer.log == []


@pytest.mark.parametrize("text, signatures", [
    (FORGED, 2), (mail("Boss, Big <boss@example.com>"), 1), (mail("boss@web_01.example.com"), 2)])
def test_proven(signer, text, signatures):
    """Our own mail comes back with our signature intact."""
    ours = signer.sign(text, "boss@example.net")
    queued = received(ours, signer.records)
    assert b"dkim=pass" in queued
    assert signing_domains(signer.sign(queued, "boss@example.net"), queued) == (
        ["example.com"] * signatures)


# Put on top of a message with our good signature; what the signer would make of it.
HIDDEN = {
    "message": (b"X: y\rFrom: boss@example.com\rSubject: pay at once\rMIME-Version: 1.0\r"
                b"Content-Type: multipart/mixed; boundary=q\r\r--q\r\rPay Eve.\r\r--q--\r\r\n"),
    "message, by CR LF": b"X: y\r\n \r\n\r\nPay Eve.\r\n",
    "field": b"X: y\rSubject: pay at once\n",
    "no field": b"X: y\rz\n",
}


@pytest.mark.parametrize("case", HIDDEN)
def test_what_comes_out_of_a_field_with_cr_is_not_proven(signer, case):
    """The verifier saw one field, which no signature has to cover."""
    ours = signer.sign(FORGED, "boss@example.com")
    queued = received(HIDDEN[case] + ours, signer.records)
    assert signing_domains(signer.sign(queued, "boss@example.com"), queued) == []


def test_cr_in_the_body_is_not_proven(signer):
    ours = signer.sign(FORGED, "boss@example.com")
    queued = received(ours, signer.records).replace(b"Hello", b"\rHello")
    assert b"dkim=pass" in queued
    assert signing_domains(signer.sign(queued, "boss@example.com"), queued) == []


@pytest.mark.parametrize("protocols", ["domainkeys", "dkim domainkeys"])
def test_domainkeys_proves_nothing(tmp_path, protocols):
    """What is above such a signature is covered by nothing."""
    signer = Signer(tmp_path, (("example.com", "s1", "rsa.pem"),), DKAUTHSERVID=AUTHSERV_ID,
                    DKPROTOCOLS=protocols)
    ours = signer.sign(FORGED, "boss@example.com")
    queued = received(b"Subject: pay at once\n" + ours, signer.records)
    assert b"domainkeys=pass" in queued and b"dkim=pass" not in queued
    assert signing_domains(signer.sign(queued, "boss@example.com"), queued) == []


def test_a_pass_of_another_domain_proves_nothing(signer, tmp_path):
    other = Signer(tmp_path / "other", (("example.org", "s1", "rsa.pem"),), DKPROTOCOLS="dkim")
    theirs = other.sign(FORGED, "x@example.org")
    queued = received(theirs, other.records)
    assert b"dkim=pass" in queued
    assert signing_domains(signer.sign(queued, "x@example.net"), queued) == []


def test_only_the_topmost_field_counts(signer):
    """Seen by us twice: what the first look found says nothing of what came the second time."""
    ours = signer.sign(FORGED, "boss@example.com")
    first = received(ours, signer.records)
    second = received(first.replace(b"Hello", b"Pay me"), signer.records)
    assert signing_domains(signer.sign(second, "boss@example.com"), second) == []


@pytest.mark.parametrize("settings, authserv_id", [
    ({"DKFORWARDED": "sign"}, AUTHSERV_ID),     # switched off
    ({}, "mx.example.net"),                     # another server's word
])
def test_signed_all_the_same(tmp_path, settings, authserv_id):
    signer = Signer(tmp_path, (("example.com", "s1", "rsa.pem"),),
                    **{"DKAUTHSERVID": AUTHSERV_ID, **settings})
    queued = received(FORGED, {}, authserv_id)
    assert signing_domains(signer.sign(queued, "x@example.net"), queued) == ["example.com"] * 2


def test_mail_of_our_own_users_is_signed(signer):
    assert signing_domains(signer.sign(FORGED, "boss@example.com"), FORGED) == ["example.com"] * 2
