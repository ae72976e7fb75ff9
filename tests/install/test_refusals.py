# SPDX-License-Identifier: MIT
"""What install.sh does not do: dry runs, failed trials, hosts and options that make no sense."""

import os
import shutil
import subprocess

import pytest

from tests.support import install_driver
from tests.support.install_driver import (      # noqa: F401
    SIGNED, UNSIGNED, any_host, directory, edit, host, manifest,
)
from tests.support.namespaces import needs_mounts


@pytest.mark.parametrize("arguments", [(), ("--sign",), ("--verify", "--wrap")], ids=str)
def test_dry_run(any_host, arguments):
    any_host.make_start_script()
    before = manifest(any_host.directory)
    done = any_host.run("--dry-run", *arguments)
    assert (done.returncode, done.stderr) == (0, "") and "==> " in done.stdout
    assert manifest(any_host.directory) == before


def test_dry_run_of_uninstall(host):
    host.install()
    before = manifest(host.directory)
    assert host.run("uninstall", "--dry-run").returncode == 0
    assert manifest(host.directory) == before


def signer_broken(host):
    edit(host.checkout / "qmail_remote_dk.py", "import remote, spool", "import nothing")


def signer_does_not_sign(host):
    edit(host.checkout / "qmail_remote_dk.py", "outbound.prepare(message, arguments, settings)",
         "message")


def setting_without_sense(host):
    (host.qmail / "control" / "dkprotocols").write_text("dkim, domainkeys\n")


def launcher_broken(host):
    edit(host.checkout / "launcher" / "qmail-remote", "-IS", "--no-such-option")


def library_missing(host):
    (host.checkout / "lib" / "signing" / "outbound.py").unlink()


TRIAL_FAILS = {
    signer_broken: "cannot import name 'nothing'",
    signer_does_not_sign: "the message came out unsigned",
    setting_without_sense: "'dkim,' is not one of",
    launcher_broken: "ended with status 2",
    library_missing: "outbound",
}


@pytest.mark.parametrize("breaks", TRIAL_FAILS, ids=lambda f: f.__name__)
def test_nothing_is_switched_when_the_trial_fails(host, breaks):
    breaks(host)
    assert TRIAL_FAILS[breaks] in host.refused("--sign")
    assert not list(host.prefix.glob("*")) and host.deliver() == UNSIGNED


@needs_mounts
def test_a_prefix_where_no_program_can_run(host):
    before = manifest(host.qmail)
    host.prefix.mkdir(parents=True)
    host.shell = ["unshare", "--mount", "sh", "-c",
                  f'mount -t tmpfs -o noexec tmpfs {host.prefix}; exec sh "$@"', "sh"]
    done = host.run("--sign")
    assert (done.returncode, manifest(host.qmail)) == (1, before)
    assert "remedy: see who may enter" in done.stderr and "noexec" in done.stderr


def test_nothing_is_changed_when_the_trial_of_an_upgrade_fails(host):
    host.install()
    signer_broken(host)
    installed = manifest(host.prefix)
    host.refused("--sign")
    assert manifest(host.prefix) == installed and host.deliver() == SIGNED


def test_prefix_gone(host):
    """Against the advice to uninstall: mail is deferred until the next installation."""
    host.install()
    shutil.rmtree(host.prefix)
    assert host.deliver().verdict == "Z"
    host.install()
    assert host.deliver() == SIGNED


def another_tools_wrapper(host):
    host.remote.rename(host.original)
    host.remote.write_text('#!/bin/sh\nexec qmail-remote.orig "$@"\n')


def foreign_original(host):
    host.original.write_bytes(b"\x7fELF\0other\n")


def original_lost(host):
    host.install()
    host.original.unlink()


def remote_lost(host):
    host.remote.unlink()


def no_qmail(host):
    (host.qmail / "bin" / "qmail-rspawn").unlink()


def no_signer(host):
    (host.qmail / "queue" / "lock" / "tcpto").unlink()


def foreign_dkremote(host):
    (host.qmail / "control" / "dkremote").write_text(f"{host.remote}\n")


def prefix_of_another_qmail(host):
    host.install()
    edit(host.prefix / "installed", f"qmail={host.qmail}\n", "qmail=/var/other\n")


NOT_INSTALLED = {
    another_tools_wrapper: "is a script of another tool",
    foreign_original: "exists and does not belong to this program",
    original_lost: "is missing",
    remote_lost: "is missing",
    no_qmail: "--qmail DIR",
    no_signer: "make setup check",
    foreign_dkremote: "control/dkremote",
    prefix_of_another_qmail: "serves /var/other",
}


@pytest.mark.parametrize("breaks", NOT_INSTALLED, ids=lambda f: f.__name__)
def test_refused(host, breaks):
    breaks(host)
    assert NOT_INSTALLED[breaks] in host.refused("--sign")


MISUSE = {
    ("--qmail",): "--qmail needs a value",
    ("--prefix", "here"): "not an absolute path",
    ("--prefix", "/a b"): "only letters",
    ("--prefix", "/srv/../var/qmail"): ". and .. serve in no path",
    ("--qmail", "/var/./qmail"): ". and .. serve in no path",
    ("--prefix", "/"): "neither / nor // serves here",
    ("--qmail", "/"): "neither / nor // serves here",
    ("--bindir", "//"): "neither / nor // serves here",
    ("--mandir", "/usr//"): "neither / nor // serves here",
    ("--qmail", "/var//qmail"): "neither / nor // serves here",
    ("--service", "/"): "nothing scans that",
    ("--fast",): "unknown option: --fast",
    ("status", "verbose"): "unknown option: verbose",
}


@pytest.mark.parametrize("arguments", MISUSE, ids=str)
def test_misuse(host, arguments):
    assert MISUSE[arguments] in host.refused(*arguments, code=2)


def test_version_and_help(host):
    for words, said in (["--version"], "qmail-dk 0."), (["help"], "usage: ./install.sh"):
        done = subprocess.run(["sh", host.checkout / "install.sh", *words], capture_output=True,
                              text=True)
        assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith(said)


def named_through_a_link(host):
    (host.directory / "link").symlink_to("qmail")
    return host.directory / "link"


def named_through_a_linked_parent(host):
    (host.directory / "above").symlink_to(host.directory)
    return host.directory / "above" / "qmail"


def own_bin_linked(host):
    host.prefix.mkdir(parents=True)
    (host.prefix / "bin").symlink_to(host.qmail / "bin")
    return host.prefix


QMAILS_HOME = {function.__name__: function for function in (
    lambda host: host.qmail, named_through_a_link, named_through_a_linked_parent, own_bin_linked)}


@pytest.mark.parametrize("named", QMAILS_HOME.values(), ids=QMAILS_HOME)
@pytest.mark.parametrize("verb", ["install", "status", "uninstall"])
def test_qmails_home_is_no_prefix(host, named, verb):
    """There the launcher would overwrite the original qmail-remote, without a copy."""
    assert "its bin is qmail's own" in host.refused(verb, "--prefix", str(named(host)))


def test_uninstall_of_nothing(host):
    assert "nothing is installed" in host.refused("uninstall")
    code, text = host.status()
    assert code == 1 and "installed: no" in text


@pytest.mark.root
def test_who_may(host):
    def become_nobody():
        os.setgid(install_driver.NOBODY)
        os.setuid(install_driver.NOBODY)
    done = subprocess.run(["sh", host.checkout / "install.sh", "--qmail", host.qmail,
                           "--prefix", host.prefix], preexec_fn=become_nobody,
                          capture_output=True, text=True, env=host.environment, cwd="/")
    assert done.returncode == 1 and "only root can do this" in done.stderr


@pytest.mark.root
def test_interpreter_that_qmail_cannot_reach(host):
    secret = host.directory / "secret"
    secret.mkdir(mode=0o700)
    (secret / "python3").symlink_to(shutil.which("python3", path="/usr/bin:/usr/local/bin")
                                    or pytest.skip("needs a system's python3"))
    host.environment["PATH"] = f"{secret}:{host.environment['PATH']}"
    said = host.refused("--sign", "--python", str(secret / "python3"))
    assert "can't be run by qmail-remote's user" in said
    host.install()
    assert not host.recorded("python").startswith(str(secret))
