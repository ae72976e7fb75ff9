# SPDX-License-Identifier: MIT
"""The verifier: where install.sh puts it, its packages, and who can run it."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from tests.support import install_driver, resident
from tests.support.install_driver import (      # noqa: F401
    SIGNED, STRANGER, UNSIGNED, Host, directory, host, manifest, packages,
)
from tests.support.memory import ADVISED


def queue(host, message, **environment):
    """The exit code of bin/qmail-queue, whose original takes the message for a script."""
    read_end, write_end = os.pipe()
    with open(host.message, "rb+") as file:
        file.write(message)
        file.truncate()
        file.seek(0)
        os.write(write_end, b"Fjoe@example.com\0Tjane@example.net\0\0")
        os.close(write_end)
        code = subprocess.run([host.qmail / "bin" / "qmail-queue"], stdin=file, stdout=read_end,
                              env={**host.environment, **environment}).returncode
    os.close(read_end)
    return code


def test_all_with_system_packages(host):
    packages()
    before = manifest(host.qmail)
    text = host.install("--system-packages")
    assert "QMAILQUEUE=" + str(host.prefix / "bin" / "qmail-dk-verify") in text
    assert host.deliver() == SIGNED and not (host.qmail / "bin" / "qmail-queue.orig").exists()
    installed = manifest(host.directory)
    host.install("--verify")
    assert manifest(host.directory) == installed
    command = host.prefix.parent.parent / "bin" / "qmail-dk"
    assert os.readlink(command) == str(host.prefix / "bin" / "qmail-dk")
    host.uninstall()
    assert manifest(host.qmail) == before
    assert not [path for path in (host.directory / "usr").rglob("*") if not path.is_dir()]


def test_verifier_in_use_is_not_removed(host):
    """For qmail-smtpd would refuse all mail for now."""
    packages()
    host.install("--verify", "--system-packages")
    verifier = str(host.prefix / "bin" / "qmail-dk-verify")
    script = host.make_start_script(f"#!/bin/sh\nexport QMAILQUEUE={verifier}\nexec tcpserver\n",
                                    "supervise/qmail-smtpd/run")
    assert f"{script} names {verifier}" in host.refused("uninstall")
    script.write_text(f"#!/bin/sh\n# QMAILQUEUE={verifier}\nexec tcpserver\n")
    if os.path.exists("/proc/self/environ"):
        with subprocess.Popen(["sh", "-c", "echo; read line"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE,
                              env={**os.environ, "QMAILQUEUE": verifier}) as smtpd:
            smtpd.stdout.readline()     # Before it runs, its environment can't be read.
            assert f"process {smtpd.pid} was started with" in host.refused("uninstall")
            smtpd.stdin.close()
    assert "anything else names" in host.uninstall()
    assert not host.prefix.exists()


@pytest.mark.skipif(not os.path.exists("/proc/self/limits"), reason="needs /proc")
@pytest.mark.parametrize("limit, code", [(5_000_000, 1), (ADVISED, 0)])
def test_status_of_who_receives_mail(host, limit, code):
    """An old softlimit, under which all inbound mail gets 451."""
    packages()
    host.install("--verify", "--system-packages")
    environment = {"QMAILQUEUE": str(host.prefix / "bin" / "qmail-dk-verify"), "DKVERIFY": "f"}
    with subprocess.Popen(["sh", "-c", 'ulimit -v "$0"; echo; read line', str(limit // 1024)],
                          env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as smtpd:
        smtpd.stdout.readline()
        status, text = host.status()
        smtpd.stdin.close()
    assert status == code, text
    assert f"process {smtpd.pid}): verifies, DKVERIFY is f\n" in text
    (line,) = [line for line in text.splitlines() if f"process {smtpd.pid}): may take" in line]
    assert line.startswith("receiving: ")
    assert (f"remedy: softlimit -m {ADVISED} in the run script" in line) == bool(code)


@pytest.mark.skipif(not os.path.exists("/proc/self/limits"), reason="needs /proc")
@pytest.mark.parametrize("limit, code", [(12_000_000, 1), (ADVISED, 0)])
def test_status_of_who_sends_mail(host, limit, code):
    """An old softlimit, under which no mail is sent."""
    host.install()
    # A copy of echo would end at once.
    host.program("qmail-rspawn", install_driver.binary("sleep"), 0o755)
    with subprocess.Popen(["sh", "-c", 'ulimit -v "$0"; exec "$@"', str(limit // 1024),
                           host.qmail / "bin" / "qmail-rspawn", "60"], env={}) as rspawn:
        resident.until_true(lambda: os.readlink(f"/proc/{rspawn.pid}/exe").endswith("rspawn"))
        status, text = host.status()
        rspawn.kill()
    assert status == code, text
    (line,) = [line for line in text.splitlines() if f"process {rspawn.pid})" in line]
    assert line.startswith("sending: ")
    assert (f"remedy: softlimit -m {ADVISED} in the script that starts" in line) == bool(code)


def test_verify_alone_leaves_signing_as_it_is(host):
    packages()
    host.install("--verify", "--system-packages")
    assert host.deliver() == UNSIGNED and not host.original.exists()
    assert "prepared, not switched on" in host.status()[1]
    assert host.deliver(host.prefix / "bin" / "qmail-remote") == SIGNED
    host.install("--sign")
    assert host.deliver() == SIGNED and "verifying: prepared" in host.status()[1]


@pytest.mark.parametrize("part", ["--sign", "--verify"])
def test_one_part_alone_is_kept(host, part):
    """An upgrade switches nothing on, and of a host that only signs asks for no packages."""
    if part == "--verify":
        packages()
    host.install(part, "--system-packages")
    installed = manifest(host.directory)
    done = host.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert manifest(host.directory) == installed


def test_qmail_queue_replaced_where_it_must(directory):
    packages()
    host = Host(directory, "qmail 1.03")
    before = manifest(host.qmail)
    assert "./install.sh --verify" in host.install("--system-packages")
    original = host.qmail / "bin" / "qmail-queue.orig"
    assert not original.exists()
    host.install("--verify")
    assert original.stat().st_mode & 0o7777 == 0o4711
    assert (host.qmail / "bin" / "qmail-queue").stat().st_mode & 0o7777 == 0o755
    assert queue(host, b"exit 57\n") == 57
    assert queue(host, b"exit 57\n", DKVERIFY="C") == 31
    assert "verifying: on" in host.status()[1]
    host.program("qmail-queue", original.read_bytes() + b"\0", 0o4711)
    code, text = host.status()
    assert code == 1 and "verifying: OFF" in text
    host.install()
    assert queue(host, b"exit 57\n", DKVERIFY="C") == 31
    host.uninstall()
    after = manifest(host.qmail)
    path = str(host.qmail / "bin" / "qmail-queue")
    assert before.pop(path)[:3] == after.pop(path)[:3] and after == before


@pytest.mark.parametrize("size", [0, 400])
def test_a_record_that_is_cut_short(directory, size):
    """By a full disk, or half a backup: else the release that mail needs would be removed."""
    packages()
    host = Host(directory, "qmail 1.03")
    host.install("--sign", "--verify", "--system-packages")
    record = host.prefix / "installed"
    whole = record.read_text()
    record.write_text(whole[:size])
    code, text = host.status()
    assert code == 1 and f"{record} is lost or cut short; remedy: ./install.sh" in text
    host.install("--sign")
    assert record.read_text() == whole and host.status()[0] == 0
    assert host.deliver() == SIGNED
    assert queue(host, b"exit 57\n", DKVERIFY="C") == 31


def test_private_environment(host):
    done = host.run()
    if "the packages can't be installed" in done.stderr or "python3-venv" in done.stderr:
        assert done.returncode == 1 and host.deliver() == UNSIGNED
        assert not list(host.prefix.glob("*"))
        pytest.skip("needs a package index and python3-venv")
    assert (done.returncode, done.stderr) == (0, "")
    environment = pathlib.Path(host.recorded("environment"))
    assert environment.parent == host.prefix and host.deliver() == SIGNED
    installed = manifest(host.directory)
    host.install("--verify")
    assert manifest(host.directory) == installed

    shutil.rmtree(environment)
    assert host.status()[0] == 1 and host.deliver() == SIGNED


@pytest.mark.root
@pytest.mark.parametrize("flavour", ["netqmail", "qmail 1.03"])
def test_verifier_that_its_users_cannot_run(directory, flavour):
    """qmail-remote's user may enter the prefix, they may not."""
    packages()
    host = Host(directory, flavour)
    os.chown(host.qmail / "queue" / "lock" / "tcpto", STRANGER, STRANGER)
    closed = host.prefix.parent
    closed.mkdir(parents=True)
    os.chown(closed, 0, STRANGER)
    closed.chmod(0o750)
    said = host.refused("--sign", "--verify", "--system-packages")
    by = "qmaild|nobody" if flavour == "netqmail" else "nobody"
    assert re.search(f"the verifier, run by ({by}), .*denied.*remedy", said)
    host.install("--sign")
    assert host.status()[0] == 0

    closed.chmod(0o755)
    host.install("--verify", "--system-packages")
    assert host.status()[0] == 0
    closed.chmod(0o750)
    code, text = host.status()
    assert code == 1 and re.search(f"can't be started by ({by}), so mail is refused", text)
    closed.chmod(0o700)
    assert "can't be read by qmail-remote's user, so mail is deferred" in host.status()[1]
