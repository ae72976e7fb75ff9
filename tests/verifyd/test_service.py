# SPDX-License-Identifier: MIT
"""The resident verifier as a service: its rights, its place, its supervisors, a full log."""

import grp
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess

import pytest

from lib.verifying.exchange import NoAnswer
from tests.support import resident
from tests.support.resident_verifier import GOOD, dns, host, server      # noqa: F401


def test_hangup_reads_the_settings_anew(dns):
    with resident.Place() as qmail:
        check_hangup(dns, pathlib.Path(qmail.directory))


def check_hangup(dns, qmail):
    control = qmail / "control"
    control.mkdir()
    (control / "dnscacheip").write_text("127.0.0.1#1\n")
    with resident.Resident(None, "--workers", "2", qmail=qmail) as running:
        first = running.workers()
        with pytest.raises(NoAnswer):
            resident.ask(running.path, GOOD)
        (control / "dnscacheip").write_text("not an address\n")
        running.process.send_signal(signal.SIGHUP)
        running.wait_for("nothing is changed")
        assert running.workers() == first
        (control / "dnscacheip").write_text(dns.address + "\n")
        running.process.send_signal(signal.SIGHUP)
        running.wait_for("read again")
        resident.until_true(lambda: not running.workers() & first)
        assert len(running.workers()) == 2
        assert resident.ask(running.path, GOOD).letter == "A"


@pytest.mark.root
def test_rights_are_given_up(server):
    for process in {server.process.pid} | server.workers():
        with open(f"/proc/{process}/status", encoding="ascii") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        for line in ("Uid", "Gid"):
            assert "0" not in status[line].split()
        assert "0" not in status["Groups"].split()
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0


@pytest.mark.root
@pytest.mark.parametrize("user, words", [(None, "--user"), ("root", "is root"),
                                         ("no-such-user", "no user")])
def test_root_does_not_verify(dns, user, words):
    running = resident.Resident(dns.address, user="root")
    running.arguments = ["--user", user] if user else []
    with pytest.raises(AssertionError, match=words):
        with running:
            pass
    assert running.process.wait(resident.LONGEST_WAIT) == 111


# (what sh does in front of the server, what is said)
UNSAFE_PLACES = [
    ('chmod 1777 "${DKSERVER%/*}"; exec "$@"', "others can write to"),
    ('chmod 775 "${DKSERVER%/*}"; exec "$@"', "others can write to"),
    ('echo kept >"$DKSERVER"; "$@"; code=$?; cat "$DKSERVER" >&2; exit $code',
     "not a socket\n *kept"),
]
if os.geteuid() == 0:
    UNSAFE_PLACES.append(('chown nobody "${DKSERVER%/*}"; exec "$@"', "others can write to"))


@pytest.mark.parametrize("before, words", UNSAFE_PLACES)
def test_unsafe_place(dns, before, words):
    """Others could take its place, or it would remove another's file."""
    running = resident.Resident(dns.address, prefix=["/bin/sh", "-c", before, "sh"])
    with pytest.raises(AssertionError, match=words):
        with running:
            pass
    assert running.process.wait(resident.LONGEST_WAIT) == 111


def filled(path, **values):
    """The text of a file of service/, its @NAMES@ filled in."""
    with open(os.path.join(resident.ROOT, "service", path), encoding="ascii") as file:
        text = file.read()
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    assert not re.search("@[A-Z]+@", text)
    return text


@pytest.mark.root
def test_run_script(dns, host):
    """As supervise starts it; only its group gets as far as the socket."""
    with resident.Place() as place:
        launcher = place.directory + "/launcher"
        with open(launcher, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\nexec " + " ".join(
                [*host.python, resident.ROOT + "/lib/qmail_dk_verifyd.py"]) + ' "$@"\n')
        os.chmod(launcher, 0o755)
        directory = place.directory + "/run"
        path = directory + "/verify.sock"
        script = filled("qmail-dk-verifyd/run", LAUNCHER=launcher, USER="nobody", GROUP="daemon",
                        DIRECTORY=directory, SOCKET=path)
        with subprocess.Popen(
                ["sh", "-c", script], stdout=subprocess.PIPE,
                env={"PATH": os.defpath, "DKSERVER": path, "DNSCACHEIP": dns.address}) as running:
            try:
                assert b"are ready" in running.stdout.readline()
                state = os.stat(directory)
                assert (state.st_uid, state.st_gid) == (0, grp.getgrnam("daemon").gr_gid)
                assert state.st_mode & 0o777 == 0o750
                assert resident.ask(path, GOOD).letter == "A"
            finally:
                running.terminate()
                code = running.wait(resident.LONGEST_WAIT)
        assert code == 0


@pytest.mark.root
@pytest.mark.parametrize("emptied", [True, False])
def test_run_script_and_a_directory_of_others(tmp_path, emptied):
    """It gets the group only where it holds nothing, as one of an earlier start does."""
    directory = tmp_path / "run"
    directory.mkdir(0o711)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(directory / "verify.sock"))
    if not emptied:
        (directory / "other").write_text("")
    before = directory.stat()
    script = filled("qmail-dk-verifyd/run", LAUNCHER="/bin/true", USER="nobody", GROUP="daemon",
                    DIRECTORY=str(directory), SOCKET=str(directory / "verify.sock"))
    subprocess.run(["sh", "-c", script], check=True)
    after = directory.stat()
    if emptied:
        assert (after.st_mode & 0o777, after.st_gid) == (0o750, grp.getgrnam("daemon").gr_gid)
    else:
        assert (after.st_mode, after.st_gid) == (before.st_mode, before.st_gid)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd")
def test_systemd_knows_the_directives(tmp_path):
    unit = tmp_path / "qmail-dk-verifyd.service"
    unit.write_text(filled("qmail-dk-verifyd.service", LAUNCHER="/bin/true", USER="nobody",
                           GROUP="daemon", RUNTIME="qmail-dk"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True,
                          text=True)
    told = [line for line in done.stderr.splitlines() if unit.name in line]
    assert not told and "Unknown" not in done.stderr


@pytest.mark.root
@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv")
def test_reload_with_the_rights_that_the_unit_gives(server):
    """Those of CapabilityBoundingSet=, unless a + stands before the command."""
    unit = dict(re.findall(r"^(\w+)=(.*)", filled(
        "qmail-dk-verifyd.service", LAUNCHER="/bin/true", USER="nobody", GROUP="daemon",
        RUNTIME="qmail-dk"), re.MULTILINE))
    rights = unit["CapabilityBoundingSet"].lower().replace("cap_", "+").split()
    command = unit["ExecReload"].replace("$MAINPID", str(server.process.pid)).split()
    confined = ["setpriv", "--bounding-set", ",".join(["-all", *rights])]
    if command[0].startswith("+"):
        command[0], confined = command[0][1:], []
    if not os.path.exists(command[0]):
        pytest.skip(f"needs {command[0]}")
    before = server.workers()
    subprocess.run([*confined, *command], check=True)
    resident.until_true(lambda: server.workers() and not before & server.workers())


def test_a_log_that_is_full(dns):
    """It costs the lines, and nothing else."""
    running = resident.Resident(dns.address, "--workers", "1",
                                prefix=["/bin/sh", "-c", 'exec "$@" 2>/dev/full', "sh"])

    def answers():
        try:
            return resident.ask(running.path, GOOD).letter == "A"
        except NoAnswer:
            return running.process.poll() is not None
    running.start()
    try:
        resident.until_true(answers)
        for number in (signal.SIGKILL, signal.SIGHUP):
            before = running.workers()
            for process in before if number == signal.SIGKILL else [running.process.pid]:
                os.kill(process, number)
            resident.until_true(lambda: running.workers() - before)
        resident.until_true(answers)
    finally:
        running.__exit__()
