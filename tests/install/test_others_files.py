# SPDX-License-Identifier: MIT
"""install.sh removes and overwrites nothing that is not ours."""

import os

import pytest

from tests.support.install_driver import directory, host, manifest, notqmail      # noqa: F401


def full(host):
    (host.prefix / "bin").mkdir(parents=True)
    (host.prefix / "bin" / "another").touch()


def like_ours(host):
    """With names as ours, but not of ours."""
    for name in "release-1.0.1", "staging.1":
        (host.prefix / name).mkdir(parents=True)
    (host.prefix / "installed").write_text("version=1\n")


@pytest.mark.parametrize("fill", [full, like_ours])
def test_a_prefix_of_something_else(host, fill):
    fill(host)
    before = manifest(host.prefix)
    assert "does not belong to this program" in host.refused("--sign")
    assert manifest(host.prefix) == before


def test_what_was_put_beside_stays(host):
    """Uninstalled, all is as before but for it; and the prefix can be used again."""
    before = manifest(host.directory)
    host.install()
    put = [host.prefix / "bin" / "another", host.prefix / "release-old" / "notes",
           host.prefix.parent.parent / "share" / "man" / "man8" / "another.8"]
    for path in put:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    done = host.run("uninstall")
    assert done.returncode == 0 and f"{host.prefix} is not empty, and stays" in done.stderr
    after = manifest(host.directory)
    assert {path for path in after if path not in before and not os.path.isdir(path)} == (
        {*map(str, put), f"{host.prefix}/qmail-dk.lock"})
    assert before.items() <= after.items()
    host.install()


@pytest.mark.parametrize("prefix", ["usr/lib/qmail-dk", "opt/qmail-dk"])
def test_all_as_before(host, prefix):
    """Down to the directories, after upgrades that install another manual."""
    host.prefix = host.directory / prefix
    (host.directory / "opt" / "there").mkdir(parents=True)
    before = manifest(host.directory)
    host.install()
    page = host.checkout / "man" / "qmail-dk-control.5"
    text = page.read_text()
    for number in range(2):
        page.write_text(f"version {number}\n")
        host.install()
    [installed] = host.directory.glob("*/**/man5/qmail-dk-control.5")
    assert installed.read_text() == "version 1\n"
    host.uninstall()
    page.write_text(text)
    assert manifest(host.directory) == before


def test_the_page_of_another_program_stays(host):
    """An older one was called qmail-dk, too."""
    manual = host.directory / "man" / "man8"
    manual.mkdir(parents=True)
    (manual / "qmail-dk.8").write_text("the older program\n")
    before = manifest(manual)
    done = host.run("--sign", "--mandir", str(manual.parent))
    assert done.returncode == 0 and f"{manual}/qmail-dk.8 exists and does not" in done.stderr
    assert (manual / "qmail-rspawn-dk.8").exists()
    host.uninstall()
    assert manifest(manual) == before


def test_a_page_that_was_exchanged_stays(host):
    host.install()
    page = host.prefix.parent.parent / "share" / "man" / "man8" / "qmail-dk.8"
    page.write_text("of another program, which has come since\n")
    host.uninstall()
    assert page.exists() and not (page.parent / "qmail-remote-dk.8").exists()


def test_an_original_that_was_kept_by_another(notqmail):
    """Where qmail-remote is not replaced, what is called qmail-remote.orig is not ours."""
    notqmail.original.write_text("a copy\n")
    before = manifest(notqmail.qmail)
    notqmail.install()
    notqmail.uninstall()
    after = manifest(notqmail.qmail)
    assert after.keys() == before.keys() and notqmail.original.read_text() == "a copy\n"
