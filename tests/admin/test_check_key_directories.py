# SPDX-License-Identifier: MIT
"""What qmail-dk check says of directories of keys, of what is in them, and of what lacks."""

import os
import pathlib
import tempfile
import time

import pytest

from lib.admin import account, check_domains, check_key_directories, check_permissions
from lib.settings import Settings
from tests.support import rspawn, signing
from tests.support.administrator import DOMAIN, GROUP, Administrator
from tests.support.clock import Clock

NOBODY = account.Account(65534, 65534)


@pytest.fixture
def keys(monkeypatch):
    """A directory with a domain's key that qmailr, as which it looks, can read; for root."""
    if os.geteuid() != 0:
        pytest.skip("needs to be root, who can look as another user")
    monkeypatch.setattr(account, "signers_account", lambda: NOBODY)
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        keys = pathlib.Path(directory) / "keys"
        (keys / DOMAIN).mkdir(parents=True)
        key = keys / DOMAIN / "s1"
        key.write_bytes(signing.key("rsa.pem"))
        (keys / DOMAIN / "default").symlink_to("s1")
        for path, mode in ((keys, 0o755), (keys / DOMAIN, 0o750), (key, 0o640)):
            os.chown(path, 0, NOBODY.group)
            path.chmod(mode)
        yield keys


def settings(keys, **others):
    return Settings({"DKSIGN": f"{keys}/%/default", **others},
                             control=str(keys.parent / "control"))


def failing(findings):
    return [f"{finding.subject}: {finding.text}" for finding in findings
            if finding.level == "FAIL"]


def test_open_directories(keys):
    assert not failing(check_domains.findings([DOMAIN], settings(keys), None, {}))


def test_closed_to_all(keys):
    """An older keygen was killed before it had opened the directory of all domains."""
    keys.chmod(0o700)
    for domains in ([DOMAIN], ["other.example"], []):
        (line,) = failing(check_domains.findings(domains, settings(keys), None, {}))
        assert line == f"{keys}: qmail-remote's user can't go there, so all mail of all domains " \
                       "is deferred"


def test_closed_domain(keys):
    """There is no key, so to root's eyes mail is sent unsigned."""
    other = keys / "other.example"
    other.mkdir(mode=0o700)
    (line,) = failing(check_domains.findings(["other.example"], settings(keys), None, {}))
    assert line == f"{other}: qmail-remote's user can't go there, so the mail of other.example " \
                   "is deferred"
    assert line in failing(check_domains.keyless_findings(settings(keys)))


def test_closed_directory_that_a_link_leads_to(keys):
    closed = keys.parent / "closed"
    closed.mkdir(mode=0o700)
    (keys / "other.example").symlink_to(closed)
    assert check_permissions.closed_directory(str(keys / "other.example/default")) == str(closed)
    assert check_permissions.closed_directory(str(keys / DOMAIN / "default")) is None


def test_closed_directory_is_not_judged_by_others(keys):
    (keys / "other.example").mkdir(mode=0o700)
    with account.eyes_of(account.Account(12345, 12345)):
        assert check_permissions.closed_directory(str(keys / "other.example/default")) is None


@pytest.mark.parametrize("spoil", [
    lambda keys: keys.chmod(0o700), lambda keys: (keys / DOMAIN).chmod(0o700),
    lambda keys: (keys / DOMAIN / "s1").chmod(0o600)], ids=["all", "domain", "key"])
def test_why_as_qmailr(tmp_path, keys, spoil):
    """Mail is deferred for a key that only root can read, and is not said to be signed."""
    admin = Administrator(tmp_path)
    os.chown(tmp_path / "queue" / "lock" / "tcpto", NOBODY.user, NOBODY.group)
    admin.environment["DKSIGN"] = f"{keys}/%/default"
    # Settings are qmailr's, too; this host's are closed to it.
    pathlib.Path(keys.parent / "control").mkdir()
    text = admin.command.read_text().replace(str(tmp_path), str(keys.parent))
    admin.command.write_text(text)
    lock = keys.parent / "queue" / "lock"
    lock.mkdir(parents=True)
    (lock / "tcpto").touch()
    os.chown(lock / "tcpto", NOBODY.user, NOBODY.group)
    assert "dkim: signed by" in admin.run("why", DOMAIN).stdout
    spoil(keys)
    done = admin.run("why", DOMAIN)
    assert (done.returncode, done.stderr) == (1, "")
    assert "the message is deferred: unable to open" in done.stdout
    assert "signed by" not in done.stdout


@pytest.fixture
def admin(tmp_path):
    admin = Administrator(tmp_path)
    admin.keygen("s1")
    return admin


def of(admin, **others):
    return Settings({**admin.environment, **others}, control=str(admin.control))


def unnamed(admin, domains=None):
    return [os.path.relpath(finding.subject, admin.keys)
            for finding in check_key_directories.unnamed_findings(of(admin), domains)]


def test_keys_that_nothing_names(admin):
    """What kills, editors and copies leave; not public halves and notes."""
    directory = admin.keys / DOMAIN
    pem = (directory / "s1").read_bytes()
    assert unnamed(admin) == []
    for name, content in (("." + "0123456789abcdef", pem), ("s1~", pem[:300]), ("s0", pem),
                          ("seed", b"A" * 43 + b"="),
                          ("default.pub", b"-----BEGIN PUBLIC KEY-----"),
                          ("selector", b"s1\n")):
        (directory / name).write_bytes(content)
    (directory / "s3").symlink_to("s1")
    found = [f"{DOMAIN}/{name}" for name in (".0123456789abcdef", "s0", "s1~", "seed")]
    assert unnamed(admin) == unnamed(admin, [DOMAIN]) == found
    assert unnamed(admin, ["other.example"]) == []


@pytest.mark.parametrize("name", ["Example.COM", "example.com.", "ex\xe4mple.com", "com"])
def test_keys_that_no_mail_has(admin, name):
    (admin.keys / DOMAIN).rename(admin.keys / name)
    (line,) = [line for line in admin.run("check").stdout.splitlines() if "signs nothing" in line]
    assert line.startswith(f"warn {admin.keys}/{name}/default: signs nothing: no mail has ")


def test_keys_that_are_named(admin):
    """By the next link, the former one, a chain, another domain's, another name of the file."""
    directory, other = admin.keys / DOMAIN, admin.keys / "customer.example"
    admin.succeed("rotate", DOMAIN, "--selector", "s2", "--group", GROUP)
    admin.succeed("rotate", DOMAIN, "--activate", "--force")
    admin.succeed("rotate", DOMAIN, "--selector", "s3", "--group", GROUP)
    other.mkdir()
    for name, target in (("default", "a"), ("a", str(directory / "x1"))):
        (other / name).symlink_to(target)
    (directory / "x1").write_bytes(b"-----BEGIN PRIVATE KEY-----")
    os.link(directory / "s3", directory / "s3.old")
    assert unnamed(admin) == []
    (other / "default").unlink()
    assert unnamed(admin) == [f"{DOMAIN}/x1"]


def test_check_names_keys_without_a_link(admin):
    (admin.keys / DOMAIN / "s0").write_bytes(signing.key("rsa.pem"))
    (line,) = [line for line in admin.run("check").stdout.splitlines()
               if "no link leads to it" in line]
    assert line.startswith(f"warn {admin.keys}/{DOMAIN}/s0: ")


@pytest.mark.parametrize("days, level", [(0, "ok"), (399, "ok"), (401, "warn")])
def test_age(admin, days, level):
    path = admin.keys / DOMAIN / "s1"
    os.utime(path, (time.time() - days * 86400 - 60,) * 2)
    (line,) = [line for line in admin.run("check", DOMAIN).stdout.splitlines()
               if " days old" in line]
    assert line.startswith(f"{level:<4} {path}: is {days} days old")
    assert ("remedy: qmail-dk rotate" in line) == (level == "warn")


def test_a_key_of_the_future(admin):
    """Made while the clock was fast."""
    os.utime(admin.keys / DOMAIN / "s1", (4e9, 4e9))
    (line,) = [line for line in admin.run("check", DOMAIN).stdout.splitlines()
               if "rotate --due does not change it" in line]
    assert line.startswith("warn ")


def test_a_copied_key_is_no_younger(admin):
    """check and rotate --due agree on its age: the date in its selector counts first."""
    directory = admin.keys / DOMAIN
    os.rename(directory / "s1", directory / "s20250101")
    (directory / "default").unlink()
    (directory / "default").symlink_to("s20250101")
    days = int(time.time() - time.mktime((2025, 1, 1, 0, 0, 0, 0, 0, -1))) // 86400
    assert f"/s20250101: is {days} days old" in admin.run("check", DOMAIN).stdout


def test_an_activation_does_not_make_a_key_younger(admin):
    path = admin.keys / DOMAIN / "s1"
    os.utime(path, (1000, 1000))
    (admin.keys / DOMAIN / "default.former").symlink_to("s1")
    admin.succeed("rotate", DOMAIN, "--selector", "s2", "--group", GROUP)
    admin.succeed("rotate", DOMAIN, "--activate", "--force")
    assert path.stat().st_mtime == 1000


@pytest.mark.parametrize("value, level", [("", None), ("3600", "warn"), ("604800", "ok"),
                                          ("soon", None)])
def test_expiry(admin, value, level):
    found = check_key_directories.expiry_findings(of(admin, DKIMEXPIRE=value))
    assert [finding.level for finding in found] == ([level] if level else [])


def test_former_key(admin):
    """When its record can be withdrawn; while an activation is interrupted, never."""
    admin.succeed("rotate", DOMAIN, "--selector", "s2", "--group", GROUP)
    admin.succeed("rotate", DOMAIN, "--activate", "--force")

    def said():
        return [line for line in admin.run("check", DOMAIN).stdout.splitlines()
                if "default.former: " in line and "record" in line or "is the key that" in line]

    clock = Clock(admin.directory / "clock")
    clock.give(admin, rspawn.CHECKOUT)
    (line,) = said()
    day = time.strftime("%Y-%m-%d", time.localtime(time.time() + 8 * 86400 + 3600))
    assert line.startswith("ok") and f"s1._domainkey.{DOMAIN} must stay until {day}" in line
    clock.advance(9 * 86400)
    (line,) = said()
    assert line.startswith("warn") and f"nor has its record s1._domainkey.{DOMAIN};" in line
    (admin.keys / DOMAIN / "default.former").unlink()
    (admin.keys / DOMAIN / "default.former").symlink_to("s2")
    (line,) = said()
    assert line.startswith("warn") and "is the key that signs" in line


# Control files -> the domains that are named.
HOSTED = {
    "none": ({}, []),
    "me": ({"me": "mx.example.net\n"}, ["mx.example.net"]),
    "below a key": ({"me": "mx.example.com\n"}, []),
    "locals": ({"me": "mx.example.net\n", "locals": "a.example\n#b.example\n\nlocalhost\n",
                "bouncehost": "c.example\n"}, ["a.example", "c.example"]),
    "an empty locals": ({"me": "mx.example.net\n", "locals": "", "bouncehost": "c.example\n"},
                        ["c.example"]),
    "rcpthosts": ({"rcpthosts": "example.com\nA.example\n.b.example\n"},
                  ["a.example", "b.example"]),
    "virtualdomains": ({"virtualdomains":
                        "a.example:alias-a\nx@b.example:joe\n.c.example:\n:all\n"},
                       ["a.example", "b.example", "c.example"]),
    "rubbish": ({"rcpthosts": "../../etc\n-\n\xff\n"}, []),
}


@pytest.mark.parametrize("name", HOSTED)
def test_hosted_domains(admin, name):
    files, expected = HOSTED[name]
    for file, content in files.items():
        (admin.control / file).write_text(content, encoding="latin-1")
    found = check_key_directories.hosted_findings(of(admin))
    assert [finding.text for finding in found] == (
        ["no key signs the mail of " + ", ".join(expected)] if expected else [])


def test_hosted_domains_are_told_once(admin):
    (admin.control / "rcpthosts").write_text("".join(f"{n}.example\n" for n in range(100, 150)))
    (line,) = [line for line in admin.run("check").stdout.splitlines()
               if " hosted domains: " in line]
    assert line.startswith("warn") and "119.example and 30 more; remedy: " in line
    assert " hosted domains: " not in admin.run("check", DOMAIN).stdout
    assert not check_key_directories.hosted_findings(of(admin, DKSIGN=f"{admin.keys}/{DOMAIN}/s1"))
