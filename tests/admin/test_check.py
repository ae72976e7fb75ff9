# SPDX-License-Identifier: MIT
"""qmail-dk check: what it says where all is well, of which domains, and as whom it looks."""

import os
import pty
import subprocess
import tempfile

import pytest

from lib.admin import account, check_installation, check_keys, check_permissions, key_places
from lib.settings import Settings
from tests.support.administrator import DOMAIN
from tests.support.checked_host import host, no_record      # noqa: F401


def test_all_is_well(host):
    status, found = host.findings()
    assert (status, found) == (1, [])       # 1: no qmail runs here


@pytest.mark.root
def test_which_qmail_only_root_can_see(open_directory):
    os.mkdir(f"{open_directory}/bin", 0o700)
    with account.eyes_of(account.Account(65534, 65534)):
        (finding,) = check_installation.qmail_findings(open_directory)
    assert (finding.level, finding.remedy) == ("warn", "run this as root")


def test_what_it_says(host):
    lines = host.run("check").stdout.splitlines()
    for line in (f"ok   {host.key}: nobody else can read or change it",
                 f"ok   {host.name}: the record is that of the key (says the resolver; no name "
                 f"server of the domain can be asked: {DOMAIN} has no NS records)",
                 f"ok   {host.directory}: netqmail or notqmail before 1.08: QMAILQUEUE, no "
                 "QMAILREMOTE",
                 f"ok   {host.remote}: starts {host.prefix}/qmail_remote_dk.py",
                 "ok   DKPROTOCOLS: dkim domainkeys, from default",
                 "ok   DKTIMEOUT: 3, from environment of this command"):
        assert line in lines or os.geteuid() != 0 and "nobody else" in line
    trials = [line for line in lines if line.startswith(f"ok   trial {DOMAIN}: ")]
    assert [line.split(": ")[1].split()[0] for line in trials] == ["dkim=pass", "domainkeys=pass"]
    assert f"header.d={DOMAIN} header.s=s1" in trials[0]


def test_a_trial_is_of_signatures_alone(host):
    """A domain without a DMARC record has no fault in its keys."""
    (host.control / "dkdmarc").write_text("mark\n")
    del host.zone[f"_dmarc.{DOMAIN}"]
    status, found = host.findings(DOMAIN)
    assert (status, [finding["subject"] for finding in found]) == (1, [f"_dmarc.{DOMAIN}"])


def test_settings_from_control_files(host):
    (host.control / "dkimcanon").write_text("simple/simple\n")
    assert (f"ok   DKIMCANON: simple/simple, from {host.control}/dkimcanon"
            in host.run("check").stdout)


def test_domain_below(host):
    """The key of a domain above signs, as why says."""
    status, found = host.findings("lists.example.com")
    assert status == 1 and not [finding for finding in found if finding["level"] == "FAIL"]
    assert (f"ok   lists.{DOMAIN}: has no key that signs, so that of {DOMAIN} does"
            in host.run("check", f"lists.{DOMAIN}").stdout)
    no_record(host)
    assert host.findings("lists.example.com")[0] == 2


@pytest.mark.parametrize("flags, protocols, domain, warned", [
    ("s", "dkim domainkeys", f"lists.{DOMAIN}", True), ("s", "domainkeys", f"lists.{DOMAIN}", True),
    ("s", "dkim", f"lists.{DOMAIN}", False), ("s", "dkim domainkeys", DOMAIN, False),
    ("x", "dkim domainkeys", f"lists.{DOMAIN}", False)])
def test_a_strict_key_for_mail_from_below(host, flags, protocols, domain, warned):
    host.zone[host.name] = [host.text.replace("p=", f"t={flags}; p=")]
    (host.control / "dkprotocols").write_text(protocols + "\n")
    found = [finding for finding in host.findings(domain)[1] if "Mail::DKIM" in finding["text"]]
    assert [(finding["level"], finding["subject"]) for finding in found] == (
        [("warn", host.name)] if warned else [])


def test_domains_found(host):
    """Those of the pattern whose directory is a domain and has a key."""
    for name in ("example.net", "not a domain", "EXAMPLE.ORG", "x.example.com"):
        (host.keys / name).mkdir()
        (host.keys / name / "default").symlink_to("nowhere")
    (host.keys / "empty.example").mkdir()
    _, found = host.findings()
    assert {finding["subject"] for finding in found if "link to nothing" in finding["text"]
            and not finding["subject"].startswith("trial")} == {
        f"{host.keys}/example.net/default", f"{host.keys}/x.example.com/default"}
    assert [finding["text"] for finding in found if finding["subject"] == "empty.example"] == [
        f"has a directory for keys, but no key by DKSIGN ({host.environment['DKSIGN']}), so its "
        "mail is not signed as empty.example"]
    status, found = host.findings("empty.example")
    assert status == 2 and "has no key" in found[0]["text"]


def test_what_a_terminal_would_not_show_is_escaped(host):
    """A byte that is not UTF-8, and a blank that has no width."""
    host.environment["DKSIGN"] = os.fsdecode(b"/k\xff/%/default\xe2\x80\x8b")
    output = host.run("check", DOMAIN).stdout
    assert "ok   DKSIGN: /k\\udcff/%/default\\u200b, from environment" in output
    assert output.replace("\n", "").isprintable()
    output = host.run("why", DOMAIN).stdout
    assert "DKSIGN=/k\\udcff/%/default\\u200b (environment)" in output
    assert output.replace("\n", "").isprintable()


def test_record_that_is_cut_short(host):
    """Not: no Python is recorded, so mail is deferred."""
    record = host.prefix / "installed"
    record.write_text(record.read_text()[:-10])
    for verb in "check", "why":
        assert "installed is cut short; remedy: run ./install.sh" in host.refused(verb, DOMAIN)


def test_misused(host):
    assert "is not a domain name" in host.refused("check", "../etc")


def test_colours_only_on_a_terminal(host):
    assert "\033" not in host.run("check").stdout
    shown, terminal = pty.openpty()
    process = subprocess.Popen([host.command, "check"], stdout=terminal, env=host.environment)
    os.close(terminal)
    output = b""
    try:
        while True:
            output += os.read(shown, 65536)
    except OSError:         # EIO: the other end is closed
        pass
    os.close(shown)
    process.wait()
    assert b"\033[32mok  \033[0m resolver" in output


@pytest.fixture
def open_directory():
    """A directory that everybody can go to, unlike tmp_path."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        yield directory


@pytest.mark.root
@pytest.mark.parametrize("mode, of_directory, level", [
    (0o644, 0o755, "ok"), (0o640, 0o755, "FAIL"), (0o644, 0o750, "FAIL"), (0o644, 0o711, "ok")])
def test_eyes_of_the_signer(open_directory, monkeypatch, mode, of_directory, level):
    """As root: the file is opened as another user does it."""
    for module in account, check_permissions:
        monkeypatch.setattr(module, "signers_account", lambda: account.Account(65534, 65534))
    path = os.path.join(open_directory, "key")
    with open(path, "w", encoding="ascii"):
        os.chmod(path, mode)
    os.chmod(open_directory, of_directory)
    (finding,) = check_permissions.reading_findings(path)
    assert finding.level == level
    assert (os.geteuid(), os.getegid()) == (0, 0) and os.getgroups() == GROUPS


@pytest.mark.root
def test_key_that_only_others_may_read(open_directory):
    """Whoever may not look says nothing of it but who may."""
    settings = Settings({"DKSIGN": f"{open_directory}/%/default"})
    directory = os.path.join(open_directory, DOMAIN)
    os.mkdir(directory, 0o700)
    with open(os.path.join(directory, "default"), "w", encoding="ascii"):
        pass
    with account.eyes_of(account.Account(65534, 65534)):
        assert key_places.domains(settings["DKSIGN"]) == [DOMAIN]
        (finding,) = check_keys.domain_findings(DOMAIN, settings, None)
    assert (finding.level, finding.remedy) == ("warn", "run this as root")


GROUPS = os.getgroups()
