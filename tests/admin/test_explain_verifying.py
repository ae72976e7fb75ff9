# SPDX-License-Identifier: MIT
"""qmail-dk verify: what it says of a message's signatures is what the verifier finds."""

import base64
import hashlib
import re
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives import serialization

from tests.support import rspawn, signing
from tests.support.administrator import DOMAIN
from tests.support.explained import MESSAGE, admin, shared, signed      # noqa: F401


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
    domainkeys, _, policies = domainkeys.partition("SPF: ")
    assert domainkeys.endswith("  signature: pass\n  result: pass\n")
    assert policies.startswith("not evaluated, for the client or the sender is not known")


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


def results_said(output):
    """The results that qmail-dk verify shows, as the verifier's log has them."""
    found = re.findall(r"signature \d+: (\w+) (d=\S* s=\S*).*\n(?:  .*\n)*?  result: (\w+)(?:: )?"
                       r"(.*?)(?: \(t=y: the key is in test mode\))?\n", output)
    found += [("dkim", "d= s=", "policy", reason)
              for reason in re.findall(r"left out: policy: (.*)\n", output)]
    return [f"{protocol}={status} {words}" + (f" ({reason})" if reason else "")
            for protocol, words, status, reason in found]


def results_logged(admin, message):
    """The results in the line of qmail_qfilter_verify.py."""
    done = subprocess.run(
        [sys.executable, "-IS", "-X", f"qmail={admin.directory}",
         rspawn.CHECKOUT / "qmail_qfilter_verify.py", "--filter"],
        input=message, capture_output=True, check=True,
        env={**admin.environment, "DKVERIFY": "-", "DKAUTHSERVID": "mx.example.net"})
    (line,) = done.stderr.decode().splitlines()
    _, *results = re.split("; (?=(?:dkim|domainkeys)=|dns )", line)
    return results[:-1]


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
    assert results_said(done.stdout) == results_logged(admin, message)


def ed25519_signed(key, of_header):
    """MESSAGE with a relaxed Ed25519 signature over of_header(what RFC 6376 has hashed)."""
    body_hash = base64.b64encode(hashlib.sha256(b"Hello.\r\n").digest()).decode()
    field = ("v=1; a=ed25519-sha256; c=relaxed/relaxed; d=example.com; s=ed1; h=from:subject; "
             f"bh={body_hash}; b=")
    header = f"from:joe@example.com\r\nsubject:test\r\ndkim-signature:{field}".encode()
    signature = base64.b64encode(key.sign(of_header(header))).decode()
    return f"DKIM-Signature: {field}{signature}\n".encode() + MESSAGE


# What is signed, of the header -> exit code, whether it is said to be the header itself.
ED25519 = {
    "its hash": (lambda header: hashlib.sha256(header).digest(), 0, False),
    "itself": (lambda header: header, 1, True),
    "another": (lambda header: header + b" ", 1, False),
    "another's hash": (lambda header: hashlib.sha256(header + b" ").digest(), 1, False),
}


@pytest.mark.parametrize("change", ["none", "body"])
@pytest.mark.parametrize("name", ED25519)
def test_verify_knows_ed25519_over_the_header_itself(admin, name, change):
    of_header, code, unhashed = ED25519[name]
    key = serialization.load_pem_private_key(signing.key("ed25519.pem"), None)
    admin.zone[f"ed1._domainkey.{DOMAIN}"] = [signing.record(signing.key("ed25519.pem"))]
    message = ed25519_signed(key, of_header)
    if change == "body":
        message, code = message.replace(b"Hello", b"Hallo"), 1
    done = admin.run("verify", stdin=message)
    assert (done.returncode, done.stderr) == (code, "")
    assert ("over the header itself" in done.stdout) == unhashed
    assert ("result: pass\n" if code == 0 else "result: fail: ") in done.stdout
    assert ("pass" in done.stdout) == (code == 0)


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
    if "longer than" not in words:
        assert results_said(done.stdout) == results_logged(admin, message)


def test_verify_without_stdin(admin):
    done = admin.run("verify", stdin=None, command=["sh", "-c", 'exec "$@" <&-', "sh"])
    assert done.returncode == 111 and len(done.stderr.splitlines()) == 1
