# SPDX-License-Identifier: MIT
"""doc/coming-from: with its steps, keys of older tools sign as their records in the DNS say."""

import os
import pathlib
import re
import subprocess

import pytest

from lib import settings
from tests.support import judges, signing
from tests.support.documents import text


def sections():
    """{title: text} of doc/coming-from."""
    parts = re.split(r"^(.+)\n-+\n", text("coming-from"), flags=re.M)[1:]
    return dict(zip(parts[::2], parts[1::2]))


KEY, OTHER_KEY = signing.key("rsa.pem"), signing.key("ed25519.pem")
ETC, CONTROL = "/etc/domainkeys/example.com", "/var/qmail/control/domainkeys/example.com"
KYLE, COPIES = "Kyle Wheeler's scripts", 'Variants with a file "selector"'
NELSON, PERL = "Russ Nelson's qmail-dk", "qmailtoaster's and better-qmail-remote's Perl wrappers"
QMAIL_DKIM = "sagredo's qmail, indimail: qmail-dkim"

# What the older tool left: {path: content, or "-> target"}; which of the section's
# lists of commands is run, or None; which of its values of control/dksign is set;
# the domain that signs, and its selectors, as they are in the DNS.
OLDER_TOOLS = {
    "Kyle Wheeler": (KYLE, {f"{ETC}/default": KEY}, None, 0, "example.com", ["default"]),
    "Kyle Wheeler, selector in the script": (
        KYLE, {f"{ETC}/default": KEY}, 0, 0, "example.com", ["s1"]),
    "selector file": (
        COPIES, {f"{ETC}/selector": b"s2014\n", f"{ETC}/rsa.private_s2014": KEY,
                 f"{ETC}/default": f"-> {ETC}/rsa.private_s2014"}, 0, 0, "example.com", ["s2014"]),
    "selector file, default": (
        COPIES, {f"{ETC}/selector": b"default\n", f"{ETC}/rsa.private_default": KEY,
                 f"{ETC}/default": "-> rsa.private_default"}, 0, 0, "example.com", ["default"]),
    "file named by the domain": (
        "Keys named by the domain", {CONTROL: KEY}, 0, 0, "example.com", ["s1"]),
    "qmail-dk": (NELSON, {f"{CONTROL}/private": KEY}, None, 0, "example.com", ["private"]),
    "qmail-dk, link": (NELSON, {f"{CONTROL}/2005": KEY, f"{CONTROL}/private": "-> 2005"}, 0, 0,
                       "example.com", ["private"]),
    "qmailtoaster": (PERL, {"/var/qmail/control/dkim/example.com.key": KEY}, 0, 0,
                     "example.com", ["dkim1"]),
    "better-qmail-remote": (PERL, {"/var/qmail/control/dkim/global.key": KEY}, 1, 0,
                            "example.org", ["global"]),
    "qmail-dkim": (QMAIL_DKIM, {f"{CONTROL}/default": KEY, f"{CONTROL}/default.pub": b"x"}, None,
                   0, "example.com", ["default"]),
    "qmail-dkim, link": (
        QMAIL_DKIM, {f"{CONTROL}/rsa.private_default": KEY,
                     f"{CONTROL}/default": f"-> {CONTROL}/rsa.private_default"}, 0, 0,
        "example.com", ["default"]),
    "qmail-dkim, two keys": (
        QMAIL_DKIM, {f"{CONTROL}/default": KEY, f"{CONTROL}/ed25519": OTHER_KEY}, None, 1,
        "example.com", ["default", "ed25519"]),
    "qmail-dkim, dkimkeys": (QMAIL_DKIM, {"/var/qmail/control/keys/s1": KEY}, 1, 2,
                             "example.com", ["s1"]),
}


class OlderHost:
    """A scratch tree with what an older tool left; paths in it begin with root."""

    def __init__(self, root, files):
        self.root = str(root)
        for name, content in files.items():
            path = pathlib.Path(self.root + name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                path.symlink_to(self.rooted(content.partition("-> ")[2]))
            else:
                path.write_bytes(content)

    def rooted(self, words):
        return re.sub(r"/(?=etc/|var/qmail/)", self.root + "/", words)

    def signatures(self, dksign, domain):
        """-> (the signed message, [(d=, s=)] of its signatures)."""
        value = settings.DEFAULTS["DKSIGN"] if dksign == "none" else dksign
        os.makedirs(self.root + "/signer", exist_ok=True)
        signer = signing.Signer(self.root + "/signer", (), DKSIGN=self.rooted(value))
        signed = signer.sign(f"From: joe@{domain}\nSubject: x\n\nx\n".encode(), f"joe@{domain}")
        return signed, [(signing.tags(field)["d"], signing.tags(field)["s"])
                        for name, field in signing.fields(signed) if name.endswith("-Signature")]


@pytest.mark.parametrize("name", OLDER_TOOLS)
def test_coming_from(name, tmp_path):
    """With the steps and the DKSIGN of the page, keys sign as their records in the DNS say."""
    title, files, block, value, domain, selectors = OLDER_TOOLS[name]
    section = sections()[title]
    dksign = re.findall(r"^  control/dksign: ([^\s,]+)", section, re.M)[value]
    promised = " ".join(re.findall(r"^  selector: (.*)$", section, re.M))
    assert set(selectors) <= set(promised.replace(",", "").split()) or "the file" in promised
    host = OlderHost(tmp_path, files)
    if block is not None:
        lists = re.findall(r"^Keys:\n((?:  .*\n)+)", section, re.M)
        subprocess.run(["/bin/sh", "-eu"], input=host.rooted(lists[block]).encode(), check=True)
    signed, found = host.signatures(dksign, domain)
    # Ed25519 has no DomainKeys signature, so the first selector comes last again.
    assert found == [(domain, selector) for selector in selectors + selectors[:1]]
    records = {f"{selector}._domainkey.{domain}": signing.record(key) for selector, key in
               zip(selectors, (KEY, OTHER_KEY))}
    verdicts = judges.dkimpy(signed.replace(b"\n", b"\r\n"), records)
    assert [verdict.selector for verdict in verdicts] == selectors
    assert {verdict.result for verdict in verdicts} <= {"pass", "unsupported"}


@pytest.mark.root
def test_permissions_of_coming_from(tmp_path):
    """Keys that are links to a file of another tool's: qmailr can read it, and nobody else."""
    host = OlderHost(tmp_path, {"/var/qmail/control/dkim/global.key": KEY,
                                f"{ETC}/dkim1": "-> /var/qmail/control/dkim/global.key",
                                f"{ETC}/default": "-> dkim1"})
    key = pathlib.Path(host.rooted("/var/qmail/control/dkim/global.key"))
    key.chmod(0o604)
    os.chown(key, 65534, 0)
    commands = re.findall(r"^  (?:chown|chmod) .*$", text("coming-from").partition("=\n")[2], re.M)
    script = host.rooted("\n".join(commands)).replace(":qmail", ":65534")
    subprocess.run(["/bin/sh", "-eu"], input=script.encode(), check=True)
    for path, mode in ((key, 0o640), (pathlib.Path(host.rooted(ETC)), 0o750)):
        state = path.stat()
        assert (state.st_uid, state.st_gid, state.st_mode & 0o7777) == (0, 65534, mode)


@pytest.mark.parametrize("name", [name for name, row in OLDER_TOOLS.items()
                                  if row[2] is not None])
def test_coming_from_needs_its_steps(name, tmp_path):
    """Without them, the selector is another than the one in the DNS, or nothing is signed."""
    title, files, _, value, domain, selectors = OLDER_TOOLS[name]
    dksign = re.findall(r"^  control/dksign: ([^\s,]+)", sections()[title], re.M)[value]
    _, found = OlderHost(tmp_path, files).signatures(dksign, domain)
    assert (domain, selectors[0]) not in found


def test_each_step_of_coming_from_is_tried():
    """No list of commands and no value of the page is left out of the table above."""
    for title, section in sections().items():
        tried = [row for row in OLDER_TOOLS.values() if row[0] == title]
        assert {row[2] for row in tried} - {None} == set(range(section.count("Keys:\n"))), title
        assert {row[3] for row in tried} == set(range(section.count("control/dksign: "))), title
