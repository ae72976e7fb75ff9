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

from tests import install_driver
from tests.install_driver import (DeliveriesAllTheWhile, Host, directory, host, manifest,  # noqa: F401
                                  packages)

SIGNED = ("K", b"signed\n")
UNSIGNED = ("K", b"unsigned\n")
SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]


@pytest.fixture(params=install_driver.FLAVOURS)
def any_host(request, directory):
    return Host(directory, request.param)


@pytest.fixture
def notqmail(directory):
    """A notqmail that a script starts."""
    host = Host(directory, "notqmail")
    host.rc = host.make_start_script()
    return host


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


@pytest.mark.parametrize("shell", SHELLS)
def test_shells(notqmail, shell):
    before = manifest(notqmail.qmail)
    text = notqmail.rc.read_text()
    link = notqmail.directory / "sh"
    link.symlink_to(shutil.which(shell))
    notqmail.shell = link
    notqmail.install()
    assert str(notqmail.prefix) in notqmail.rc.read_text()
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
    assert releases[-1].name == "release-1.0.1" and "version 1.0" in host.status()[1]
    assert str(releases[-1]) in host.launcher.read_text()


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
    assert "release-0.1.2" in launcher.read_text()
    assert notqmail.deliver(launcher) == SIGNED

    manual.unlink()
    notqmail.install()
    assert notqmail.status()[0] == 0 and notqmail.deliver(launcher) == SIGNED


def test_compiled_for_users_who_cannot_write(host):
    host.install()
    release = pathlib.Path(host.recorded("release"))
    for source in (release / "lib").glob("*.py"):
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


# --- QMAILREMOTE

def started_with(script):
    """QMAILREMOTE as qmail-start gets it from a script."""
    return subprocess.run([script], capture_output=True, text=True, check=True,
                          env={"PATH": os.environ["PATH"]}).stdout.strip()


def test_qmailremote(notqmail):
    before = manifest(notqmail.qmail)
    text = notqmail.rc.read_text()
    assert "sets QMAILREMOTE" in notqmail.install()
    launcher = notqmail.prefix / "bin" / "qmail-remote"
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
    launcher = str(notqmail.prefix / "bin" / "qmail-remote")
    with running(QMAILREMOTE=launcher):
        assert "signing:   on: QMAILREMOTE is set" in notqmail.status()[1]
        assert "svc -t" not in notqmail.install()
        done = notqmail.run("uninstall")
        assert done.returncode == 1 and "restart qmail" in done.stderr
        assert notqmail.deliver(launcher) == SIGNED
    notqmail.uninstall()


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
    assert started_with(script) == f"{host.prefix}/bin/qmail-remote"
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


# --- the verifier

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
        with subprocess.Popen(["sleep", "60"], env={**os.environ, "QMAILQUEUE": verifier}) as smtpd:
            while b"QMAILQUEUE" not in pathlib.Path(f"/proc/{smtpd.pid}/environ").read_bytes():
                pass
            assert f"process {smtpd.pid} was started with" in host.refused("uninstall")
            smtpd.kill()
    assert "anything else names" in host.uninstall()
    assert not host.prefix.exists()


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


# --- what is not done

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


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def signer_broken(host):
    edit(host.checkout / "qmail_remote_dk.py", "import delivery", "import nothing")


def signer_does_not_sign(host):
    edit(host.checkout / "qmail_remote_dk.py", "outbound.prepare(message, arguments, in_force)",
         "message")


def setting_without_sense(host):
    (host.qmail / "control" / "dkprotocols").write_text("dkim, domainkeys\n")


def launcher_broken(host):
    edit(host.checkout / "launcher" / "qmail-remote", "-IS", "--no-such-option")


def library_missing(host):
    (host.checkout / "lib" / "outbound.py").unlink()


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
    foreign_original: "is there, and not from this program",
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
    ("--fast",): "unknown option: --fast",
    ("status", "verbose"): "unknown option: verbose",
}


@pytest.mark.parametrize("arguments", MISUSE, ids=str)
def test_misuse(host, arguments):
    assert MISUSE[arguments] in host.refused(*arguments, code=2)


def test_uninstall_of_nothing(host):
    assert "nothing is installed" in host.refused("uninstall")
    code, text = host.status()
    assert code == 1 and "installed: no" in text


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_who_may(host):
    def become_nobody():
        os.setgid(install_driver.NOBODY)
        os.setuid(install_driver.NOBODY)
    done = subprocess.run(["sh", host.checkout / "install.sh", "--qmail", host.qmail,
                           "--prefix", host.prefix], preexec_fn=become_nobody,
                          capture_output=True, text=True, env=host.environment, cwd="/")
    assert done.returncode == 1 and "only root can do this" in done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
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
    shellcheck = shutil.which("shellcheck") or pytest.skip("needs shellcheck")
    checkout = install_driver.rspawn.CHECKOUT
    subprocess.run([shellcheck, "-x", "install.sh", *(checkout / "install").glob("*.sh"),
                    checkout / "launcher" / "qmail-dk-verify", checkout / "launcher" / "qmail-dk"],
                   check=True, cwd=checkout)
