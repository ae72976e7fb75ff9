# SPDX-License-Identifier: MIT
"""install.sh --resident on scratch hosts: the signer, the server, and the way back."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

from tests import install_driver, resident, verifying
from tests.install_driver import (FLAVOURS, MESSAGE, NOBODY, Host, directory, host,     # noqa: F401
                                  manifest, packages)

ROOT = os.getuid() == 0
pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/exe"), reason="needs /proc")

SERVER = ("--resident", "--verify", "--system-packages", "--user", "nobody", "--group", "nogroup")


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
        [rspawn(host)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
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


def test_going_back(host):
    host.install("--sign")
    original = rspawn(host).read_bytes()
    host.install("--sign", "--resident")
    host.install("--sign", "--no-resident")
    assert rspawn(host).read_bytes() == original
    assert host.recorded("resident") == "" and "resident" not in host.status()[1]


def test_upgrades_while_it_runs(host, remote):
    """What it runs from is kept, however many upgrades there are; uninstall waits for its end."""
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


def test_python_gone(host, remote):
    """Then the original qmail-rspawn runs, for without one qmail does not start."""
    host.install("--sign", "--resident")
    shutil.rmtree(host.recorded("release"))
    user = {"user": NOBODY, "group": NOBODY} if ROOT else {}
    done = subprocess.run([rspawn(host)], stdin=subprocess.DEVNULL, capture_output=True,
                          env=host.environment, **user)
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
    path = host.checkout / "lib" / "resident_signer.py"
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


# --- the server

# (supervisor, control/dkserver): what is said
NO_PLACE = {
    ("none", "/tmp/verify.sock"): "in a directory of its own",
    ("none", "/verify.sock"): "in a directory of its own",
    ("none", "/srv/x/../verify.sock"): "no plain path",
    ("none", "/srv/x/"): "no plain path",
    ("none", "/run/./verify.sock"): "no plain path",
    ("none", "/run/x/.."): "no plain path",
    ("none", "/var/run/verify.sock"): "in a directory of its own",
    ("/etc//service", "/tmp/verify.sock"): "in a directory of its own",
    ("none", "/srv/it's/verify.sock"): "only letters",
    ("none", "/srv/a,b/verify.sock"): "only letters",
    ("systemd", "/run/verify.sock"): "right in /run",
    ("systemd", "/run/a/b/verify.sock"): "right in /run",
    ("systemd", "/run/./verify.sock"): "no plain path",
    ("systemd", "/srv/x/verify.sock"): "right in /run",
}


@pytest.mark.skipif(not ROOT, reason="needs root: others have no supervisor")
@pytest.mark.parametrize("supervisor, socket", NO_PLACE, ids=str)
def test_no_place_for_the_socket(host, supervisor, socket):
    (host.qmail / "control" / "dkserver").write_text(f"{socket}\n")
    assert NO_PLACE[supervisor, socket] in host.refused(*SERVER, "--service", supervisor)


def test_no_server_where_none_is_wanted(host):
    packages()
    (host.qmail / "control" / "dkserver").write_text("no\n")
    host.install(*SERVER)
    assert not (host.prefix / "service").exists() and host.recorded("service") == ""
    (host.qmail / "control" / "dkserver").unlink()
    host.install("--verify", "--user", "nobody", "--group", "nogroup", "--service", "none")
    assert (host.prefix / "service").exists()      # what was told is kept


SUPERVISORS = [["svscan"], ["runsvdir"]]


@pytest.mark.skipif(not ROOT, reason="needs root")
@pytest.mark.parametrize("command", SUPERVISORS, ids=lambda command: command[0])
def test_server(host, command):
    """It serves under a real supervisor, is replaced by an upgrade, and goes."""
    packages()
    if not shutil.which(command[0]):
        pytest.skip(f"needs {command[0]}")
    services = host.directory / "service"
    services.mkdir()
    socket = host.directory / "run" / "verify.sock"
    (host.qmail / "control" / "dkserver").write_text(f"{socket}\n")
    supervisor = subprocess.Popen([*command, services], stderr=subprocess.DEVNULL,
                                  start_new_session=True)
    try:
        host.install(*SERVER, "--service", str(services))
        resident.until_true(lambda: answers(socket))
        assert oct(socket.parent.stat().st_mode)[-3:] == "750"
        assert f"service:   on: the resident verifier, under {services}" in host.status()[1]

        before = manifest(host.prefix / "bin", services)
        host.install("--verify")
        assert manifest(host.prefix / "bin", services) == before

        made = socket.stat().st_ctime_ns
        (host.checkout / "lib" / "__init__.py").write_text('__version__ = "9.9"\n')
        host.install("--verify")
        resident.until_true(lambda: socket.exists() and socket.stat().st_ctime_ns > made)
        resident.until_true(lambda: answers(socket))

        moved = host.directory / "moved" / "verify.sock"
        (host.qmail / "control" / "dkserver").write_text(f"{moved}\n")
        host.install("--verify")
        resident.until_true(lambda: answers(moved))
        resident.until_true(lambda: not socket.parent.exists())
        (host.qmail / "control" / "dkserver").write_text(f"{socket}\n")
        host.install("--verify")
        resident.until_true(lambda: answers(socket))

        host.install("--verify", "--no-resident")
        assert not list(services.iterdir()) and not (host.prefix / "service").exists()
        assert not socket.parent.exists() and "service:" not in host.status()[1]
        host.install(*SERVER, "--service", str(services))
        resident.until_true(lambda: answers(socket))

        host.uninstall()
        assert not list(services.iterdir()) and not host.prefix.exists()
        assert not socket.parent.exists()
    finally:
        os.killpg(supervisor.pid, signal.SIGTERM)
        supervisor.wait()


def answers(socket):
    try:
        return resident.ask(str(socket), verifying.MESSAGE).letter == "C"
    except resident.resident_exchange.NoAnswer:
        return False


# systemctl as far as install.sh uses it; it notes what it is told.
SYSTEMCTL = """#!/bin/sh
case "$*" in
--quiet\\ is-active*) exec test -e $LOG ;;
esac
echo "$*" >>$LOG
"""


def in_a_host_of_its_own(host, commands):
    """Runs commands of sh where /etc is a copy; -> what they print."""
    etc = host.directory / "etc"
    subprocess.run(["cp", "-a", "/etc", etc], check=True)
    return subprocess.run(
        ["unshare", "--mount", "sh", "-ec", f"mount --bind {etc} /etc\n{commands}"],
        capture_output=True, text=True, check=True, cwd="/",
        env={**host.environment, "INSTALL": f"sh {host.checkout}/install.sh",
             "WHERE": f"--qmail {host.qmail} --prefix {host.prefix}"}).stdout


@pytest.mark.skipif(not ROOT or not shutil.which("unshare"), reason="needs root, and Linux")
def test_systemd(host):
    packages()
    tools = host.directory / "tools"
    tools.mkdir()
    log = host.directory / "systemctl.log"
    (tools / "systemctl").write_text(SYSTEMCTL.replace("$LOG", str(log)))
    (tools / "systemctl").chmod(0o755)
    host.environment["PATH"] = f"{tools}:{host.environment['PATH']}"
    said = in_a_host_of_its_own(host, """
        mkdir -p /etc/systemd/system
        $INSTALL $WHERE --resident --verify --system-packages --user nobody --group nogroup \
            --service systemd >/dev/null
        cat /etc/systemd/system/qmail-dk-verifyd.service
        $INSTALL $WHERE >/dev/null
        $INSTALL $WHERE --no-resident >/dev/null
        ls /etc/systemd/system/qmail-dk-verifyd.service 2>&1 || :
        $INSTALL uninstall $WHERE >/dev/null""")
    assert f"ExecStart={host.prefix}/bin/qmail-dk-verifyd --user nobody" in said
    assert "RuntimeDirectory=qmail-dk\n" in said and "No such file" in said
    name = "qmail-dk-verifyd"
    assert log.read_text().splitlines() == [
        "daemon-reload", f"--quiet enable {name}", f"restart {name}",
        f"--quiet disable --now {name}", "daemon-reload"]


@pytest.mark.skipif(not ROOT or not shutil.which("unshare"), reason="needs root, and Linux")
@pytest.mark.skipif(not shutil.which("useradd"), reason="needs useradd")
def test_user(host):
    """A user is made for it, and goes with it; another's of that name stays."""
    packages()
    said = in_a_host_of_its_own(host, """
        $INSTALL $WHERE --resident --verify --system-packages --group nogroup --service none \
            >/dev/null
        getent passwd qmaildk
        id -gn qmaildk
        $INSTALL $WHERE --no-resident >/dev/null
        getent passwd qmaildk || echo gone
        useradd qmaildk
        $INSTALL uninstall $WHERE >/dev/null
        id -un qmaildk""")
    entry, group, gone = said.split("\n", 2)
    assert entry.split(":")[5:] == ["/nonexistent", "/usr/sbin/nologin"] and group == "qmaildk"
    assert gone == "gone\nqmaildk\n"


@pytest.mark.skipif(not ROOT, reason="needs root")
def test_no_such_group(host):
    packages()
    host.install("--verify", "--system-packages")
    assert "no group nosuch" in host.refused("--resident", "--user", "nobody", "--group", "nosuch")
