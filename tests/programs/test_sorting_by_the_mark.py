# SPDX-License-Identifier: MIT
"""The lines of doc/verifying that sort mail by our field, run as they are printed there.

The field is that of the text's host.  A line that takes an honest message for a forged one
loses mail, so what must not match has most cases.
"""

import re
import subprocess
import textwrap

import pytest

from tests.support import debian_packages, documents, results_fields, results_readers
from tests.support.results_fields import Result

SECONDS = 60
TEXT = documents.text("verifying")
DKIM = Result("dkim", "fail", "the signature is wrong for this message",
              {"header.d": "example.com", "header.s": "s2026a", "header.a": "rsa-sha256",
               "header.b": "Ab+/5678"})
LONG = "a-very-long-name-of-a-mail-server-that-sends.mail.example.com"
FORGED = (b"Authentication-Results: %b; dmarc=fail header.from=example.com\n"
          b"  policy.dmarc=reject\n")


def marked(dmarc, policy, spf="fail", reason="-all of example.com", domain="example.com"):
    """A message with our field above, as it is delivered."""
    field = results_fields.field([
        DKIM, Result("spf", spf, reason, {"smtp.mailfrom": domain}),
        Result("dmarc", dmarc, "neither DKIM nor SPF passes" if dmarc == "fail" else "",
               {"header.from": domain, "policy.dmarc": policy})])
    return message(field + b"DomainKey-Status: bad\n")


def message(header, body=b"body\n"):
    return (b"Return-Path: <alice@example.com>\nDelivered-To: joe@example.net\n"
            b"Received: (qmail 1234 invoked by uid 64011); 1 Dec 2026 00:00:00 -0000\n" + header
            + b"From: alice@example.com\nSubject: hello\n\n" + body)


def other_field(above, name):
    """A message that passes, and has a field of another name."""
    passed = marked("pass", "reject")
    mark = b"Authentication-Results" if above else b"From:"
    return passed.replace(mark, FORGED % name + mark, 1)


GOOD = marked("pass", "reject")
# message -> whether it is sorted out
MESSAGES = {
    "reject": (marked("fail", "reject"), True),
    "quarantine": (marked("fail", "quarantine"), True),
    "folded in between": (marked("fail", "reject", domain=LONG), True),
    "another host's field above": (
        FORGED.replace(b"fail", b"pass") % b"mx.example.org" + marked("fail", "reject"), True),
    "another host's field below": (
        marked("fail", "reject").replace(
            b"From:", FORGED.replace(b"fail", b"pass") % b"mx.example.org" + b"From:", 1), True),
    "the domain asks for nothing": (marked("fail", "none"), False),
    "good": (GOOD, False),
    "good, and SPF passes": (marked("pass", "quarantine", spf="pass"), False),
    "temperror": (marked("temperror", ""), False),
    "permerror": (marked("permerror", ""), False),
    "no record": (marked("none", ""), False),
    "in a reason": (marked("pass", "reject", reason="dmarc=fail"), False),
    "in a reason, as a result": (marked("pass", "reject", reason="x; dmarc=fail"), False),
    "no field": (message(b""), False),
    "only another's field": (message(FORGED % b"mx.example.org"), False),
    **{f"{name.decode()} {place}": (other_field(above, name), False)
       for name in (b"mx.example.org", b"mx-example-net", b"a.mx.example.net",
                    b"mx.example.net.example.org", b"a (mx.example.net;)", b"a mx.example.net")
       for place, above in (("above", True), ("below", False))},
    "in the subject": (GOOD.replace(b"Subject: ", b"Subject: " + FORGED % b"mx.example.net"),
                       False),
    "in the body": (message(b"", b"x\n\n" + FORGED % b"mx.example.net"), False),
    "in a part": (message(b'Content-Type: multipart/mixed; boundary="=_"\n',
                          b"--=_\n" + FORGED % b"mx.example.net" + b"\nx\n--=_--\n"), False),
}
each = pytest.mark.parametrize("name", MESSAGES)


def lines(start):
    """The indented lines of the text behind a paragraph that begins with a text (str)."""
    paragraph = TEXT[TEXT.index("\n\n" + start):]
    found = re.search(r":\n\n((?:  .*\n|\n(?=  ))+)", paragraph).group(1)
    return textwrap.dedent(found)


@pytest.fixture(scope="module")
def maildrop(tmp_path_factory):
    return debian_packages.unpacked("maildrop", tmp_path_factory.mktemp("maildrop"))


def sh(package, directory, script, **options):
    return subprocess.run(["/bin/sh", "-c", script], cwd=directory, capture_output=True,
                          timeout=SECONDS, env=package.environment(HOME=str(directory)), **options)


@each
def test_dot_qmail(maildrop, tmp_path, name):
    """qmail-local runs the line by sh; condredirect runs the program, and redirects at 0."""
    text, sorted_out = MESSAGES[name]
    line = lines("In .qmail,").strip()
    assert line.startswith("|condredirect joe-junk ")
    (tmp_path / "message").write_bytes(text)
    with open(tmp_path / "message", "rb") as file:
        outcome = sh(maildrop, tmp_path, 'condredirect() { shift; "$@"; }\n' + line[1:],
                     stdin=file)
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (int(not sorted_out), b"", b"")


@each
def test_mailfilter(maildrop, tmp_path, name):
    text, sorted_out = MESSAGES[name]
    for maildir in "Maildir", "Maildir/.Junk":
        for part in "cur", "new", "tmp":
            (tmp_path / maildir / part).mkdir(parents=True)
    (tmp_path / ".mailfilter").write_text(lines("In .mailfilter") + 'to "Maildir/"\n')
    (tmp_path / ".mailfilter").chmod(0o600)
    outcome = sh(maildrop, tmp_path, "maildrop .mailfilter", input=text)
    assert outcome.returncode == 0, outcome
    delivered, = tmp_path.glob("Maildir/**/new/*")
    assert (delivered.parent.parent.name == ".Junk") == sorted_out


@pytest.fixture(scope="module")
def hits(tmp_path_factory):
    """{name of a message: the rules that hit}"""
    directory = tmp_path_factory.mktemp("spamassassin")
    rules = "util_rb_tld com net org example\n" + lines("In local.cf")
    found = results_readers.spamassassin(
        debian_packages.unpacked("spamassassin", directory), directory,
        [text for text, _ in MESSAGES.values()], rules)
    return {name: hit for name, (hit, _) in zip(MESSAGES, found)}


@each
def test_spamassassin(hits, name):
    _, sorted_out = MESSAGES[name]
    assert ("DK_DMARC_FAIL" in hits[name]) == sorted_out
