# SPDX-License-Identifier: MIT
"""install.sh --resident on scratch hosts: the signer, and the way back."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

from tests.support import install_driver, resident
from tests.support.install_driver import (      # noqa: F401
    FLAVOURS, MESSAGE, NOBODY, SERVER, SIGNED, Host, directory, host, manifest, packages,
)

ROOT = os.getuid() == 0
pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/exe"), reason="needs /proc")


def rspawn(host):
    return host.qmail / "bin" / "qmail-rspawn"


@contextlib.contextmanager
def qmail_send(host):
    """Starts qmail-rspawn as qmail-start does -> function: a recipient's Delivery, as bytes.

    host.SENDER tells the stand-in of qmail-remote what to do: see install_driver.
    """
    mess = host.qmail / "queue" / "mess" / "0"
    mess.mkdir(parents=True, exist_ok=True)
    (mess / "1").write_bytes(MESSAGE)
    user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if ROOT else {}
    program = subprocess.Popen(
        [rspawn(host)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, cwd=mess.parent,
        env={**host.environment, "DKREMOTE": str(host.directory / "qmail-remote")}, **user)

    def deliver():
        program.stdin.write(b"\x000/1\0joe@example.com\0jane@example.net\0")
        answer = b""
        while answer.count(b"\0") < 2:
            answer += os.read(program.stdout.fileno(), 1024)
        return answer
    with program:
        try:
            assert program.stdout.read(1) == b"\n"
            yield deliver
        finally:
            program.stdin.close()


@pytest.fixture
def remote(host):
    """In the place of the original qmail-remote, for the addresses that qmail_send() gives."""
    path = host.directory / "qmail-remote"
    path.write_text("#!/bin/sh" + install_driver.SENDER)
    path.chmod(0o755)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_signer(directory, flavour):
    host = Host(directory, flavour)
    before = manifest(host.qmail)
    text = host.install("--sign", "--resident")
    assert "resident:  off until qmail is restarted" in text and host.status()[0] == 0
    assert host.recorded("concurrency") == "10"
    assert oct(rspawn(host).stat().st_mode)[-3:] == "755"

    installed = manifest(host.directory)
    host.install("--sign")
    assert manifest(host.directory) == installed

    host.uninstall()
    assert manifest(host.qmail) == before and not host.prefix.exists()


def test_it_signs(host, remote):
    host.install("--sign", "--resident")
    with qmail_send(host) as deliver:
        assert deliver() == b"\0Ksigned\n\0"
        assert deliver() == b"\0Ksigned\n\0"
        assert "resident:  on: " in host.status()[1]


def without_inodes(files):
    """What manifest() says of names, modes, owners and contents."""
    return {path: [*state[:3], *state[4:]] for path, state in files.items()}


def test_going_back(host):
    host.install("--sign")
    before = manifest(host.qmail)
    host.install("--sign", "--resident")
    host.install("--sign", "--no-resident")
    assert without_inodes(manifest(host.qmail)) == without_inodes(before)
    assert host.recorded("resident") == "" and "resident" not in host.status()[1]


def test_what_an_earlier_way_back_has_left(host):
    """Version 0.1 left what was beside the place, and then took it for another tool's."""
    before = manifest(host.qmail)
    host.install("--sign", "--resident")
    original = rspawn(host).with_suffix(".orig")
    beside = {path: path.read_bytes() for path in (original, rspawn(host).with_suffix(".launcher"))}
    host.install("--sign", "--no-resident")
    for path, data in beside.items():
        path.write_bytes(data + b"older")
    host.install("--sign", "--resident")
    for path, data in beside.items():
        path.write_bytes(data)
    host.uninstall()
    assert manifest(host.qmail).keys() == before.keys()


def test_our_own_service_does_not_hold_uninstall_up(host):
    """Its run script names qmail-dk-verifyd, of which qmail-dk-verify is a part."""
    packages()
    host.install(*SERVER, "--service", "none")
    script = host.qmail / "supervise" / "qmail-dk-verifyd" / "run"
    script.parent.mkdir(parents=True)
    shutil.copy(host.prefix / "service" / "qmail-dk-verifyd" / "run", script)
    assert f"{host.prefix}/bin/qmail-dk-verifyd" in script.read_text()
    host.uninstall()


def test_upgrades_while_it_runs(host, remote):
    """What it runs from is kept, however many upgrades there are; uninstall waits for its end."""
    host.environment["COLUMNS"] = "40"      # in root's: ps cuts its lines there
    host.install("--sign", "--resident")
    running = pathlib.Path(host.recorded("release"))
    with qmail_send(host) as deliver:
        assert deliver() == b"\0Ksigned\n\0"
        for version in "0.8", "0.9", "1.0":
            (host.checkout / "lib" / "__init__.py").write_text(f'__version__ = "{version}"\n')
            host.install()
        assert running.exists() and f"older version until qmail is restarted: {running}" in (
            host.status()[1])
        for child in resident.children(os.getpid()):
            for worker in resident.children(child):
                os.kill(worker, signal.SIGKILL)
        assert deliver().startswith((b"\0Ksigned\n", b"\0Zqmail-rspawn: the signing process died"))
        assert deliver() == b"\0Ksigned\n\0"
        done = host.run("uninstall")
        assert done.returncode == 1 and "restart qmail, then uninstall" in done.stderr
        assert deliver() == b"\0Ksigned\n\0"
    host.uninstall()
    assert not host.prefix.exists()


def test_the_release_before_runs_on(host, remote):
    """The modules of a worker that it starts have other places than those of the new one."""
    new = host.checkout
    host.checkout = install_driver.earlier_checkout(host.directory / "earlier")
    host.install("--sign", "--resident")
    with qmail_send(host) as deliver:
        assert deliver() == b"\0Ksigned\n\0"
        host.checkout = new
        host.install()
        for child in resident.children(os.getpid()):
            for worker in resident.children(child):
                os.kill(worker, signal.SIGKILL)
        assert deliver().startswith((b"\0Ksigned\n", b"\0Zqmail-rspawn: the signing process died"))
        assert deliver() == b"\0Ksigned\n\0"
    with qmail_send(host) as deliver:
        assert deliver() == b"\0Ksigned\n\0"
        code, text = host.status()
        assert code == 0 and "resident:  on: " in text
    host.uninstall()


def test_python_gone(host, remote):
    """Then the original qmail-rspawn runs, for without one qmail does not start."""
    host.install("--sign", "--resident")
    shutil.rmtree(host.recorded("release"))
    user = {"user": NOBODY, "group": NOBODY} if ROOT else {}
    done = subprocess.run([rspawn(host)], stdin=subprocess.DEVNULL, capture_output=True,
                          env=host.environment, cwd=host.qmail, **user)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"\n", b"")


def test_qmail_installed_anew(host):
    host.install("--sign", "--resident")
    host.program("qmail-rspawn", install_driver.binary("echo"), 0o711)
    code, text = host.status()
    assert code == 1 and "resident:  OFF when qmail is restarted" in text
    host.install("--sign")
    assert host.status()[0] == 0


@pytest.mark.parametrize("other, said", [("true", "with nothing"), ("pwd", "with 47 ")])
def test_another_protocol(host, other, said):
    """A patched one announces more deliveries than a byte can."""
    host.program("qmail-rspawn", install_driver.binary(other), 0o711)
    refused = host.refused("--sign", "--resident")
    assert "does not speak the protocol" in refused and said in refused


def test_nothing_is_switched_when_the_trial_fails(host):
    path = host.checkout / "lib" / "rspawn" / "dispatcher.py"
    path.write_text("raise RuntimeError('broken')\n" + path.read_text())
    assert "trial failed" in host.refused("--sign", "--resident")
    host.install("--sign")


MISUSE = {
    ("--service", "sysvinit"): "neither systemd, none nor an absolute path",
    ("--user", "-f"): "only letters",
    ("--group",): "--group needs a value",
}


@pytest.mark.parametrize("arguments", MISUSE, ids=str)
def test_misuse(host, arguments):
    assert MISUSE[arguments] in host.refused("--resident", *arguments, code=2)


def test_a_lost_prefix(host):
    """What it was told, and where it was, is found again beside qmail's programs."""
    packages()
    host.install(*SERVER, "--sign", "--service", "none", "--mandir", f"{host.directory}/man")
    before = manifest(host.qmail, host.directory / "man")
    record = (host.prefix / "installed").read_text()
    shutil.rmtree(host.prefix)
    code, text = host.status()
    assert code == 1 and f"{host.prefix}/release-" in text and (
        "has gone, so mail is deferred" in text)
    done = host.run("--dry-run", prefix=False)
    assert f"==> Copy the programs to {host.prefix}/" in done.stdout
    done = host.run("install", prefix=False)
    assert (done.returncode, done.stderr) == (0, "") and host.status()[0] == 0
    assert (host.prefix / "installed").read_text() == record
    assert manifest(host.qmail, host.directory / "man").keys() == before.keys()


@pytest.mark.parametrize("left", [None, b""], ids=["lost", "empty"])
def test_a_place_that_a_restoration_has_lost(host, left):
    """Each message would bounce, or none would move; the originals are there."""
    before = manifest(host.qmail)
    host.install("--sign", "--resident")
    for name in "qmail-remote", "qmail-rspawn":
        path = host.qmail / "bin" / name
        path.unlink()
        if left is not None:
            path.write_bytes(left)
    assert host.status()[0] == 1
    host.install()
    assert host.deliver() == SIGNED and host.status()[0] == 0
    host.uninstall()
    assert manifest(host.qmail) == before


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_uninstalled_without_its_prefix(directory, flavour):
    host = Host(directory, flavour)
    host.make_start_script()
    before = manifest(host.directory)
    host.install("--sign", "--resident")
    shutil.rmtree(host.prefix)
    host.uninstall()
    rc = str(host.qmail / "rc")
    after = manifest(host.directory)
    assert before.pop(rc)[4:] == after.pop(rc)[4:]
    assert {path: seen for path, seen in after.items() if path not in before} == {
        path: seen for path, seen in after.items() if f"{host.directory}/usr" in path}
    assert before.items() <= after.items()
    assert not [path for path in (host.directory / "usr").rglob("*") if not path.is_dir()]


def test_one_prefix_for_a_qmail(host):
    host.install()
    assert f"is served by the installation in {host.prefix}" in host.refused(
        "--sign", "--prefix", f"{host.prefix}2")
