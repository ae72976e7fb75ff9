# SPDX-License-Identifier: MIT
"""qmail-dk why and sign: one message, and what is said of it."""

import ast
import os
import subprocess
import sys

import pytest

from tests.support import judges, rspawn, signing
from tests.support.administrator import DOMAIN, Administrator
from tests.support.explained import MESSAGE, admin, shared, signed      # noqa: F401

BY_UID_2 = b"Received: (qmail 1 invoked by uid 2); 29 Nov 2026 11:00:00 -0000\n"
SEEN = b"Authentication-Results: mx.example.net; dkim=none\n"
MANY_NAMES = {prefix: b"".join(b"%s%d: x\n" % (prefix, number) for number in range(1000))
              for prefix in (b"Content-", b"Y-")}

# Settings, message and envelope sender -> exit code, words of what is said.
WHY = {
    "author": ({}, MESSAGE, "", 0, [
        "author's domain, of the one address in the one From: field: example.com",
        "example.com: selector s1, rsa of 2048 bits, ",
        "dkim: signed by d=example.com s=s1 a=rsa-sha256",
        "domainkeys: signed by d=example.com s=s1 a=rsa-sha1"]),
    "parent": ({}, b"From: joe@lists.example.com\n\n", "", 0, [
        "lists.example.com: no key: there is no ", "dkim: signed by d=example.com"]),
    "envelope sender": ({}, b"From: joe@example.net\n\n", "joe@example.com", 0, [
        "domain of the envelope sender: example.com", "dkim: signed by d=example.com",
        "domainkeys: not signed: no usable key for example.net"]),
    "no key": ({}, b"From: joe@example.net\n\n", "", 1, [
        "dkim: not signed: no usable key for example.net"]),
    "two authors": ({}, b"From: a@example.com, b@example.com\n\n", "", 1, [
        "From: field: none", "dkim: not signed: the message gives no domain"]),
    "disputed author": ({}, b"From: CEO <@x,ceo@example.com:a@evil.example>\n\n", "", 1, [
        "From: field: none", "dkim: not signed: the message gives no domain",
        "sent unsigned, though example.com has a key: not all readers find one author in From:, "
        "which could be of x, example.com, evil.example"]),
    "name out of the grammar": ({}, b"From: Doe, Joe <joe@example.com>\n\n", "", 0, [
        "From: field: example.com", "in Sender:, else in From: none",
        "dkim: signed by d=example.com",
        "domainkeys: not signed: the message gives no domain"]),
    "host name that can have no key": ({}, b"From: root@web_01.example.com\n\n", "", 0, [
        "'web_01.example.com', which can't have a key", "dkim: signed by d=example.com"]),
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
    "another's client": ({"DKMAY": "uid:1 example.com"}, BY_UID_2 + MESSAGE, "", 1, [
        "not signed as example.com: by DKMAY, that is not for uid:2", "handed to qmail by: uid:2",
        "dkim: not signed: no usable key for example.com"]),
    "another's client, and a domain of its own": (
        {"DKMAY": "uid:2 open.example"}, BY_UID_2 + MESSAGE, "joe@open.example", 0, [
            "not signed as example.com: by DKMAY", "dkim: signed by d=open.example s=default "]),
    "clients without sense": ({"DKMAY": "anybody"}, MESSAGE, "", 1, [
        "the message is deferred: DKMAY: 'anybody' is not CLIENT DOMAIN"]),
    "forwarded": ({"DKAUTHSERVID": "mx.example.net"}, SEEN + MESSAGE, "", 1, [
        "not signed as example.com: the message came from outside without a good DKIM"]),
    "forwarded, and that is no matter": (
        {"DKAUTHSERVID": "mx.example.net", "DKFORWARDED": "sign"}, SEEN + MESSAGE, "", 0, [
            "dkim: signed by d=example.com s=s1"]),
    "two domains": ({}, b"Sender: joe@open.example\n" + MESSAGE, "", 0, [
        "dkim: signed by d=example.com", "domainkeys: signed by d=open.example"]),
    "no key that is one": ({}, b"From: joe@garbage.example\n\n", "", 1, [
        "the message is deferred: ", "/garbage.example/default: neither a PEM"]),
    "no key that is one, and a flaw": ({}, b"From: joe@garbage.example\nrubbish\n\n", "", 1, [
        "not signed, though there is a key: header line 2 is not a header field"]),
    "weak key": ({}, b"From: joe@weak.example\n\n", "", 0, [
        "default has 512 bits, too few for DKIM (RFC 8301), so only DomainKeys uses it",
        "dkim: not signed: no usable key for weak.example",
        "domainkeys: signed by d=weak.example"]),
    "weak key for DKIM only": ({"DKPROTOCOLS": "dkim"}, b"From: joe@weak.example\n\n", "", 1, [
        "dkim: not signed: no usable key", "domainkeys: not signed: DKPROTOCOLS leaves it out"]),
    "Ed25519": ({}, b"From: joe@ed25519.example\n\n", "", 0, [
        "dkim: signed by d=ed25519.example s=default a=ed25519-sha256",
        "domainkeys: not signed: no usable key for ed25519.example"]),
    "no key of the right kind, and a setting without sense": (
        {"DKPROTOCOLS": "domainkeys", "DKIMCANON": "strict"}, b"From: joe@ed25519.example\n\n", "",
        1, ["the message is deferred: DKIMCANON: 'strict' is not"]),
    "key readable by others": ({}, b"From: joe@open.example\n\n", "", 0, [
        "warning: ", "/open.example/default is readable by others; remedy: chmod o= "]),
    "relays": ({}, MESSAGE, "", 0, ["warning: there is no Date field, and a relay that adds one"]),
    "long line": ({}, MESSAGE + b"x" * 999 + b"\n", "", 0, [
        "warning: a line has more than 998 bytes"]),
    "too much to sign": ({}, MANY_NAMES[b"Content-"] + MESSAGE, "", 1, [
        "warning: the header has too much to sign for 2 of 2 signatures, which were left out",
        "dkim: not signed: the header has too much to sign",
        "domainkeys: not signed: the header has too much to sign"]),
    "too much to sign with DomainKeys": ({}, MANY_NAMES[b"Y-"] + MESSAGE, "", 0, [
        "warning: the header has too much to sign for 1 of 2 signatures, which were left out",
        "dkim: signed by d=example.com",
        "domainkeys: not signed: the header has too much to sign"]),
    "lifetime without sense": ({"DKIMEXPIRE": "soon"}, MESSAGE, "", 1, [
        "the message is deferred: DKIMEXPIRE: 'soon' is not a number of seconds"]),
    "identity without sense": ({"DKIMIDENTITY": "joe", "DKONERROR": "unsigned"}, MESSAGE, "", 1, [
        "the message is sent unsigned: DKIMIDENTITY: 'joe' is not like"]),
    "what to do on an error without sense": (
        {"DKIMCANON": "strict", "DKONERROR": "bounce"}, MESSAGE, "", 1, [
            "the message is deferred: DKONERROR: 'bounce' is not one of"]),
    "no pattern": ({"DKSIGN": " : "}, MESSAGE, "", 1, [
        "the message is deferred: DKSIGN: there is no pattern in it"]),
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
    assert Said(done.stdout) == delivered(admin, message, sender)


class Said:
    """What becomes of a message, by what qmail-dk why says, or by what a delivery does.

    signers: "d=... s=... a=...", the topmost first; trouble: (treatment, reason), or None
    flaw: why it can't be signed; remarks: set of other reasons and warnings; all str
    """

    def __init__(self, output=""):
        self.signers, self.trouble, self.flaw, self.remarks = [], None, "", set()
        for line in output.partition("\nsettings:")[0].splitlines():
            start, _, rest = line.partition(": ")
            if rest.startswith("signed by "):
                self.signers += rest[len("signed by "):].split(", ")
            elif start in ("the message is deferred", "the message is sent unsigned"):
                self.trouble = start[len("the message is "):], rest
            elif start == "not signed, though there is a key":
                self.flaw = rest.removesuffix(", so verifiers would not agree")
            elif start == "warning":
                self.remarks.add(rest)
            elif line.startswith(("not signed as ", "sent unsigned, though ")):
                self.remarks.add(line)

    def __eq__(self, other):
        return vars(self) == vars(other)

    def __repr__(self):
        return str(vars(self))


# qmail_remote_dk.py, with its log on descriptor 2, where the report's end is for now.
LOGGED = """
import os, sys
sys.path.insert(0, sys.argv[1])
from lib import maillog
import qmail_remote_dk
maillog.write = lambda level, text: os.write(2, f"{maillog.program()}: {text}\\n".encode())
sys.argv[:2] = ["qmail_remote_dk.py"]
qmail_remote_dk.run()
"""


def delivered(admin, message, sender):
    """What a delivery by the program itself does, told as why says it."""
    original = admin.directory / "bin" / "qmail-remote.orig"
    original.parent.mkdir(exist_ok=True)
    original.write_text("#!/bin/sh\nexec cat\n")
    original.chmod(0o755)
    queue_file = admin.directory / "queue-file"
    queue_file.write_bytes(message)
    with open(queue_file, "rb") as file:
        done = subprocess.run(
            [sys.executable, "-IS", "-X", f"qmail={admin.directory}", "-X", f"original={original}",
             "-c", LOGGED, rspawn.CHECKOUT, "mx.example.net", sender, "jane@example.net"],
            stdin=file, capture_output=True, env={**admin.environment, "QMAIL_DK_TRIAL": "1"})
    said = Said()
    if done.stdout.startswith(b"Zqmail-remote-dk: "):
        _, _, reason = done.stdout.decode().partition("Trouble: ")
        said.trouble = "deferred", reason.removesuffix(" (#4.3.0)\n\0")
    else:
        assert done.stdout.endswith(message)
        said.signers = [
            "d={d} s={s} a={a}".format(**signing.tags(field))
            for _, field in signing.fields(done.stdout.removesuffix(message).rstrip(b"\n"))
            if field]
    for line in done.stderr.decode().splitlines():
        add_line(said, line.partition("qmail-remote-dk: ")[2].rpartition("; host=")[0])
    return said


def add_line(said, line):
    """Adds what a line of the log says."""
    line = line.removeprefix("warning: ")
    if line.startswith("sent unsigned (DKONERROR): "):
        said.trouble = "sent unsigned", ast.literal_eval(
            line.partition("Trouble(")[2].removesuffix(")"))
    elif line.startswith("sent unsigned: "):
        said.flaw = line[len("sent unsigned: "):].removesuffix(
            ", so verifiers would not agree on it")
    elif line.startswith("signed: "):
        assert line == "signed: " + ", ".join(
            ("domainkeys " if words.endswith("-sha1") else "dkim ") + words
            for words in said.signers)
    else:
        said.remarks.add(line)


@pytest.mark.parametrize("domain", ["example.com", "garbage.example", "weak.example",
                                    "ed25519.example", "none.example"])
def test_why_domain_is_what_is_done(admin, domain):
    """What relays will change is no matter of a domain."""
    said = Said(admin.run("why", domain).stdout)
    done = delivered(admin, f"From: postmaster@{domain}\n\n".encode(), "")
    assert (said.signers, said.trouble) == (done.signers, done.trouble)
    assert said.remarks <= done.remarks


def test_why_domain(admin):
    assert "dkim: signed by d=example.com s=s1" in admin.succeed("why", "Lists.Example.com")
    assert admin.succeed("why", "joe@example.com") == admin.succeed("why", DOMAIN)
    done = admin.run("why", "example.org")
    assert done.returncode == 1 and "no usable key for example.org" in done.stdout


def test_why_a_key_is_lost(tmp_path):
    admin = Administrator(tmp_path)
    admin.keygen()
    path = admin.keys / DOMAIN / "s1"
    path.unlink()
    done = admin.run("why", DOMAIN)
    assert done.returncode == 1
    assert (f"the message is deferred: {admin.keys}/{DOMAIN}/default is a link to nothing"
            in done.stdout)
    path.with_name("default").unlink()
    done = admin.run("why", DOMAIN)
    assert f"no {admin.keys}/{DOMAIN}/default, though there is {admin.keys}/{DOMAIN}" in done.stdout


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
    lines = [line for line in done.stderr.decode().splitlines()
             if ": signed: " not in line and ": warning: there is no Date" not in line]
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
