# SPDX-License-Identifier: MIT
"""qmail-dk check: what it finds on a host where all is well, and then one thing is not."""

import json
import os
import pty
import shutil
import subprocess
import sys
import tempfile

import pytest

from lib import (
    admin_account, admin_check, admin_installation, admin_keys, admin_packages, crypto_openssl,
    settings)
from tests import rspawn, signing
from tests.administrator import DOMAIN, GROUP, Administrator, records
from tests.dns_server import DnsServer


class Host(Administrator):
    """A host where the signer and the verifier are installed, with a key and its record."""

    def __init__(self, directory, zone):
        self.prefix = directory / "prefix"
        self.prefix.mkdir()
        shutil.copytree(rspawn.CHECKOUT / "lib", self.prefix / "lib",
                        ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("qmail_remote_dk.py", "qmail_qfilter_verify.py"):
            shutil.copy(rspawn.CHECKOUT / name, self.prefix)
        super().__init__(directory, self.prefix)
        self.zone = zone
        self.bin = directory / "bin"
        self.bin.mkdir()
        for name, text in (("qmail-smtpd", "QMAILQUEUE\n"), ("qmail-rspawn", "1.03\n"),
                           ("qmail-remote.orig", "#!/bin/sh\nexec false\n"),
                           ("qmail-queue", "")):
            self.program(self.bin / name, text)
        self.remote = rspawn.install_launcher(self.bin, script=self.prefix / "qmail_remote_dk.py",
                                              qmail=directory)
        self.record_installation(self.remote)
        self.name = f"s1._domainkey.{DOMAIN}"
        self.text = records(self.keygen("s1"))[self.name]
        self.zone[self.name] = [self.text]

    def program(self, path, text):
        path.write_text(text)
        path.chmod(0o755)

    def record_installation(self, remote, **others):
        (self.prefix / "installed").write_text(
            f"qmail={self.directory}\nremote={remote}\n"
            f"launcher={self.prefix}/bin/qmail-remote\n"
            f"original={self.bin}/qmail-remote.orig\npython={rspawn.PYTHON}\n"
            + "".join(f"{name}={value}\n" for name, value in {"verify": "yes", **others}.items()))

    def make_next(self):
        """-> what rotate prints of the next key, s2."""
        return self.succeed("rotate", DOMAIN, "--selector", "s2", "--group", GROUP)

    def publish(self, output):
        self.zone.update({name: [text] for name, text in records(output).items()})

    @property
    def key(self):
        return self.keys / DOMAIN / "s1"

    def findings(self, *arguments):
        """-> (exit code, findings that are not ok).

        That no qmail runs here, which is always found, is left out.
        """
        found = [finding for finding in self.all_findings(*arguments) if finding["level"] != "ok"
                 and not finding["text"].startswith("no running qmail-rspawn")]
        return self.exit_code, found

    def all_findings(self, *arguments):
        done = self.run("check", "--json", *arguments)
        assert done.stderr == ""
        self.exit_code = done.returncode
        return json.loads(done.stdout)


@pytest.fixture
def host(tmp_path):
    with DnsServer({}) as server:
        host = Host(tmp_path, server.zone)
        host.environment["DNSCACHEIP"] = server.address
        host.environment["DKTIMEOUT"] = "3"
        yield host


def test_all_is_well(host):
    status, found = host.findings()
    if os.geteuid() != 0:       # an ordinary user could change a key of his own
        found = [finding for finding in found if "belongs to user" not in finding["text"]]
    assert (status, found) == (1, [])       # 1: no qmail runs here


def test_running_qmail(host):
    """Its environment is fixed when it starts, and is what counts."""
    shutil.copy(shutil.which("sleep"), host.bin / "qmail-rspawn")
    host.record_installation("QMAILREMOTE")
    del host.environment["DKTIMEOUT"]
    environment = {**host.environment, "QMAILREMOTE": str(host.remote), "DKTIMEOUT": "4"}
    with subprocess.Popen([host.bin / "qmail-rspawn", "60"], env=environment) as process:
        output = host.run("check").stdout
        process.kill()
    assert f"ok   {host.remote}: starts {host.prefix}/qmail_remote_dk.py" in output
    assert "ok   DKTIMEOUT: 4, from environment of qmail-rspawn" in output
    assert "FAIL" not in output and "no running qmail-rspawn" not in output

    with subprocess.Popen([host.bin / "qmail-rspawn", "60"], env={}) as process:
        output = host.run("check").stdout
        process.kill()
    assert "FAIL QMAILREMOTE: is not in the environment of qmail-rspawn" in output


def test_qmail_runs_something_else(host):
    """By a variable that another tool needed; the launcher is in its place all the same."""
    shutil.copy(shutil.which("sleep"), host.bin / "qmail-rspawn")
    environment = {**host.environment, "QMAILREMOTE": "/var/qmail/bin/spawn-filter"}
    with subprocess.Popen([host.bin / "qmail-rspawn", "60"], env=environment) as process:
        status, found = host.findings()
        process.kill()
    assert status == 1 and "names /var/qmail/bin/spawn-filter, which" in str(found)


def test_not_switched_on(host):
    """After ./install.sh --verify."""
    host.record_installation(f"{host.prefix}/bin/qmail-remote")
    (host.prefix / "bin").mkdir()
    shutil.copy(host.remote, host.prefix / "bin")
    status, found = host.findings()
    assert status == 1 and "not switched on" in str(found)
    assert "run ./install.sh --sign" in str(found)


def test_which_qmail_only_root_can_see(open_directory):
    if os.geteuid() != 0:
        pytest.skip("needs to be root")
    os.mkdir(f"{open_directory}/bin", 0o700)
    with admin_account.eyes_of(admin_account.Account(65534, 65534)):
        (finding,) = admin_installation.qmail_findings(open_directory)
    assert (finding.level, finding.remedy) == ("warn", "run this as root")


def test_what_it_says(host):
    lines = host.run("check").stdout.splitlines()
    for line in (f"ok   {host.key}: nobody else can read or change it",
                 f"ok   {host.name}: the record is that of the key",
                 f"ok   {host.directory}: netqmail or notqmail before 1.08: QMAILQUEUE, no "
                 "QMAILREMOTE",
                 f"ok   {host.remote}: starts {host.prefix}/qmail_remote_dk.py",
                 "ok   DKPROTOCOLS: dkim domainkeys, from default",
                 "ok   DKTIMEOUT: 3, from environment of this command"):
        assert line in lines or os.geteuid() != 0 and "nobody else" in line
    trials = [line for line in lines if line.startswith(f"ok   trial {DOMAIN}: ")]
    assert [line.split(": ")[1].split()[0] for line in trials] == ["dkim=pass", "domainkeys=pass"]
    assert f"header.d={DOMAIN} header.s=s1" in trials[0]


# What qmail's programs know -> which qmail it is.
KINDS = {
    ("", ""): "qmail 1.03: no QMAILQUEUE, no QMAILREMOTE",
    ("QMAILQUEUE", ""): "netqmail or notqmail before 1.08: QMAILQUEUE, no QMAILREMOTE",
    ("QMAILQUEUE", "QMAILREMOTE"): "notqmail 1.08 or later: QMAILQUEUE and QMAILREMOTE",
}


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("smtpd, of_rspawn", KINDS)
def test_which_qmail(tmp_path, smtpd, of_rspawn, resident):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "qmail-smtpd").write_text(smtpd)
    (tmp_path / "bin" / "qmail-rspawn").write_text("qmail_rspawn.py" if resident else of_rspawn)
    (tmp_path / "bin" / "qmail-rspawn.orig").write_text(of_rspawn)
    (finding,) = admin_installation.qmail_findings(str(tmp_path))
    assert (finding.level, finding.text) == ("ok", KINDS[smtpd, of_rspawn])


def test_settings_from_control_files(host):
    (host.control / "dkimcanon").write_text("simple/simple\n")
    assert (f"ok   DKIMCANON: simple/simple, from {host.control}/dkimcanon"
            in host.run("check").stdout)


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


def rotated(host):
    host.publish(host.make_next())
    host.succeed("rotate", DOMAIN, "--activate")


def former_withdrawn_early(host):
    rotated(host)
    no_record(host)


def former_gone(host):
    rotated(host)
    host.key.unlink()


def former_not_needed(host):
    rotated(host)
    (host.control / "queuelifetime").write_text("0\n")


def older_tools_link(host):
    """As sagredo's script made it; that tool took the link's name for the selector."""
    host.key.rename(host.key.with_name("rsa.private_default"))
    (host.keys / DOMAIN / "default").unlink()
    (host.keys / DOMAIN / "default").symlink_to("rsa.private_default")
    host.zone[f"default._domainkey.{DOMAIN}"] = [host.text]
    no_record(host)


def older_tools_selector(host, selector="s2014"):
    """As Joerg Backschues' script made it, with a link by the whole path."""
    host.key.rename(host.key.with_name("rsa.private_" + selector))
    (host.keys / DOMAIN / "default").unlink()
    (host.keys / DOMAIN / "default").symlink_to(host.key.with_name("rsa.private_" + selector))
    host.zone[f"{selector}._domainkey.{DOMAIN}"] = [host.text]
    no_record(host)


def older_tools_selector_in_a_file(host):
    (host.keys / DOMAIN / "selector").write_text("old\n")
    host.zone[f"old._domainkey.{DOMAIN}"] = [host.text]
    no_record(host)


def selector_is_a_directory(host):
    (host.keys / DOMAIN / "selector").mkdir()
    no_record(host)


def world_readable(host):
    host.key.chmod(0o644)


def group_writable(host):
    host.key.chmod(0o660)


def directory_writable(host):
    host.key.parent.chmod(0o777)


def directory_of_all_domains_writable(host):
    host.keys.chmod(0o757)


def moved_away(host, path):
    """To where everybody can write, with a link in its place."""
    elsewhere = host.directory / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o777)
    shutil.move(path, elsewhere)
    path.symlink_to(elsewhere / path.name)


def key_is_a_link(host):
    moved_away(host, host.key)


def directory_is_a_link(host):
    moved_away(host, host.keys / DOMAIN)


def link_in_the_middle(host):
    """From a directory to a link where everybody can write, and on to the key."""
    moved_away(host, host.key)
    middle = host.directory / "elsewhere" / "s1"
    shutil.move(middle, host.directory / "safe")
    middle.symlink_to(host.directory / "safe")


def directory_of_another(host):
    os.chown(host.keys / DOMAIN, 12345, -1)


def directory_of_all_domains_of_another(host):
    os.chown(host.keys, 12345, -1)


def directory_of_all_domains_of_a_group(host):
    os.chown(host.keys, -1, 12345)
    host.keys.chmod(0o775)


FOR_ROOT = (directory_of_another, directory_of_all_domains_of_another,
            directory_of_all_domains_of_a_group)


def garbage(host):
    host.key.write_text("rubbish")


def dangling(host):
    host.key.unlink()


def no_keys(host):
    shutil.rmtree(host.keys)


def small_key(host):
    replace_key(host, 512)


def weak_key(host):
    replace_key(host, 1024)


def replace_key(host, bits):
    """Another key, and its record."""
    pem = crypto_openssl.generate("rsa", bits).pem()
    host.key.write_bytes(pem)
    host.zone[host.name] = [signing.record(pem)]


def no_record(host):
    del host.zone[host.name]


def servfail(host):
    host.zone[host.name] = {"rcode": "SERVFAIL"}


def other_record(host):
    host.zone[host.name] = [signing.record(signing.key("rsa.pem"))]


def in_test_mode(host):
    host.zone[host.name] = [host.text.replace("p=", "t=y; p=")]


def version_not_first(host):
    host.zone[host.name] = [host.text.partition("; ")[2] + "; v=DKIM1"]


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


def no_packages(host):
    """As with a private environment that never had them."""
    environment = host.directory / "environment"
    (environment / "bin").mkdir(parents=True)
    (environment / "pyvenv.cfg").write_text(f"home = {os.path.dirname(rspawn.PYTHON)}\n")
    python = environment / "bin" / "python"
    python.symlink_to(rspawn.PYTHON)
    host.command.write_text(host.command.read_text().replace(sys.executable, str(python)))
    return environment


def old_packages(host):
    """As those of an older distribution."""
    version = "python{}.{}".format(*sys.version_info)
    described = no_packages(host) / "lib" / version / "site-packages" / "dnspython-2.0.0.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: dnspython\nVersion: 2.0.0\n")


def key_for_all_domains(host):
    host.environment["DKSIGN"] = str(host.key)


def not_installed(host):
    (host.prefix / "installed").unlink()


def qmail_installed_anew(host):
    shutil.copy("/bin/true", host.remote)


def launcher_not_executable(host):
    host.remote.chmod(0o644)


def launcher_gone(host):
    host.remote.unlink()


def launcher_beside_gone(host):
    """As install.sh has it, bin/qmail-remote is one line that names the launcher beside it."""
    host.remote.write_text(f"#!/bin/sh {host.remote}.launcher\n"
                           f"# It starts {host.prefix}/qmail_remote_dk.py.\n")


def original_gone(host):
    (host.bin / "qmail-remote.orig").unlink()


def original_is_ours(host):
    shutil.copy(host.remote, host.bin / "qmail-remote.orig")


def python_gone(host):
    path = host.prefix / "installed"
    path.write_text(path.read_text().replace(rspawn.PYTHON, "/no/such/python"))
    host.remote.write_text(host.remote.read_text().replace(rspawn.PYTHON, "/no/such/python"))


def only_signs(host):
    """By ./install.sh --sign."""
    no_packages(host)
    host.record_installation(host.remote, verify="")


def next_waits_without_packages(host):
    host.make_next()
    only_signs(host)


def replaced_queue(host, text):
    host.record_installation(host.remote, queue_original=host.bin / "qmail-queue.orig")
    host.program(host.bin / "qmail-queue.orig", "")
    host.program(host.bin / "qmail-queue", text)


def queue_installed_anew(host):
    replaced_queue(host, "\177ELF")


def queue_not_executable(host):
    replaced_queue(host, f"{host.prefix}/qmail_qfilter_verify.py")
    (host.bin / "qmail-queue").chmod(0o644)


def queue_original_gone(host):
    replaced_queue(host, f"{host.prefix}/qmail_qfilter_verify.py")
    (host.bin / "qmail-queue.orig").unlink()


def no_queue_program(host):
    host.environment["DKQUEUE"] = "/nonexistent"


def bad_choice(host):
    host.environment["DKFORWARDED"] = "foo"


def bad_setting(host):
    host.environment["DKPROTOCOLS"] = "dkim domainkey"


def bad_timeout(host):
    host.environment["DKTIMEOUT"] = "soon"


def bad_control_file(host):
    (host.control / "dkimcanon").mkdir()


def no_qmail(host):
    shutil.rmtree(host.bin)


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
    older_tools_link: [("FAIL", "rsa.private_default._domainkey.example.com is not in the DNS, but "
                        "default._domainkey.example.com has this key")],
    older_tools_selector: [("FAIL", "but s2014._domainkey.example.com has this key")],
    older_tools_selector_in_a_file: [("FAIL", "but old._domainkey.example.com has this key")],
    selector_is_a_directory: [("FAIL", "s1._domainkey.example.com is not in the DNS: ")],
    world_readable: [("warn", "s1 others can read it")],
    group_writable: [("FAIL", "s1 others than its owner can change it")],
    directory_writable: [("FAIL", "example.com others than its owner can change it")],
    directory_of_all_domains_writable: [("FAIL", "keys others can put other keys there")],
    key_is_a_link: [("FAIL", "elsewhere others than its owner can change it")],
    link_in_the_middle: [("FAIL", "elsewhere others can put other keys there")],
    directory_is_a_link: [("FAIL", "elsewhere others can put other keys there")],
    directory_of_another: [("warn", "keys/example.com belongs to user number 12345")],
    directory_of_all_domains_of_another: [("warn", "keys belongs to user number 12345")],
    directory_of_all_domains_of_a_group: [("warn", "keys group number 12345 can put other keys")],
    garbage: [("FAIL", "s1: neither a PEM"), ("FAIL", "trial example.com deferred")],
    dangling: [("FAIL", "default is a link to nothing"),
               ("FAIL", "qmail-remote sent the message unsigned")],
    no_keys: [("FAIL", "keys no domain has a key")],
    small_key: [("FAIL", "s1 RSA of 512 bits is too small")],
    weak_key: [("warn", "s1 RSA of 1024 bits")],
    no_record: [("FAIL", "s1._domainkey.example.com is not in the DNS"),
                ("FAIL", "trial example.com dkim=permerror")],
    servfail: [("FAIL", "s1._domainkey.example.com the DNS can't be asked"),
               ("FAIL", "trial example.com dkim=temperror")],
    other_record: [("FAIL", "s1._domainkey.example.com p= is not the public half"),
                   ("FAIL", "trial example.com dkim=fail")],
    in_test_mode: [("warn", "s1._domainkey.example.com t=y")],
    version_not_first: [("FAIL", "s1._domainkey.example.com v= is not DKIM1, or not the first")],
    excludes_sha1: [("warn", "s1._domainkey.example.com h= excludes sha1"),
                    ("FAIL", "trial example.com domainkeys=permerror")],
    excludes_sha256: [("FAIL", "s1._domainkey.example.com h= excludes sha256"),
                      ("FAIL", "trial example.com dkim=permerror")],
    limited: [("warn", "s1._domainkey.example.com g= limits")],
    spf_beside: [("warn", "s1._domainkey.example.com a TXT record there is no key record")],
    no_resolver: [("FAIL", "resolver 127.0.0.1#1 gives no answer")],
    not_installed: [("FAIL", "prefix not installed")],
    qmail_installed_anew: [("FAIL", "bin/qmail-remote does not start")],
    launcher_not_executable: [("FAIL", "bin/qmail-remote is not executable"),
                              ("FAIL", "trial example.com can't be made")],
    launcher_gone: [("FAIL", "bin/qmail-remote can't be read: No such file")],
    launcher_beside_gone: [("FAIL", "qmail-remote.launcher is missing, so all mail bounces"),
                           ("FAIL", "trial example.com")],
    original_gone: [("FAIL", "qmail-remote.orig the original qmail-remote is not there")],
    original_is_ours: [("FAIL", "qmail-remote.orig is not the original")],
    python_gone: [("FAIL", "/no/such/python the interpreter"),
                  ("FAIL", "trial example.com deferred")],
    bad_setting: [("FAIL", "settings DKPROTOCOLS: 'domainkey' is not one of")],
    bad_choice: [("FAIL", "settings DKFORWARDED: 'foo' is not one of")],
    no_queue_program: [("FAIL", "/nonexistent the queue program for verified mail can't be run")],
    queue_installed_anew: [("FAIL", "bin/qmail-queue does not start")],
    queue_not_executable: [("FAIL", "bin/qmail-queue is not executable, so all mail is deferred")],
    queue_original_gone: [("FAIL", "bin/qmail-queue.orig the queue program")],
    bad_timeout: [("FAIL", "settings DKTIMEOUT: 'soon' is not a number of seconds"),
                  ("FAIL", "resolver 127.0.0.1"), ("FAIL", "trial example.com")],
    bad_control_file: [("FAIL", "DKIMCANON unable to read")],
    key_for_all_domains: [("warn", "keys DKSIGN names a key for all domains")],
    bad_resolver: [("FAIL", "resolver rubbish gives no answer: DNSCACHEIP"),
                   ("FAIL", "s1._domainkey.example.com the DNS can't be asked")],
    old_packages: [("FAIL", "dnspython 2.0.0 is too old: it must be 2.3 or later"),
                   ("FAIL", "dkimpy is not installed")],
    no_packages: [("FAIL", "dnspython is not installed"), ("FAIL", "dkimpy is not installed"),
                  ("FAIL", "cryptography is not installed")],
    only_signs: [("warn", "dnspython is not installed"), ("warn", "dkimpy is not installed"),
                 ("warn", "cryptography is not installed")],
    next_waits_without_packages: [("warn", "default.next does not sign yet")],
    no_qmail: [("FAIL", "no qmail is to be seen there")],
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda f: f.__name__)
def test_damage(host, damage):
    if damage in FOR_ROOT and os.geteuid() != 0:
        pytest.skip("needs to be root")
    damage(host)
    status, found = host.findings()
    assert status == (2 if any(finding["level"] == "FAIL" for finding in found) else 1)
    for level, words in DAMAGE[damage]:
        matching = [finding for finding in found if finding["level"] == level
                    and words in f"{finding['subject']} {finding['text']}"]
        assert matching, (words, found)
        assert all(finding["remedy"] for finding in matching)


def test_host_that_only_signs(host):
    """What it lacks is told once, and asked for where nothing goes without it."""
    next_waits_without_packages(host)
    status, found = host.findings()
    assert status == 1 and len([f for f in found if "not installed" in f["text"]]) == len(found) - 1
    assert f"ok   trial {DOMAIN}: signed" in host.run("check").stdout
    lacking = "the DNS can't be asked: dkimpy is not installed"
    assert lacking in host.refused("rotate", DOMAIN, "--activate")
    assert lacking in host.refused("verify")
    host.succeed("rotate", DOMAIN, "--activate", "--force")


@pytest.mark.parametrize("damage, selector", [
    (older_tools_link, "default"), (older_tools_selector, "s2014"),
    (older_tools_selector_in_a_file, "old")], ids=lambda value: getattr(value, "__name__", value))
def test_older_tools_selector_is_mended(host, damage, selector):
    """By the remedy, literally."""
    damage(host)
    _, found = host.findings()
    (remedy,) = {finding["remedy"] for finding in found if "has this key" in finding["text"]}
    subprocess.run(["/bin/sh", "-euc", remedy], check=True)
    status, found = host.findings()
    if os.geteuid() != 0:
        found = [finding for finding in found if "belongs to user" not in finding["text"]]
    assert (status, found) == (1, [])
    assert f"s={selector} " in host.succeed("why", DOMAIN)


def test_key_is_changed(host):
    """With both records in the DNS, nothing is to be complained about."""
    rotated(host)
    status, found = host.findings()
    if os.geteuid() != 0:
        found = [finding for finding in found if "belongs to user" not in finding["text"]]
    assert (status, found) == (1, [])


def test_domain_below(host):
    """The key of a domain above signs, as why says."""
    status, found = host.findings("lists.example.com")
    assert status == 1 and not [finding for finding in found if finding["level"] == "FAIL"]
    assert (f"ok   lists.{DOMAIN}: has no key that signs, so that of {DOMAIN} does"
            in host.run("check", f"lists.{DOMAIN}").stdout)
    no_record(host)
    assert host.findings("lists.example.com")[0] == 2


def test_domains_found(host):
    """Those of the pattern whose directory is a domain and has a key."""
    for name in ("example.net", "not a domain", "EXAMPLE.ORG", "x.example.com"):
        (host.keys / name).mkdir()
        (host.keys / name / "default").symlink_to("nowhere")
    (host.keys / "empty.example").mkdir()
    _, found = host.findings()
    assert {finding["subject"] for finding in found if "link to nothing" in finding["text"]} == {
        f"{host.keys}/example.net/default", f"{host.keys}/x.example.com/default"}
    assert "empty.example" not in str(found)
    status, found = host.findings("empty.example")
    assert status == 2 and "has no key" in found[0]["text"]


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


@pytest.mark.parametrize("mode, of_directory, level", [
    (0o644, 0o755, "ok"), (0o640, 0o755, "FAIL"), (0o644, 0o750, "FAIL"), (0o644, 0o711, "ok")])
def test_eyes_of_the_signer(open_directory, monkeypatch, mode, of_directory, level):
    """As root: the file is opened as another user does it."""
    if os.geteuid() != 0:
        pytest.skip("needs to be root")
    monkeypatch.setattr(admin_account, "signers_account",
                        lambda: admin_account.Account(65534, 65534))
    path = os.path.join(open_directory, "key")
    with open(path, "w", encoding="ascii"):
        os.chmod(path, mode)
    os.chmod(open_directory, of_directory)
    (finding,) = admin_check.reading_findings(path)
    assert finding.level == level
    assert (os.geteuid(), os.getegid()) == (0, 0) and os.getgroups() == GROUPS


def test_key_that_only_others_may_read(open_directory):
    """Whoever may not look says nothing of it but who may."""
    if os.geteuid() != 0:
        pytest.skip("needs to be root")
    in_force = settings.Settings({"DKSIGN": f"{open_directory}/%/default"})
    directory = os.path.join(open_directory, DOMAIN)
    os.mkdir(directory, 0o700)
    with open(os.path.join(directory, "default"), "w", encoding="ascii"):
        pass
    with admin_account.eyes_of(admin_account.Account(65534, 65534)):
        assert admin_keys.domains(in_force["DKSIGN"]) == [DOMAIN]
        (finding,) = admin_check.domain_findings(DOMAIN, in_force, None)
    assert (finding.level, finding.remedy) == ("warn", "run this as root")


GROUPS = os.getgroups()


def test_the_least_versions_are_those_of_the_requirements():
    lines = (rspawn.CHECKOUT / "requirements.txt").read_text().splitlines()
    assert admin_packages.LEAST == dict(line.split(">=") for line in lines if line[:1] != "#")
