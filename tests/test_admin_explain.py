# SPDX-License-Identifier: MIT
"""qmail-dk why, sign and verify: one message, and what is said of it."""

import base64
import hashlib
import os
import subprocess

import pytest

from tests import judges, signing
from tests.administrator import DOMAIN, Administrator, records
from tests.dns_server import DnsServer

MESSAGE = b"From: joe@example.com\nTo: jane@example.net\nSubject: test\n\nHello.\n"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A host with a key, and a name server with its record."""
    with DnsServer({}) as server:
        admin = Administrator(tmp_path_factory.mktemp("host"))
        admin.published = records(admin.keygen("s1"))
        admin.zone = server.zone
        admin.environment["DNSCACHEIP"] = server.address
        admin.settings = dict(admin.environment)
        yield admin


@pytest.fixture
def admin(shared):
    shared.environment = dict(shared.settings)
    shared.zone.clear()
    shared.zone.update({name: [text] for name, text in shared.published.items()})
    return shared


# Settings, message and envelope sender -> exit code, words of what is said.
WHY = {
    "author": ({}, MESSAGE, "", 0, [
        "author's domain, of the one address in the one From: field: example.com",
        "example.com: selector s1, rsa of 2048 bits, ",
        "dkim: signed by d=example.com s=s1 a=rsa-sha256",
        "domainkeys: signed by d=example.com s=s1 a=rsa-sha1"]),
    "parent": ({}, b"From: joe@lists.example.com\n\n", "", 0, [
        "lists.example.com: no key, for there is no ", "dkim: signed by d=example.com"]),
    "envelope sender": ({}, b"From: joe@example.net\n\n", "joe@example.com", 0, [
        "domain of the envelope sender: example.com", "dkim: signed by d=example.com",
        "domainkeys: not signed: no usable key for example.net"]),
    "no key": ({}, b"From: joe@example.net\n\n", "", 1, [
        "dkim: not signed: no usable key for example.net"]),
    "two authors": ({}, b"From: a@example.com, b@example.com\n\n", "", 1, [
        "From: field: none", "dkim: not signed: the message gives no domain"]),
    "literal": ({}, b"From: a@[192.0.2.1]\n\n", "", 1, ["'[192.0.2.1]', which can't have a key"]),
    "flaw": ({}, b"From: joe@example.com\nrubbish\n\n", "", 1, [
        "not signed, though there is a key: header line 2 is not a header field"]),
    "protocols": ({"DKPROTOCOLS": "domainkeys"}, MESSAGE, "", 0, [
        "dkim: not signed: DKPROTOCOLS leaves it out", "domainkeys: signed by",
        "DKPROTOCOLS=domainkeys (environment)"]),
    "key is missing": ({"DKSIGN": "/no/such/key"}, MESSAGE, "", 1, [
        "the message is deferred: DKSIGN names /no/such/key, which does not exist"]),
    "unsigned": ({"DKSIGN": "/no/such/key", "DKONERROR": "unsigned"}, MESSAGE, "", 1, [
        "the message is sent unsigned: DKSIGN names"]),
    "setting without sense": ({"DKIMCANON": "strict"}, MESSAGE, "", 1, [
        "the message is deferred: DKIMCANON: 'strict' is not HEADER/BODY"]),
    "protocols without sense": ({"DKPROTOCOLS": "dkim2"}, MESSAGE, "", 1, [
        "the message is deferred: DKPROTOCOLS: 'dkim2' is not one of"]),
    "headers without sense": ({"DKIMHEADERS": "From:"}, MESSAGE, "", 1, [
        "the message is deferred: DKIMHEADERS: 'From:' is not"]),
    "headers without sense, without DKIM": (
        {"DKIMHEADERS": "From:", "DKPROTOCOLS": "domainkeys"}, MESSAGE, "", 0, [
            "domainkeys: signed by d=example.com"]),
    "setting without sense, no key": (
        {"DKIMCANON": "strict"}, b"From: joe@example.net\n\n", "", 1, [
            "dkim: not signed: no usable key for example.net"]),
    "header too long": ({}, b"x: y\n" * 300_000 + MESSAGE, "", 1, ["From: field: none"]),
}


@pytest.mark.parametrize("name", WHY)
def test_why(admin, tmp_path, name):
    settings, message, sender, status, expected = WHY[name]
    admin.environment.update(settings)
    path = tmp_path / "message"
    path.write_bytes(message)
    done = admin.run("why", path, "--sender", sender)
    assert (done.returncode, done.stderr) == (status, "")
    for words in expected:
        assert words in done.stdout
    assert admin.run("why", "-", "--sender", sender, stdin=message).stdout == done.stdout
    if status == 0:
        # What it says is what is done.
        signed = admin.run("sign", "--sender", sender, stdin=message).stdout.encode()
        fields = [signing.tags(field) for field_name, field in signing.fields(signed)
                  if field_name.endswith("-Signature")]
        assert [f"d={tags['d']} s={tags['s']} a={tags['a']}" for tags in fields] == [
            words for line in done.stdout.splitlines() if ": signed by " in line
            for words in line.partition(" by ")[2].split(", ")]


def test_why_domain(admin):
    assert "dkim: signed by d=example.com s=s1" in admin.succeed("why", "Lists.Example.com")
    assert admin.succeed("why", "joe@example.com") == admin.succeed("why", DOMAIN)
    done = admin.run("why", "example.org")
    assert done.returncode == 1 and "no usable key for example.org" in done.stdout


def test_why_domain_in_the_directory_of_keys(admin):
    """Where there is a directory of that name."""
    assert "dkim: signed by d=example.com" in admin.succeed("why", DOMAIN, cwd=admin.keys)


@pytest.mark.parametrize("name, words", [
    ("example", "is not a domain name"), ("no-such-file", "is not a domain name"),
    ("joe@", "is not a domain name"), ("../etc", "is not a file"), ("/etc", "is not a file"),
    ("/no/such/file", "is not a file")])
def test_why_of_neither(admin, name, words):
    assert words in admin.refused("why", name)


def test_sign(admin):
    done = admin.run("sign", stdin=MESSAGE)
    assert done.returncode == 0
    assert done.stderr.startswith("qmail-dk: signed: dkim d=example.com s=s1 a=rsa-sha256, ")
    signed = done.stdout.encode()
    assert signed.endswith(MESSAGE)
    for judge, verdicts in judges.verdicts(signed.replace(b"\n", b"\r\n"), admin.published).items():
        assert [v.result for v in verdicts] == ["pass"] * len(verdicts), judge


def test_sign_without_key(admin):
    message = MESSAGE.replace(b"example.com", b"example.org")
    done = admin.run("sign", stdin=message)
    assert (done.returncode, done.stdout.encode()) == (1, message)
    assert done.stderr == "qmail-dk: not signed; qmail-dk why - says why\n"


def test_sign_with_trouble(admin):
    admin.environment["DKIMCANON"] = "strict"
    assert "DKIMCANON" in admin.refused("sign", stdin=MESSAGE)


def signed(admin):
    return admin.run("sign", stdin=MESSAGE).stdout.encode()


def test_verify(admin):
    output = admin.succeed("verify", stdin=signed(admin))
    dkim, domainkeys = output.split("signature 2: ")
    assert dkim.startswith("signature 1: dkim d=example.com s=s1 a=rsa-sha256\n"
                           "  canonicalization: relaxed for the header, relaxed for the body\n")
    encoded = base64.b64encode(hashlib.sha256(b"Hello.\r\n").digest()).decode()
    for words in ("    From: joe@example.com\n"
                  "    (no other from: adding one breaks the signature)\n",
                  "    (no cc: adding one breaks the signature)\n",
                  "  body: 8 bytes in canonical form\n"
                  f"    hash as computed: {encoded}\n    bh= as signed:    {encoded}\n",
                  "  DNS: s1._domainkey.example.com: 1 TXT\n    v=DKIM1; k=rsa; p=MII",
                  "  signature: pass\n  result: pass\n"):
        assert words in dkim
    assert domainkeys.startswith("domainkeys d=example.com s=s1 a=rsa-sha1\n"
                                 "  canonicalization: nofws\n")
    assert domainkeys.endswith("  signature: pass\n  result: pass\n")


def test_verify_with_crlf(admin):
    """As a mail client saves it."""
    admin.succeed("verify", stdin=signed(admin).replace(b"\n", b"\r\n"))


def test_verify_with_a_cr(admin):
    """It is the verifier's message that is explained: a CR in it is what it is."""
    assert admin.run("verify", stdin=b"X: y\rFrom: eve@evil.example\n" + signed(admin)
                     ).stdout.count("result: policy: some readers") == 2
    body = signed(admin).replace(b"Hello", b"Hel\rlo")
    assert admin.run("verify", stdin=body).stdout.count("result: pass") == 1     # DomainKeys


def test_why_with_as_many_cr_as_lines(admin):
    """The file is no saved one with CR LF, so the signer trusts no result in it."""
    text = b"Authentication-Results: mx.example.net; dkim=pass header.d=example.com\n" + MESSAGE
    (admin.control / "me").write_text("mx.example.net\n")
    for changed, code in ((text, 0), (text.replace(b"\n", b"\r\n"), 0),
                          (text + b"\r" * text.count(b"\n"), 1)):
        assert admin.run("why", "-", stdin=changed).returncode == code


def one_key(text):
    """A record in place of the one."""
    return lambda admin: admin.zone.update({f"s1._domainkey.{DOMAIN}": text})


OTHER_KEY = signing.record(signing.key("rsa.pem"))

# What happens to the message and to the DNS -> words of what is said of DKIM, and of DomainKeys.
DIFFERENT = {
    "body": (lambda text: text.replace(b"Hello", b"Hallo"), None,
             ["so the body is not the one that was signed",
              "signature: right for the header, the body hash is wrong"],
             ["so a header field that it covers, or the body, is not as it was signed"]),
    "header": (lambda text: text.replace(b"Subject: test", b"Subject: Test"), None,
               ["so a header field that it covers is not as it was signed"],
               ["so a header field that it covers, or the body, is not as it was signed"]),
    "field added": (lambda text: b"Subject: another\n" + text, None,
                    ["    Subject: another", "so a header field that it covers is not"],
                    ["result: pass"]),
    "other key": (None, one_key([OTHER_KEY]),
                  ["signature: made by another key than this, or damaged itself"],
                  ["signature: made by another key than this, or damaged itself"]),
    "no key": (None, one_key({"rcode": "NXDOMAIN"}),
               ["bh= as signed:", "DNS: s1._domainkey.example.com: ", "result: permerror: no key"],
               ["result: permerror: no key"]),
    "SERVFAIL": (None, one_key({"rcode": "SERVFAIL"}),
                 ["SERVFAIL", "result: temperror"], ["result: temperror"]),
    "revoked": (None, one_key(["v=DKIM1; p="]),
                ["    v=DKIM1; p=", "result: permerror: the key is revoked"],
                ["result: permerror: the key is revoked"]),
    "test mode": (lambda text: text.replace(b"Hello", b"Hallo"),
                  lambda admin: one_key([admin.published[f"s1._domainkey.{DOMAIN}"]
                                         .replace("p=", "t=y; p=")])(admin),
                  ["(t=y: the key is in test mode)"], ["(t=y: the key is in test mode)"]),
    "version": (lambda text: text.replace(b"v=1;", b"v=2;"), None,
                ["result: neutral: v= is not 1"], ["result: pass"]),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_verify_says_what_differs(admin, name):
    change, publish, of_dkim, of_domainkeys = DIFFERENT[name]
    message = signed(admin)
    if change:
        message, before = change(message), message
        assert message != before
    if publish:
        publish(admin)
    done = admin.run("verify", stdin=message)
    assert done.stderr == ""
    dkim, domainkeys = done.stdout.split("signature 2: ")
    for said, expected in ((dkim, of_dkim), (domainkeys, of_domainkeys)):
        for words in expected:
            assert words in said
    assert done.returncode == (0 if "result: pass" in done.stdout else 1)


@pytest.mark.parametrize("message, words", [
    (MESSAGE, "the message has no signature"),
    (b"", "the message has no signature"),
    (b"DKIM-Signature: rubbish\n" + MESSAGE, "result: neutral"),
    (b"DKIM-Signature: \x1b[2J\n" + MESSAGE, "signature 1: dkim"),
    (b"rubbish\n" + MESSAGE, "header line 1 is not a header field"),
    (b"x: y\n" * 300_000 + MESSAGE, "the header is longer than"),
    (b"DKIM-Signature: a=b\n" * 15 + MESSAGE, "left out: policy: 5 more"),
], ids=["unsigned", "empty", "rubbish", "controls", "no header", "long", "many"])
def test_verify_odd_messages(admin, message, words):
    done = admin.run("verify", stdin=message)
    assert (done.returncode, done.stderr) == (1, "")
    assert words in done.stdout
    assert "\x1b" not in done.stdout


def test_verify_without_stdin(admin):
    done = admin.run("verify", stdin=None, command=["sh", "-c", 'exec "$@" <&-', "sh"])
    assert done.returncode == 111 and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_closed_descriptors(admin, closed):
    done = admin.run("dns", DOMAIN, command=["sh", "-c", f'exec "$@" {closed}', "sh"])
    if ">&-" in closed.split():
        assert (done.returncode, done.stdout) == (111, "")
        assert done.stderr in ("", "qmail-dk: standard output is closed\n")
    else:
        assert (done.returncode, done.stderr) == (0, "") and "p=MII" in done.stdout


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [["dns", DOMAIN], ["verify"], ["sign"]], ids=str)
def test_full_output(admin, arguments):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([admin.command, *arguments], input=MESSAGE, stdout=full,
                              stderr=subprocess.PIPE, env=admin.environment)
    lines = [line for line in done.stderr.decode().splitlines() if ": signed: " not in line]
    assert (done.returncode, lines) == (
        111, ["qmail-dk: input or output: No space left on device"])


def test_reader_that_goes_away(admin):
    """Like `qmail-dk verify | head -1`."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    with open(write_end, "wb") as closed:
        process = subprocess.run([admin.command, "dns", DOMAIN], env=admin.environment,
                                 stdout=closed, stderr=subprocess.PIPE)
    assert process.stderr == b""
