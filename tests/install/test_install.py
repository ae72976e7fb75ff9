# SPDX-License-Identifier: MIT
"""install.sh on scratch hosts: installed, twice, upgraded, overwritten, uninstalled.

Whatever it does, deliveries that run all the while are successful, and what
belongs to qmail is put back exactly.
"""

import os
import pathlib
import shutil
import subprocess

import pytest

from tests.support import install_driver, shells
from tests.support.install_driver import (      # noqa: F401
    SIGNED, UNSIGNED, DeliveriesAllTheWhile, Host, any_host, directory, earlier_checkout, host,
    manifest, notqmail, packages,
)


def test_install_twice_and_uninstall(any_host):
    before = manifest(any_host.qmail)
    said = any_host.install()
    assert f"{any_host.prefix.parent.parent}/bin/qmail-dk keygen DOMAIN\n" in said
    assert any_host.deliver() == SIGNED
    code, text = any_host.status()
    assert code == 0 and "signing:   on: " in text

    installed = manifest(any_host.directory)
    any_host.install()
    assert manifest(any_host.directory) == installed

    any_host.uninstall()
    assert manifest(any_host.qmail) == before
    assert not any_host.prefix.exists() and any_host.deliver() == UNSIGNED


def test_the_original_keeps_its_mode(host):
    host.install()
    assert host.original.stat().st_mode & 0o7777 == 0o711
    assert host.remote.stat().st_mode & 0o7777 == 0o755
    assert host.remote.stat().st_gid == host.original.stat().st_gid


@pytest.mark.parametrize("shell", shells.NAMES)
def test_shells(notqmail, shell):
    before = manifest(notqmail.qmail)
    text = notqmail.rc.read_text()
    notqmail.shell = [shells.named_sh(notqmail.directory, shell)]
    notqmail.install()
    assert notqmail.status()[0] == 0
    assert str(notqmail.beside) in notqmail.rc.read_text()
    notqmail.uninstall()
    after = manifest(notqmail.qmail)
    for tree in before, after:
        del tree[str(notqmail.rc)]
    assert after == before and notqmail.rc.read_text() == text


def test_deliveries_all_the_while(host):
    edited = host.checkout / "lib" / "errors.py"
    with DeliveriesAllTheWhile(host) as deliveries:
        host.install()
        edited.write_text(edited.read_text() + "# a new version\n")
        host.install()
        host.program("qmail-remote", host.original.read_bytes() + b"\0", 0o711)
        host.install()
        host.uninstall()
    assert deliveries.seen == {SIGNED, UNSIGNED}
    assert deliveries.counted > 20


def test_upgrade(host):
    releases = []
    for version in "0.8", "0.9", "1.0":
        (host.checkout / "lib" / "__init__.py").write_text(f'__version__ = "{version}"\n')
        host.install()
        assert host.deliver() == SIGNED
        releases.append(pathlib.Path(host.recorded("release")))
    assert [release.exists() for release in releases] == [False, True, True]
    assert releases[-1].name == "release-1.0-build.1" and "version 1.0" in host.status()[1]
    assert str(releases[-1]) in host.launcher.read_text()


def test_upgrade_from_the_release_before(any_host):
    """Its modules have other places; deliveries by either are signed meanwhile."""
    before = manifest(any_host.qmail)
    new = any_host.checkout
    any_host.checkout = earlier_checkout(any_host.directory / "earlier")
    any_host.install()
    with DeliveriesAllTheWhile(any_host) as deliveries:
        any_host.checkout = new
        any_host.install()
    assert deliveries.seen == {SIGNED} and any_host.deliver() == SIGNED
    assert any_host.status()[0] == 0
    assert "import qmail_remote_dk" in any_host.launcher.read_text()
    any_host.uninstall()
    assert manifest(any_host.qmail) == before and not any_host.prefix.exists()


def test_upgrade_of_a_release_that_lacks_what_later_ones_have(host):
    """The manual, say: nothing is said of that."""
    host.install()
    shutil.rmtree(pathlib.Path(host.recorded("release")) / "man")
    host.install()
    assert (pathlib.Path(host.recorded("release")) / "man").exists()


def test_upgrade_that_ends_half_way(notqmail):
    """When the new launchers are there already: what they name must stay."""
    notqmail.install()
    launcher = notqmail.prefix / "bin" / "qmail-remote"
    edited = notqmail.checkout / "lib" / "errors.py"
    edited.write_text(edited.read_text() + "# a new version\n")
    manual = notqmail.prefix.parent.parent / "share" / "man"
    shutil.rmtree(manual)
    manual.write_text("no directory, so the manual can't be installed\n")
    assert notqmail.run("--sign").returncode != 0
    assert "release-0.1-build.2" in launcher.read_text()
    assert notqmail.deliver(launcher) == SIGNED

    manual.unlink()
    notqmail.install()
    assert notqmail.status()[0] == 0 and notqmail.deliver(launcher) == SIGNED


def test_compiled_for_users_who_cannot_write(host):
    host.install()
    release = pathlib.Path(host.recorded("release"))
    for source in (release / "lib").rglob("*.py"):
        assert list((source.parent / "__pycache__").glob(source.stem + ".*.pyc"))
    for path in [release, *release.rglob("*")]:
        assert path.stat().st_mode & 0o022 == 0 and path.stat().st_mode & 0o044 == 0o044


def test_two_qmails(host):
    """The command of the first stays its own."""
    host.install()
    command = host.prefix.parent.parent / "bin" / "qmail-dk"
    first = os.readlink(command)
    shutil.copytree(host.qmail, host.directory / "qmail2")
    (host.directory / "qmail2" / "bin" / "qmail-remote").unlink()
    shutil.copy(host.original, host.directory / "qmail2" / "bin" / "qmail-remote")
    for name in "qmail-remote.orig", "qmail-remote.launcher":
        (host.directory / "qmail2" / "bin" / name).unlink()
    second = ["--qmail", str(host.directory / "qmail2"), "--prefix", f"{host.prefix}2"]
    done = subprocess.run(["sh", host.checkout / "install.sh", "--sign", *second],
                          env=host.environment, capture_output=True, text=True)
    assert done.returncode == 0 and f"{host.prefix}2/bin/qmail-dk" in done.stderr
    assert f"{host.prefix}2/bin/qmail-dk keygen DOMAIN\n" in done.stdout
    assert os.readlink(command) == first and os.path.exists(f"{host.prefix}2/bin/qmail-dk")


def test_restrictive_umask_of_the_checkout(host):
    for path in [host.checkout, *host.checkout.rglob("*")]:
        path.chmod(path.stat().st_mode & 0o700)
    host.install()
    assert host.deliver() == SIGNED


def test_qmail_installed_anew(host):
    host.install()
    new = host.original.read_bytes() + b"\0"
    host.program("qmail-remote", new, 0o711)
    assert host.deliver() == UNSIGNED
    code, text = host.status()
    assert code == 1 and "signing:   OFF: " in text and "./install.sh" in text

    overwritten = manifest(host.qmail)
    host.install()
    assert host.deliver() == SIGNED
    assert host.original.read_bytes() == new
    host.uninstall()
    del overwritten[str(host.original)], overwritten[str(host.launcher)]
    assert manifest(host.qmail) == overwritten


def test_uninstall_after_qmail_was_installed_anew(host):
    host.install()
    host.program("qmail-remote", host.original.read_bytes() + b"\0", 0o711)
    overwritten = manifest(host.qmail)
    host.uninstall()
    del overwritten[str(host.original)], overwritten[str(host.launcher)]
    assert manifest(host.qmail) == overwritten


def test_interrupted_before_the_launcher_took_its_place(host):
    before = manifest(host.qmail)
    os.link(host.remote, host.original)
    host.install()
    assert host.deliver() == SIGNED
    host.uninstall()
    assert manifest(host.qmail) == before


def test_python_replaced(host):
    """As a distribution does; its python3 is for once a link of ours."""
    python = host.directory / "python3"
    python.symlink_to(shutil.which("python3", path="/usr/bin:/usr/local/bin")
                      or pytest.skip("needs a system's python3"))
    host.install("--sign", "--python", str(python))
    assert host.recorded("python") == str(python) and host.deliver() == SIGNED
    python.unlink()
    result = host.deliver()
    assert result.verdict == "Z" and b"run install.sh again" in result.text
    code, text = host.status()
    assert code == 1 and f"{python} can't be run" in text
    host.install()
    assert host.deliver() == SIGNED and host.status()[0] == 0


def test_uninstall_where_qmail_has_gone(host):
    host.install("--sign", "--resident")
    shutil.rmtree(host.qmail)
    host.uninstall()
    assert not host.prefix.exists()


ORIGINALS = {       # how one is lost, for instance by half a restoration
    "missing": lambda path: path.unlink(), "empty": lambda path: path.write_bytes(b""),
    "not executable": lambda path: path.chmod(0o600),
    "a launcher": lambda path: path.write_bytes(path.with_suffix("").read_bytes()),
}


@pytest.mark.parametrize("name", ORIGINALS)
def test_uninstall_checks_before_it_changes(directory, name):
    """The original that is lost is that of the last program to be put back."""
    packages()
    host = Host(directory, "qmail 1.03")
    host.install("--sign", "--verify", "--system-packages")
    ORIGINALS[name](host.qmail / "bin" / "qmail-queue.orig")
    assert "nothing was changed" in host.refused("uninstall")
    assert "qmail-queue.orig is missing or damaged" in host.refused()


@pytest.mark.skipif(not os.access("/var/qmail/bin/qmail-rspawn", os.R_OK),
                    reason="needs qmail in /var/qmail, and root")
def test_copy_of_the_real_qmail(host):
    shutil.rmtree(host.qmail)
    subprocess.run(["cp", "-a", "/var/qmail", host.qmail], check=True)
    for name in "qmail-remote", "qmail-queue":
        original = host.qmail / "bin" / (name + ".orig")
        if original.exists():       # it is installed there
            original.rename(host.qmail / "bin" / name)
    before = manifest(host.qmail)
    host.install()
    installed = manifest(host.directory)
    host.install()
    assert manifest(host.directory) == installed and host.status()[0] == 0
    host.uninstall()
    assert manifest(host.qmail) == before


def test_shellcheck():
    checkout = install_driver.rspawn.CHECKOUT
    subprocess.run([*shells.shellcheck(), "install.sh", *(checkout / "install").glob("*.sh"),
                    checkout / "launcher" / "qmail-dk-verify", checkout / "launcher" / "qmail-dk"],
                   check=True, cwd=checkout)
