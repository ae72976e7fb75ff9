# SPDX-License-Identifier: MIT
"""qmail-dk check: which qmail it is, whether it starts our programs, packages and settings."""

import shutil
import subprocess
import sys

import pytest

from lib.admin import check_installation, check_packages
from tests.support import rspawn
from tests.support.administrator import DOMAIN, records
from tests.support.checked_host import (      # noqa: F401
    assert_found, host, next_waits_without_packages, no_packages, only_signs,
)


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
    host.program(host.bin / "spawn-filter", "")
    environment = {**host.environment, "QMAILREMOTE": str(host.bin / "spawn-filter")}
    with subprocess.Popen([host.bin / "qmail-rspawn", "60"], env=environment) as process:
        status, found = host.findings()
        process.kill()
    assert status == 1 and f"names {host.bin}/spawn-filter, which" in str(found)


@pytest.mark.parametrize("remote", ["QMAILREMOTE", "in its place"])
def test_qmail_runs_what_is_not_there(host, remote):
    """As when the prefix, where the launcher was once, is not mounted."""
    shutil.copy(shutil.which("sleep"), host.bin / "qmail-rspawn")
    if remote == "QMAILREMOTE":
        host.record_installation(remote)
    environment = {**host.environment, "QMAILREMOTE": "/none/qmail-remote"}
    with subprocess.Popen([host.bin / "qmail-rspawn", "60"], env=environment) as process:
        status, found = host.findings()
        process.kill()
    fails = [f"{finding['subject']}: {finding['text']}" for finding in found
             if finding["level"] == "FAIL"]
    assert status == 2
    assert any("/none/qmail-remote" in line and "all mail bounces" in line for line in fails)


SETS = {        # what the start script says -> whether that is found to lead nowhere
    "QMAILREMOTE=/none/qmail-remote exec qmail-start": True,
    "export QMAILREMOTE='/none/qmail-remote'; qmail-start": True,
    "QMAILREMOTE=$BIN/qmail-remote exec qmail-start": False,
    "QMAILREMOTE=/none/$remote exec qmail-start": False,
    "# QMAILREMOTE=/none/qmail-remote exec qmail-start": False,
    "QMAILREMOTE=/none/qmail-remote exec qmail-smtpd": False,
}


@pytest.mark.parametrize("place", ["rc", "supervise/qmail-send/run"])
@pytest.mark.parametrize("text", SETS)
def test_start_script_that_names_what_is_not_there(host, place, text):
    script = host.directory / place
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text("#!/bin/sh\n" + text.replace("$BIN", str(host.bin)) + " ./Mailbox\n")
    _, found = host.findings()
    found = [finding for finding in found if finding["subject"] == str(script)]
    assert [finding["level"] for finding in found] == ["FAIL"] * SETS[text]
    assert not found or "all mail bounces when qmail is restarted" in found[0]["text"]


def test_not_switched_on(host):
    """After ./install.sh --verify."""
    host.record_installation(f"{host.prefix}/bin/qmail-remote")
    (host.prefix / "bin").mkdir()
    shutil.copy(host.remote, host.prefix / "bin")
    status, found = host.findings()
    assert status == 1 and "not switched on" in str(found)
    assert "run ./install.sh --sign" in str(found)


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
    (tmp_path / "control").mkdir()
    (tmp_path / "bin" / "qmail-smtpd").write_text(smtpd)
    (tmp_path / "bin" / "qmail-rspawn").write_text("qmail_rspawn.py" if resident else of_rspawn)
    (tmp_path / "bin" / "qmail-rspawn.orig").write_text(of_rspawn)
    (finding,) = check_installation.qmail_findings(str(tmp_path))
    assert (finding.level, finding.text) == ("ok", KINDS[smtpd, of_rspawn])


def control_file_dangling(host):
    (host.control / "dkimcanon").symlink_to("nowhere")


def old_packages(host):
    """As those of an older distribution."""
    version = "python{}.{}".format(*sys.version_info) + ("t" if "t" in sys.abiflags else "")
    described = no_packages(host) / "lib" / version / "site-packages" / "dnspython-2.0.0.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: dnspython\nVersion: 2.0.0\n")


def not_installed(host):
    (host.prefix / "installed").unlink()


def qmail_installed_anew(host):
    shutil.copy("/bin/true", host.remote)


def launcher_not_executable(host):
    host.remote.chmod(0o644)


def python_replaced(host):
    """By another version, for which nothing is compiled; qmail's users can't write there."""
    shutil.rmtree(host.compiled.parent)
    host.compiled.parent.touch()


def control_not_mounted(host):
    host.control.rename(host.directory / "elsewhere")
    host.control.symlink_to("/nowhere/control")


def launcher_not_readable(host):
    """As after a restoration under another umask: the kernel starts it, but sh can't read it."""
    host.remote.chmod(0o711)


def launcher_empty(host):
    host.remote.write_bytes(b"")


def original_empty(host):
    (host.bin / "qmail-remote.orig").write_bytes(b"")


def launcher_gone(host):
    host.remote.unlink()


def launcher_beside_gone(host):
    """As install.sh has it, bin/qmail-remote is one line that names the launcher beside it."""
    host.remote.write_text(f"#!/bin/sh {host.remote}.launcher\n"
                           f"# It starts {host.prefix}/qmail_remote_dk.py.\n")


def launcher_of_another_installation(host):
    """As when a second prefix was uninstalled in part."""
    launcher_beside_gone(host)
    host.program(host.bin / "qmail-remote.launcher", "/other/qmail_remote_dk.py\n")


def signer_gone(host):
    (host.prefix / "qmail_remote_dk.py").unlink()


def original_gone(host):
    (host.bin / "qmail-remote.orig").unlink()


def original_is_ours(host):
    shutil.copy(host.remote, host.bin / "qmail-remote.orig")


def python_gone(host):
    path = host.prefix / "installed"
    path.write_text(path.read_text().replace(rspawn.PYTHON, "/no/such/python"))
    host.remote.write_text(host.remote.read_text().replace(rspawn.PYTHON, "/no/such/python"))


def replaced_queue(host, text):
    host.record_installation(host.remote, queue_original=host.bin / "qmail-queue.orig")
    host.program(host.bin / "qmail-queue.orig", "")
    host.program(host.bin / "qmail-queue", text)


def queue_installed_anew(host):
    replaced_queue(host, "\177ELF")


def queue_launcher_empty(host):
    beside = host.bin / "qmail-queue.launcher"
    beside.touch()
    replaced_queue(host, f"#!/bin/sh {beside}\n# {host.prefix}/qmail_qfilter_verify.py\n")


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


def bad_control_file(host):
    (host.control / "dkimcanon").mkdir()


def odd_bytes_in_a_pattern(host):
    host.environment["DKSIGN"] += "\r\ufeff:/k/%\u200b"


def odd_bytes_in_a_control_file(host):
    (host.control / "dkimidentity").write_bytes(b"\xff\xfe@\0%\0")


def odd_bytes_in_paths(host):
    for name in "dkremote", "dkserver", "dkqueue":
        (host.control / name).write_bytes(b"/bin/true\0\n")


def relative_queue_program(host):
    (host.control / "dkqueue").write_text("bin/no-such-queue\n")


def no_qmail(host):
    shutil.rmtree(host.bin)


# What is done to the host -> findings that must be there: (level, words of subject and text).
DAMAGE = {
    queue_launcher_empty: [("FAIL", "qmail-queue.launcher is empty, so all mail is accepted and "
                            "LOST")],
    odd_bytes_in_paths: [("FAIL", "settings DKREMOTE: '/bin/true"),
                         ("FAIL", "settings DKQUEUE: '/bin/true")],
    python_replaced: [("warn", "is another version than install.sh found there")],
    control_not_mounted: [("FAIL", "control is no directory that can be read")],
    launcher_not_readable: [("FAIL", "qmail-remote qmail's users can't read it, so all mail "
                             "bounces")],
    launcher_empty: [("FAIL", "qmail-remote is empty, so all mail bounces")],
    original_empty: [("FAIL", "the original qmail-remote is empty, so all mail is deferred")],
    relative_queue_program: [("FAIL", "bin/no-such-queue the queue program")],
    odd_bytes_in_a_pattern: [("FAIL", "settings DKSIGN: '")],
    odd_bytes_in_a_control_file: [("FAIL", "settings DKIMIDENTITY: ")],
    control_file_dangling: [("FAIL", "dkimcanon is a link to nothing")],
    not_installed: [("FAIL", "prefix not installed")],
    qmail_installed_anew: [("FAIL", "bin/qmail-remote does not start")],
    launcher_not_executable: [("FAIL", "bin/qmail-remote is not executable")],
    launcher_gone: [("FAIL", "bin/qmail-remote can't be read (No such file")],
    launcher_beside_gone: [("FAIL", "qmail-remote.launcher is missing, so all mail bounces")],
    launcher_of_another_installation: [("FAIL", "qmail-remote.launcher is of another installat")],
    signer_gone: [("FAIL", "bin/qmail-remote starts "),
                  ("FAIL", "qmail_remote_dk.py, which is gone, so all mail is deferred")],
    original_gone: [("FAIL", "qmail-remote.orig the original qmail-remote is not there")],
    original_is_ours: [("FAIL", "qmail-remote.orig is not the original")],
    python_gone: [("FAIL", "/no/such/python the Python that install.sh used"),
                  ("FAIL", "trial example.com deferred")],
    bad_setting: [("FAIL", "settings DKPROTOCOLS: 'domainkey' is not one of")],
    bad_choice: [("FAIL", "settings DKFORWARDED: 'foo' is not one of")],
    no_queue_program: [("FAIL", "/nonexistent the queue program for verified mail can't be run")],
    queue_installed_anew: [("FAIL", "bin/qmail-queue does not start")],
    queue_not_executable: [("FAIL", "bin/qmail-queue is not executable, so all mail is deferred")],
    queue_original_gone: [("FAIL", "bin/qmail-queue.orig the queue program")],
    bad_control_file: [("FAIL", "DKIMCANON unable to read")],
    old_packages: [("FAIL", "dnspython 2.0.0 is too old: it must be 2.3 or later"),
                   ("FAIL", "dkimpy is not installed")],
    no_packages: [("FAIL", "dnspython is not installed"), ("FAIL", "dkimpy is not installed"),
                  ("FAIL", "cryptography is not installed")],
    only_signs: [("warn", "dnspython is not installed"), ("warn", "dkimpy is not installed"),
                 ("warn", "cryptography is not installed")],
    next_waits_without_packages: [("warn", "default.next does not sign yet")],
    no_qmail: [("FAIL", "no qmail was found there")],
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda f: f.__name__)
def test_damage(host, damage):
    assert_found(host, damage, DAMAGE[damage])


SWITCHED_OFF = (qmail_installed_anew, launcher_not_executable, launcher_gone,
                launcher_beside_gone, launcher_of_another_installation, signer_gone)


@pytest.mark.parametrize("damage", [*SWITCHED_OFF, python_gone], ids=lambda f: f.__name__)
def test_what_is_wrong_for_all_domains_is_told_once(host, damage):
    """With the remedy that helps; no program but ours is tried."""
    for domain in ("example.net", "example.org"):
        host.zone[f"s1._domainkey.{domain}"] = [records(host.keygen("s1", domain=domain))[
            f"s1._domainkey.{domain}"]]
    damage(host)
    _, found = host.findings()
    trials = [finding["subject"] for finding in found if finding["subject"].startswith("trial")]
    if damage is python_gone:
        assert trials == ["trial example.com"]      # the programs are run for the first
    else:
        assert not trials
        (finding,) = [finding for finding in found if finding["level"] == "FAIL"]
        assert "qmail-dk why" not in finding["remedy"]


def switched_on(host):
    pass


def switched_off(host):
    host.record_installation(f"{host.prefix}/bin/qmail-remote")


def by_a_qmail_that_does_not_run(host):
    host.record_installation("QMAILREMOTE")


# What is done to the host -> exit code of why, the beginning of the first line.
SIGNING = {
    switched_on: (0, "signing is on: {bin}/qmail-remote starts {prefix}/qmail_remote_dk.py"),
    qmail_installed_anew: (1, "signing is OFF: {bin}/qmail-remote does not start {prefix}/"),
    launcher_gone: (1, "signing is OFF: {bin}/qmail-remote can't be read"),
    original_gone: (1, "signing is OFF: {bin}/qmail-remote.orig the original qmail-remote is not"),
    python_gone: (1, "signing is OFF: /no/such/python the Python that install.sh used"),
    switched_off: (1, "signing is OFF: {prefix}/bin/qmail-remote is prepared, but not switched on"),
    by_a_qmail_that_does_not_run: (0, "whether signing is on is not known: QMAILREMOTE no running"),
    not_installed: (0, "signing: nothing is installed here"),
}


@pytest.mark.parametrize("damage", SIGNING, ids=lambda f: f.__name__)
def test_why_first_says_whether_signing_is_on(host, damage):
    damage(host)
    done = host.run("why", DOMAIN)
    code, line = SIGNING[damage]
    assert done.returncode == code and "dkim: signed by d=example.com" in done.stdout
    first = done.stdout.splitlines()[0]
    assert first.startswith(line.format(bin=host.bin, prefix=host.prefix)), first
    assert ("; remedy: " in first) == (damage not in (switched_on, not_installed))


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


def test_the_least_versions_are_those_of_the_requirements():
    lines = (rspawn.CHECKOUT / "requirements.txt").read_text().splitlines()
    assert check_packages.LEAST == dict(line.split(">=") for line in lines if line[:1] != "#")
