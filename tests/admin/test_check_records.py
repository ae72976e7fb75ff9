# SPDX-License-Identifier: MIT
"""qmail-dk check: records in the DNS, of the key that signs, the next and the former one."""

import base64
import os

import pytest
from cryptography.hazmat.primitives import serialization

from tests.support import signing
from tests.support.administrator import DOMAIN
from tests.support.checked_host import assert_found, host, no_record, rotated      # noqa: F401
from tests.support.clock import Clock


def next_without_record(host):
    host.make_next()


def next_with_record(host):
    host.publish(host.make_next())


def first_key_waits(host):
    (host.keys / DOMAIN / "default").rename(host.keys / DOMAIN / "default.next")


def first_key_waits_for_record(host):
    first_key_waits(host)
    no_record(host)


def next_is_gone(host):
    host.make_next()
    (host.keys / DOMAIN / "s2").unlink()


def next_readable(host):
    host.make_next()
    (host.keys / DOMAIN / "s2").chmod(0o644)


def former_withdrawn_early(host):
    rotated(host)
    no_record(host)


def former_gone(host):
    rotated(host)
    host.key.unlink()


def former_not_needed(host):
    rotated(host)
    clock = Clock(host.directory / "clock")
    clock.give(host, host.prefix)
    clock.advance(9 * 86400)


def servfail(host):
    host.zone[host.name] = {"rcode": "SERVFAIL"}


def truncated(server, name):
    """What the name has does not fit into a datagram, and nobody answers over TCP."""
    server.zone[name] = {"lie": "truncated"}
    server.tcp = False


def cut_by_the_dns(host):
    truncated(host.dns, host.name)


def record_cut(host):
    """The second string was lost: 255 bytes are left, and a key that is none."""
    host.zone[host.name] = [host.text[:255]]


def record_cut_within_four_characters(host):
    host.zone[host.name] = [host.text[:254]]


def record_in_another_form(host):
    """RSAPublicKey, as RFC 6376 has it, and some verifiers don't."""
    public = serialization.load_pem_private_key(host.key.read_bytes(), None).public_key()
    bare = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    host.zone[host.name] = [host.text.partition("p=")[0] + "p=" + base64.b64encode(bare).decode()]


def other_record(host):
    host.zone[host.name] = [signing.record(signing.key("rsa.pem"))]


def in_test_mode(host):
    host.zone[host.name] = [host.text.replace("p=", "t=y; p=")]


def version_not_first(host):
    host.zone[host.name] = [host.text.partition("; ")[2] + "; v=DKIM1"]


def other_version(host):
    host.zone[host.name] = [host.text.replace("v=DKIM1", "v=DKIM9")]


def excludes_sha1(host):
    host.zone[host.name] = [host.text.replace("k=", "h=sha256; k=")]


def excludes_sha256(host):
    host.zone[host.name] = [host.text.replace("k=", "h=sha1; k=")]


def limited(host):
    host.zone[host.name] = [host.text.replace("k=", "g=postmaster; k=")]


def spf_beside(host):
    host.zone[host.name] = ["v=spf1 -all", host.text]


def no_resolver(host):
    host.environment["DNSCACHEIP"] = "127.0.0.1#1"


def bad_resolver(host):
    host.environment["DNSCACHEIP"] = "rubbish"


def bad_timeout(host):
    host.environment["DKTIMEOUT"] = "soon"


# What is done to the host -> findings that must be there: (level, words of subject and text).
DAMAGE = {
    next_without_record: [("warn", "s2._domainkey.example.com is not in the DNS")],
    next_with_record: [("warn", "default.next does not sign yet, but its record is in the DNS")],
    first_key_waits: [("warn", "default.next does not sign yet, but its record is in the DNS"),
                      ("FAIL", "example.com its key does not sign yet, so its mail is not"),
                      ("FAIL", "qmail-remote sent the message unsigned")],
    first_key_waits_for_record: [("warn", "s1._domainkey.example.com is not in the DNS"),
                                 ("FAIL", "example.com its key does not sign yet")],
    next_is_gone: [("warn", "default.next is a link to nothing")],
    next_readable: [("warn", "s2 others can read it")],
    former_withdrawn_early: [("FAIL", "s1._domainkey.example.com is not in the DNS")],
    former_gone: [("warn", "default.former is a link to nothing")],
    former_not_needed: [("warn", "default.former has not been needed since 20")],
    no_record: [("FAIL", "s1._domainkey.example.com is not in the DNS"),
                ("FAIL", "trial example.com dkim=permerror")],
    servfail: [("FAIL", "s1._domainkey.example.com the DNS can't be asked"),
               ("FAIL", "trial example.com dkim=temperror")],
    other_record: [("FAIL", "s1._domainkey.example.com p= is not the public half"),
                   ("FAIL", "trial example.com dkim=fail")],
    cut_by_the_dns: [("FAIL", "s1._domainkey.example.com no answer: the answer is cut short, and "
                      "it can't be asked over TCP"), ("FAIL", "trial example.com dkim=temperror")],
    record_cut: [("FAIL", "s1._domainkey.example.com the record is only the beginning")],
    record_cut_within_four_characters: [
        ("FAIL", "s1._domainkey.example.com the record is only the beginning of the right one")],
    record_in_another_form: [
        ("warn", "s1._domainkey.example.com p= is this key as an RSAPublicKey")],
    in_test_mode: [("warn", "s1._domainkey.example.com t=y")],
    version_not_first: [("warn", "s1._domainkey.example.com v= is not the first tag")],
    other_version: [("FAIL", "s1._domainkey.example.com v= is not DKIM1"),
                    ("FAIL", "trial example.com dkim=permerror")],
    excludes_sha1: [("warn", "s1._domainkey.example.com h= excludes sha1"),
                    ("FAIL", "trial example.com domainkeys=permerror")],
    excludes_sha256: [("FAIL", "s1._domainkey.example.com h= excludes sha256"),
                      ("FAIL", "trial example.com dkim=permerror")],
    limited: [("warn", "s1._domainkey.example.com g= limits")],
    spf_beside: [("warn", "s1._domainkey.example.com one of its TXT records is not a key record")],
    no_resolver: [("FAIL", "resolver 127.0.0.1#1 gives no answer")],
    bad_timeout: [("FAIL", "settings DKTIMEOUT: 'soon' is not a number of seconds"),
                  ("FAIL", "resolver 127.0.0.1")],
    bad_resolver: [("FAIL", "resolver rubbish gives no answer: DNSCACHEIP")],
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda f: f.__name__)
def test_damage(host, damage):
    assert_found(host, damage, DAMAGE[damage])


@pytest.mark.parametrize("damage, words, others", [
    (cut_by_the_dns, "axfrdns", "DNSCACHEIP"),
    (record_cut, "all strings of it", "withdraw it"),
    (record_cut_within_four_characters, "all strings of it", "withdraw it"),
    (record_in_another_form, "publish what qmail-dk dns", "not the public half")],
    ids=lambda value: getattr(value, "__name__", ""))
def test_remedy_of_a_record(host, damage, words, others):
    """That which helps, and nothing that is not so."""
    damage(host)
    _, found = host.findings()
    of_record = [finding for finding in found if finding["subject"] == host.name]
    assert len(of_record) == 1 and words in of_record[0]["remedy"], of_record
    assert others not in str(of_record)


def test_key_is_changed(host):
    """With both records in the DNS, nothing is to be complained about."""
    rotated(host)
    status, found = host.findings()
    if os.geteuid() != 0:
        found = [finding for finding in found if "belongs to user" not in finding["text"]]
    assert (status, found) == (1, [])
