# SPDX-License-Identifier: MIT
"""QMAILREMOTE and what sets it: start scripts that install.sh edits, and those that it leaves."""

import os
import shutil
import subprocess

import pytest

from tests.support import install_driver
from tests.support.install_driver import (      # noqa: F401
    SIGNED, UNSIGNED, Host, directory, edit, host, manifest, notqmail, started_with,
)


def test_qmailremote(notqmail):
    before = manifest(notqmail.qmail)
    text = notqmail.rc.read_text()
    assert "sets QMAILREMOTE" in notqmail.install()
    launcher = notqmail.beside
    assert started_with(notqmail.rc) == str(launcher)
    assert notqmail.deliver(launcher) == SIGNED
    assert notqmail.deliver() == UNSIGNED and not notqmail.original.exists()
    assert notqmail.rc.stat().st_mode & 0o7777 == 0o755

    installed = manifest(notqmail.directory)
    notqmail.install()
    assert manifest(notqmail.directory) == installed

    notqmail.program("qmail-remote", notqmail.remote.read_bytes() + b"\0", 0o711)
    assert notqmail.status()[0] == 0 and notqmail.deliver(launcher) == SIGNED

    notqmail.rc.write_text(text)
    code, said = notqmail.status()
    assert code == 1 and "does not set QMAILREMOTE any more" in said
    notqmail.install()
    assert notqmail.status()[0] == 0

    notqmail.uninstall()
    after = manifest(notqmail.qmail)
    for path in str(notqmail.rc), str(notqmail.remote):
        before.pop(path), after.pop(path)
    assert after == before and notqmail.rc.read_text() == text


@pytest.mark.skipif(not os.path.exists("/proc/self/exe"), reason="needs /proc")
def test_qmailremote_counts_when_qmail_is_restarted(notqmail):
    shell = install_driver.binary("dash", "bash")
    notqmail.program("qmail-rspawn", shell + b"QMAILREMOTE", 0o711)

    def running(**environment):
        return subprocess.Popen([notqmail.qmail / "bin" / "qmail-rspawn", "-c", "read line"],
                                stdin=subprocess.PIPE, env=environment)
    with running():
        said = notqmail.install()
        assert "signing:   off until qmail is restarted" in said and "svc -t" in said
    launcher = str(notqmail.beside)
    with running(QMAILREMOTE=launcher):
        assert "signing:   on: QMAILREMOTE is set" in notqmail.status()[1]
        assert "svc -t" not in notqmail.install()
        done = notqmail.run("uninstall")
        assert done.returncode == 1 and "restart qmail" in done.stderr
        assert notqmail.deliver(launcher) == SIGNED
    notqmail.uninstall()


def first_version(host):
    """What version 0.1 left: the variable names the launcher under the prefix."""
    text = host.rc.read_text()
    host.install()
    old, new = f"{host.prefix}/bin/qmail-remote ", f"{host.beside} "
    edit(host.rc, new, old)
    edit(host.prefix / "installed", f"QMAILREMOTE={host.beside}\n", f"QMAILREMOTE={old[:-1]}\n")
    host.beside.unlink()
    return text


def test_qmailremote_with_the_prefix_gone(notqmail):
    """As with the other way: mail is deferred."""
    notqmail.install()
    shutil.rmtree(notqmail.prefix)
    assert notqmail.deliver(started_with(notqmail.rc)).verdict == "Z"
    notqmail.install()
    assert notqmail.deliver(started_with(notqmail.rc)) == SIGNED


@pytest.mark.parametrize("record_is_new", [False, True], ids=["upgrade", "half an upgrade"])
def test_qmailremote_of_the_first_version(notqmail, record_is_new):
    text = first_version(notqmail)
    if record_is_new:
        edit(notqmail.prefix / "installed", f"QMAILREMOTE={notqmail.prefix}/bin/qmail-remote\n",
             f"QMAILREMOTE={notqmail.beside}\n")
    assert started_with(notqmail.rc) == f"{notqmail.prefix}/bin/qmail-remote"
    notqmail.install()
    assert started_with(notqmail.rc) == str(notqmail.beside)
    assert notqmail.recorded("way") == "environment"
    assert notqmail.deliver(notqmail.beside) == SIGNED and notqmail.status()[0] == 0
    notqmail.uninstall()
    assert notqmail.rc.read_text() == text and not notqmail.beside.exists()


def test_uninstall_of_half_an_upgrade(notqmail):
    text = first_version(notqmail)
    edit(notqmail.prefix / "installed", f"QMAILREMOTE={notqmail.prefix}/bin/qmail-remote\n",
         f"QMAILREMOTE={notqmail.beside}\n")
    notqmail.uninstall()
    assert notqmail.rc.read_text() == text


def test_from_qmailremote_to_wrap(notqmail):
    """A qmail that runs was started with the variable, and the next must not be."""
    text = notqmail.rc.read_text()
    notqmail.install()
    notqmail.install("--sign", "--wrap")
    assert notqmail.deliver() == notqmail.deliver(notqmail.beside) == SIGNED
    assert notqmail.rc.read_text() == text and notqmail.status()[0] == 0
    before = manifest(notqmail.qmail)
    notqmail.install()
    assert manifest(notqmail.qmail) == before
    notqmail.uninstall()
    assert not notqmail.beside.exists() and notqmail.deliver() == UNSIGNED


def test_qmailremote_beside_is_of_another(notqmail):
    notqmail.beside.write_text("#!/bin/sh\n")
    assert (f"{notqmail.beside} exists and does not belong to this program"
            in notqmail.refused("--sign"))


@pytest.mark.parametrize("size", [0, 700])
def test_qmailremote_beside_is_cut_short(notqmail, size):
    """By a full disk, or half a backup: then each message would bounce, or wait."""
    notqmail.install("--sign")
    whole = notqmail.beside.read_bytes()
    notqmail.beside.write_bytes(whole[:size])
    assert notqmail.status()[0] == 1
    notqmail.install()
    assert notqmail.beside.read_bytes() == whole
    assert notqmail.deliver(notqmail.beside) == SIGNED and notqmail.status()[0] == 0


MISSING = {     # what the start script has -> whether status says that it leads nowhere
    "QMAILREMOTE=$BIN/none exec qmail-start ./Mailbox": True,
    "export QMAILREMOTE=\"$BIN/none\"; exec qmail-start ./Mailbox": True,
    "export QMAILREMOTE='$BIN/none'\nexec qmail-start ./Mailbox": True,
    "QMAILREMOTE=$BIN/qmail-remote exec qmail-start ./Mailbox": False,
    "# QMAILREMOTE=$BIN/none\nexec qmail-start ./Mailbox": False,
    "QMAILREMOTE=$BIN/$X exec qmail-start ./Mailbox": False,
    "QMAILREMOTE=none exec qmail-start ./Mailbox": False,
}


@pytest.mark.parametrize("script", MISSING)
def test_start_script_that_names_what_is_not_there(directory, script):
    host = Host(directory, "notqmail")
    host.make_start_script(f"#!/bin/sh\n{script}\n")
    host.install("--sign", "--wrap")
    code, text = host.status()
    said = f"sets QMAILREMOTE to {host.qmail}/bin/none, which is missing, so all mail bounces"
    assert (code == 1, said in text) == (MISSING[script], MISSING[script])


def test_qmailremote_that_is_missing(notqmail):
    notqmail.install()
    notqmail.beside.unlink()
    code, text = notqmail.status()
    assert code == 1 and f"OFF: {notqmail.beside}: can't be read" in text
    notqmail.install()
    assert notqmail.status()[0] == 0


@pytest.mark.skipif(not os.path.exists("/proc/self/exe"), reason="needs /proc")
@pytest.mark.parametrize("way", ["environment", "wrap"])
def test_running_qmail_that_names_what_is_not_there(notqmail, way):
    notqmail.program("qmail-rspawn", install_driver.binary("bash", "dash") + b"QMAILREMOTE", 0o711)
    notqmail.install("--sign", *["--wrap"] * (way == "wrap"))
    with subprocess.Popen([notqmail.qmail / "bin" / "qmail-rspawn", "-c", "read line"],
                          stdin=subprocess.PIPE, env={"QMAILREMOTE": "/none/qmail-remote"}):
        code, text = notqmail.status()
    assert code == 1 and (
        "signing:   QMAILREMOTE: names /none/qmail-remote, which qmail-rspawn runs and which is "
        "missing, so all mail bounces; remedy: ") in text


def test_uninstall_where_a_script_of_the_administrators_leads_here(notqmail):
    launcher = f"{notqmail.prefix}/bin/qmail-remote"
    notqmail.make_start_script(f"#!/bin/sh\nQMAILREMOTE={launcher} exec qmail-start ./Mailbox\n")
    notqmail.install()
    assert notqmail.recorded("way") == "wrap"
    assert f"{notqmail.rc} sets QMAILREMOTE to {launcher}, and" in notqmail.refused("uninstall")


def test_wrap_is_kept(notqmail):
    notqmail.install("--sign", "--wrap")
    notqmail.install()
    assert notqmail.recorded("way") == "wrap" and notqmail.deliver() == SIGNED
    notqmail.program("qmail-remote", notqmail.original.read_bytes(), 0o711)
    notqmail.install()
    assert notqmail.recorded("way") == "wrap" and notqmail.deliver() == SIGNED


SCRIPTS = {
    "on its line": ("rc", "#!/bin/sh\nPATH=$BIN:$PATH exec qmail-start ./Maildir/ 2>&1\n"),
    "with its path": ("rc", "#!/bin/sh -e\nulimit -d 9999999\n\t$BIN/qmail-start ./Maildir/\n"),
    "of a service": ("supervise/qmail-send/run", install_driver.RC),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_start_scripts(directory, name):
    host = Host(directory, "notqmail")
    path, text = SCRIPTS[name]
    script = host.make_start_script(text, path)
    before = script.read_bytes()
    host.install()
    assert host.recorded("start_script") == str(script)
    assert started_with(script) == str(host.beside)
    host.uninstall()
    assert script.read_bytes() == before


NOT_EDITED = {
    "not sh": "#!/usr/bin/execlineb\nqmail-start ./Mailbox\n",
    "twice": "#!/bin/sh\n[ -x $BIN/qmail-start ] || exit 1\nexec qmail-start ./Mailbox\n",
    "in quotes": "#!/bin/sh\nexec \"$BIN/qmail-start\" ./Mailbox\n",
    "QMAILREMOTE of its own": "#!/bin/sh\nQMAILREMOTE=/x exec qmail-start ./Mailbox\n",
    "no line end": "#!/bin/sh\nexec qmail-start ./Mailbox",
}


@pytest.mark.parametrize("name", NOT_EDITED)
def test_start_scripts_not_edited(directory, name):
    host = Host(directory, "notqmail")
    host.make_start_script(NOT_EDITED[name])
    said = host.install("--sign", "--dry-run")
    assert "Put a launcher in its place" in said and "QMAILREMOTE" not in said


def test_two_start_scripts(notqmail):
    notqmail.make_start_script(name="supervise/qmail-send/run")
    assert "QMAILREMOTE" not in notqmail.install("--sign", "--dry-run")
