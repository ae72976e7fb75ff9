# SPDX-License-Identifier: MIT
"""The resident verifier as a service: its socket's place, its supervisor, its user."""

import os
import shutil
import signal
import subprocess

import pytest

from tests.support import resident, verifying
from tests.support.install_driver import (      # noqa: F401
    SERVER, directory, host, manifest, packages,
)
from tests.support.namespaces import needs_mounts

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/exe"), reason="needs /proc")

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


@pytest.mark.root
@pytest.mark.parametrize("supervisor, socket", NO_PLACE, ids=str)
def test_no_place_for_the_socket(host, supervisor, socket):
    (host.qmail / "control" / "dkserver").write_text(f"{socket}\n")
    assert NO_PLACE[supervisor, socket] in host.refused(*SERVER, "--service", supervisor)


# what is done to the directory above the socket's (it is there, the other is not) -> what is said
OTHERS_PLACES = {
    "anybody": (lambda path: path.chmod(0o777), "anybody can put another server there, by "),
    "sticky": (lambda path: path.chmod(0o1777), "anybody can put another server there, by "),
    "a group": (lambda path: (os.chown(path, 0, 12345), path.chmod(0o775)),
                "group number 12345 can put another server there, by "),
    "a user": (lambda path: os.chown(path, 12345, 0),
               "user number 12345 can put another server there, for "),
}


@pytest.mark.root
@pytest.mark.parametrize("below", ["run", "run/deeper"])
@pytest.mark.parametrize("whose", OTHERS_PLACES)
def test_a_place_where_others_could_put_a_server(host, whose, below):
    """Their answers would be taken for those of ours."""
    change, words = OTHERS_PLACES[whose]
    above = host.directory / "above"
    above.mkdir()
    change(above)
    (host.qmail / "control" / "dkserver").write_text(f"{above}/{below}/verify.sock\n")
    said = host.refused(*SERVER, "--service", "none")
    assert words + str(above) in said and "remedy: remove that file" in said


@pytest.mark.root
def test_a_place_that_is_ours_in_one_that_is_sticky(host):
    packages()
    above = host.directory / "above"
    (above / "run").mkdir(parents=True)
    above.chmod(0o1777)
    (host.qmail / "control" / "dkserver").write_text(f"{above}/run/verify.sock\n")
    host.install(*SERVER, "--service", "none")


def test_no_server_where_none_is_wanted(host):
    packages()
    (host.qmail / "control" / "dkserver").write_text("no\n")
    host.install(*SERVER)
    assert not (host.prefix / "service").exists() and host.recorded("service") == ""
    (host.qmail / "control" / "dkserver").unlink()
    host.install("--verify", "--user", "nobody", "--group", "nogroup", "--service", "none")
    assert (host.prefix / "service").exists()      # what was told is kept


SUPERVISORS = [["svscan"], ["runsvdir"]]


@pytest.mark.root
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
    done = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-ec",
         f"mount --bind {etc} /etc\n{commands}"],
        capture_output=True, text=True, cwd="/",
        env={**host.environment, "INSTALL": f"sh {host.checkout}/install.sh",
             "WHERE": f"--qmail {host.qmail} --prefix {host.prefix}"})
    assert done.returncode == 0, done.stderr
    return done.stdout


LIFE_WITH_QMAIL = """
rm -rf /etc/service
mkdir -p /etc/service/qmail-send
printf '#!/bin/sh\\nexec %s/rc\\n' $QMAIL >/etc/service/qmail-send/run
svscan /etc/service >/dev/null 2>&1 &
$INSTALL $WHERE --sign --verify --resident --system-packages --user nobody --group nogroup
readlink /etc/service/qmail-dk-verifyd
rm -rf $PREFIX
$INSTALL --qmail $QMAIL --dry-run | grep -q "Copy the programs to $PREFIX/"
$INSTALL --qmail $QMAIL
for process in /proc/[0-9]*; do
    tr '\\0' ' ' <$process/cmdline && echo || :
done | grep -c '^supervise qmail-dk-verifyd'
$INSTALL uninstall $WHERE >/dev/null
"""


@pytest.mark.root
@needs_mounts
def test_supervised_as_in_life_with_qmail(host):
    """Where the run script leaves it to rc; what is said of the service is what comes of it."""
    packages()
    if not shutil.which("svscan"):
        pytest.skip("needs svscan")
    host.make_start_script()
    socket = host.directory / "run" / "verify.sock"
    (host.qmail / "control" / "dkserver").write_text(f"{socket}\n")
    said = in_a_host_of_its_own(host, LIFE_WITH_QMAIL.replace("$QMAIL", str(host.qmail))
                                .replace("$PREFIX", str(host.prefix)))
    assert said.count("service:   on: the resident verifier, under /etc/service\n") == 2
    assert f"\n{host.prefix}/service/qmail-dk-verifyd\n" in said and said.endswith("\n1\n")


OF_AN_OLD_VERSION = """
rm -rf /etc/service
mkdir -p /etc/service/qmail-send
printf '#!/bin/sh\\nexec %s/rc\\n' $QMAIL >/etc/service/qmail-send/run
$INSTALL $WHERE --sign --verify --resident --system-packages --user nobody --group nogroup \
    --service none >/dev/null
$INSTALL $WHERE --dry-run | grep -c 'Start the service' || :
sed -i /^prefix=/d $PREFIX/installed
$INSTALL $WHERE --dry-run | grep -c 'Start the service'
$INSTALL $WHERE --dry-run --service none | grep -c 'Start the service' || :
"""


@pytest.mark.root
@needs_mounts
def test_a_supervisor_that_an_old_version_has_not_found(host):
    """None that was told is kept; version 0.1 did not know Life with qmail, and found none."""
    packages()
    host.make_start_script()
    said = in_a_host_of_its_own(host, OF_AN_OLD_VERSION.replace("$QMAIL", str(host.qmail))
                                .replace("$PREFIX", str(host.prefix)))
    assert said == "0\n1\n0\n"


@pytest.mark.root
@needs_mounts
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


@pytest.mark.root
@needs_mounts
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


@pytest.mark.root
def test_no_such_group(host):
    packages()
    host.install("--verify", "--system-packages")
    assert "no group nosuch" in host.refused("--resident", "--user", "nobody", "--group", "nosuch")
