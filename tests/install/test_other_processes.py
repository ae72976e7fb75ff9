# SPDX-License-Identifier: MIT
"""install.sh beside another, after one that was killed, and beside programs of ours that run."""

import fcntl
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from tests.support import resident, rspawn
from tests.support.install_driver import (      # noqa: F401
    SIGNED, STRANGER, UNSIGNED, DeliveriesAllTheWhile, directory, host, manifest, packages,
)
from tests.support.namespaces import needs_mounts


@pytest.mark.parametrize("locked", ["prefix", "qmail"])
def test_one_at_a_time(host, locked):
    """For a prefix, and for a qmail."""
    place = {"prefix": host.prefix / "qmail-dk.lock", "qmail": host.qmail / "bin"}[locked]
    host.prefix.mkdir(parents=True)
    (host.prefix / "qmail-dk.lock").touch()
    before = manifest(host.qmail)
    descriptor = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        second = host.start("--sign")
        assert "Wait for another install.sh" in second.stdout.readline()
        assert manifest(host.qmail) == before
    finally:
        os.close(descriptor)
    assert second.communicate()[1] == "" and second.returncode == 0
    assert host.deliver() == SIGNED and host.status()[0] == 0


def test_two_hosts_at_once(host):
    """Of two prefixes that share the manual, each page is one's alone."""
    second = host.second()
    once = host.with_tool("cp", f"""case $2 in
        */man8/*) if mkdir '{host.directory}/once' 2>/dev/null; then
            : >'{host.directory}/said'
            {{
                sh '{host.checkout}/install.sh' --sign --qmail '{second.qmail}' \
                    --prefix '{second.prefix}'
                echo ended
            }} >'{host.directory}/said' 2>&1 5<&- 6<&- 7>&- 8<&- 9>&- &
            until grep -q -e '^==> Wait for another' -e ended '{host.directory}/said'; do
                sleep 0.1
            done
        fi ;;
    esac""")
    host.install()
    resident.until_true(lambda: second.status()[0] == 0)
    assert once.exists() and second.deliver() == host.deliver() == SIGNED
    pages = [line for host in (host, second)
             for line in (host.prefix / "made").read_text().splitlines() if "/man8/" in line]
    assert len(pages) == len(set(pages))
    for each in second, host:
        each.uninstall()
    assert not host.prefix.parent.parent.exists()


@pytest.mark.parametrize("gone", ["prefix", "its directory"])
def test_prefix_that_is_removed_before_it_is_locked(host, gone):
    """By an uninstall that ends just then: what is begun goes on from there."""
    once = host.with_tool("mkdir", f"""
        if [ "$1" = '{host.prefix}' ] && mkdir '{host.directory}/once' 2>/dev/null; then
            if [ '{gone}' = prefix ]; then mkdir "$1" && rmdir "$1"; exit; fi
            rmdir "${{1%/*}}"
        fi""")
    host.install()
    assert once.exists() and host.deliver() == SIGNED and host.status()[0] == 0
    host.uninstall()
    assert not host.prefix.parent.parent.exists()


@pytest.fixture
def held_up(host):
    """A host where cp, in PATH, stays at its first start until the file `go` is there.

    held_up.at_work: there when it does
    """
    tools = host.directory / "tools"
    tools.mkdir()
    host.at_work, host.go = host.directory / "at work", host.directory / "go"
    (tools / "cp").write_text(f"""#!/bin/sh
        if [ ! -e '{host.at_work}' ]; then
            : >'{host.at_work}'
            until [ -e '{host.go}' ] || [ ! -d '{tools}' ]; do sleep 0.05; done
        fi
        PATH='{host.environment["PATH"]}' exec cp "$@"
    """)
    (tools / "cp").chmod(0o755)
    host.environment["PATH"] = f"{tools}:{host.environment['PATH']}"
    yield host
    host.go.touch()


@pytest.mark.parametrize("verb", [("install", "--sign"), ("uninstall",)], ids=lambda verb: verb[0])
def test_beside_an_upgrade(held_up, verb):
    """In each of these pairs, one after the other: what the second finds is whole."""
    host = held_up
    host.at_work.touch()
    host.install()
    host.at_work.unlink()
    edited = host.checkout / "lib" / "errors.py"
    edited.write_text(edited.read_text() + "# a new version\n")
    with DeliveriesAllTheWhile(host) as deliveries:
        first = host.start("--sign")
        resident.until_true(host.at_work.exists)
        second = host.start(*verb)
        assert "Wait for another install.sh" in second.stdout.readline()
        host.go.touch()
        for process in first, second:
            assert process.communicate()[1] == "" and process.returncode == 0
    assert deliveries.seen <= {SIGNED, UNSIGNED}
    if verb[0] == "install":
        assert host.deliver() == SIGNED and host.status()[0] == 0
    else:
        assert host.deliver() == UNSIGNED and not host.prefix.exists()


def test_the_lock_outlives_a_shell_that_was_killed(held_up):
    """As long as what it has started is at work."""
    host = held_up
    first = host.start("--sign")
    resident.until_true(host.at_work.exists)
    first.kill()
    first.wait()
    second = host.start("--sign")
    assert "Wait for another install.sh" in second.stdout.readline()
    host.go.touch()
    assert second.communicate()[1] == "" and second.returncode == 0
    assert host.deliver() == SIGNED and not list(host.prefix.glob("staging.*"))


def test_what_killed_ones_left(host):
    before = manifest(host.qmail)
    host.install()
    (host.prefix / "staging.1").mkdir()
    (host.prefix / "staging.1" / "keys").touch()
    host.install()
    assert not list(host.prefix.glob("staging.*"))
    for name in "qmail-remote", "qmail-remote.orig", "qmail-remote.launcher":
        (host.qmail / "bin" / (name + ".qmail-dk-new")).write_text("half")
    host.uninstall()
    assert manifest(host.qmail) == before and not host.prefix.exists()


def test_uninstall_keeps_the_only_original(host):
    before = manifest(host.qmail)
    host.install()
    host.remote.unlink()
    host.uninstall()
    assert manifest(host.qmail) == before


@pytest.mark.parametrize("parts", [("--sign",), ("--sign", "--resident"),
                                   ("--verify", "--system-packages")], ids=str)
def test_status_sees_that_the_release_is_gone(host, parts):
    if "--verify" in parts:
        packages()
    host.install(*parts)
    assert host.status()[0] == 0
    shutil.rmtree(host.recorded("release"))
    code, text = host.status()
    assert code == 1 and "which is gone" in text
    assert not re.search("^(signing|verifying|resident): *on", text, re.MULTILINE)


def test_status_needs_neither_a_network_nor_packages(host):
    host.install()
    done = subprocess.run(
        [rspawn.PYTHON, "-IS", "-X", "importtime", "-X", f"qmail={host.qmail}", "-X",
         f"original={host.original}", "-X", f"release={host.recorded('release')}",
         host.checkout / "install" / "status.py", host.prefix], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("signing:   on: ")
    modules = re.findall(r"\| +(\S+)\n", done.stderr)
    assert "lib.admin.status" in modules
    assert not [name for name in modules if name.startswith(("lib.lookup", "dns", "dkim"))]



@pytest.mark.root
@pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="needs /proc")
@pytest.mark.parametrize("resident", [(), ("--resident",)], ids=["one-shot", "resident"])
def test_processes_of_strangers_do_not_count(host, resident):
    """Whatever their names and environments: uninstall goes its way, and status sees none."""
    packages()
    verifyd = ["--service", "none", "--user", "nobody", "--group", "nogroup"] if resident else []
    host.install("--system-packages", *resident, *verifyd)
    release = host.recorded("release")
    python = shutil.which("python3", path="/usr/bin:/bin")
    arguments = [python, "-c", "print(flush=True); import time; time.sleep(600)",
                 f"qmail={host.qmail}", f"{release}/lib/qmail_rspawn.py", "10"]
    environment = {"QMAILQUEUE": str(host.prefix / "bin" / "qmail-dk-verify"),
                   "QMAILREMOTE": str(host.beside)}
    with subprocess.Popen(arguments, env=environment, user=STRANGER, group=STRANGER, cwd="/",
                          stdout=subprocess.PIPE) as stranger:
        stranger.stdout.readline()
        assert host.status()[0] == 0
        host.uninstall()
        stranger.kill()
    assert host.deliver() == UNSIGNED and not host.prefix.exists()


# As ps of procps: it cuts lines at COLUMNS, or at 80 unless -ww is given.
PS = """#!/bin/sh
case " $* " in *" -ww "*) width=${COLUMNS:-9999} ;; *) width=${COLUMNS:-80} ;; esac
printf '%s\n' '0 4711 /usr/bin/python3 -IS -X utf8 -X qmail=/var/qmail -X o=/var/qmail/bin/o \
$PROGRAM 10' | cut -c "1-$width"
"""


@pytest.mark.root
@needs_mounts
def test_without_proc(host):
    """ps says it, whatever root's environment has made of its display."""
    host.install()
    running = pathlib.Path(host.recorded("release"))
    tools = host.directory / "tools"
    tools.mkdir()
    (tools / "ps").write_text(PS.replace("$PROGRAM", f"{running}/lib/qmail_rspawn.py"))
    (tools / "ps").chmod(0o755)
    host.environment |= {"PATH": f"{tools}:{host.environment['PATH']}", "COLUMNS": "40"}
    host.shell = ["unshare", "--mount", "sh", "-c",
                  'mount -t tmpfs none /proc && exec sh "$@"', "sh"]
    for version in "0.8", "0.9", "1.0":
        (host.checkout / "lib" / "__init__.py").write_text(f'__version__ = "{version}"\n')
        host.install()
    assert running.exists() and not (host.prefix / "release-0.8-build.1").exists()
