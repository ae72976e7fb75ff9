# SPDX-License-Identifier: MIT
"""install.sh on a small host: all tools are busybox's, under each shell that it may have."""

import pathlib
import shutil
import subprocess

import pytest

from tests.support import shells
from tests.support.install_driver import (      # noqa: F401
    SIGNED, UNSIGNED, directory, edit, host, manifest)

# Debian's busybox has none, so a host can lack it.
NOT_EVERYWHERE = {"cksum"}


@pytest.fixture(params=[name for name in shells.NAMES if name != "ksh93"])
def small_host(host, request):
    """A Host without other tools than busybox's, and python3."""
    tools = host.directory / "applets"
    tools.mkdir()
    busybox = shells.program("busybox")
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    for name in set(applets.stdout.split()) - NOT_EVERYWHERE:
        (tools / name).symlink_to(busybox)
    python = pathlib.Path(shutil.which("python3", path="/usr/bin:/bin") or pytest.skip(
        "needs a system's python3"))
    (tools / "python3").unlink(missing_ok=True)
    (tools / "python3").symlink_to(python)
    host.environment = {"PATH": str(tools)}
    host.shell = [shells.named_sh(host.directory, request.param)]
    return host


def test_its_life(small_host):
    """Dry run, installation, the same again, upgrade, removal."""
    host = small_host
    before = manifest(host.qmail)
    done = host.run("--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    host.install("--sign")
    assert host.deliver() == SIGNED and host.status()[0] == 0
    release = host.recorded("release")
    host.install("--sign")
    assert host.recorded("release") == release
    with open(host.checkout / "lib" / "maillog.py", "a") as file:
        file.write("# newer\n")
    host.install("--sign")
    assert host.recorded("release") != release and host.deliver() == SIGNED
    host.uninstall()
    assert host.deliver() == UNSIGNED and not host.prefix.exists()
    assert {path: seen[:3] for path, seen in manifest(host.qmail).items()} == {
        path: seen[:3] for path, seen in before.items()}


def test_without_an_argument(small_host):
    """Not even an empty one: under set -u, that is an unset parameter to some shells."""
    edit(small_host.checkout / "install.sh", "prefix=/usr/local/lib/qmail-dk",
         f"prefix={small_host.prefix}")
    edit(small_host.checkout / "install.sh", "/var/qmail}", f"{small_host.qmail}}}")
    edit(small_host.checkout / "install" / "tree.sh", "/var/qmail", str(small_host.qmail))
    done = subprocess.run([*small_host.shell, small_host.checkout / "install.sh", "status"],
                          env=small_host.environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")
    assert f"installed: no, there is nothing in {small_host.prefix}" in " ".join(
        done.stdout.split())


def test_no_python(small_host):
    edit(small_host.checkout / "install" / "lock.sh", " /usr/bin/python3 ", " ")
    (small_host.directory / "applets" / "python3").unlink()
    said = small_host.refused("--sign")
    assert "no Python that works was found; remedy: " in said and "python3-venv" in said
    assert not small_host.prefix.exists()
