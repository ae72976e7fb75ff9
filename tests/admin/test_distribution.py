# SPDX-License-Identifier: MIT
"""DKSYNC: three hosts with the same keys, one of which can't be reached for a day."""

import subprocess
import sys

import pytest

from lib import errors
from lib.admin import distribution
from lib.settings import Settings
from tests.support import resident
from tests.support.administrator import GROUP, tree
from tests.support.due import DAY, due_host

ONE = "example.com"

# Brings a directory to the trees of other hosts, as rsync -a --delete does: each file and link
# by a rename, and none where the file "down" is in place of a host.
SYNC = """#!{python} -IS
import os, shutil, sys
root, directory = sys.argv[1:]
for host in "mx2", "mx3":
    if os.path.exists(root + "/" + host + ".down"):
        sys.exit("ssh: connect to host " + host + ": No route to host")
    there = root + "/" + host + "/" + os.path.basename(directory)
    os.makedirs(there, exist_ok=True)
    names = [name for name in os.listdir(directory) if not name.endswith(".unsynced")]
    for name in sorted(names, key=lambda name: os.path.islink(directory + "/" + name)):
        shutil.copy2(directory + "/" + name, there + "/.new", follow_symlinks=False)
        os.rename(there + "/.new", there + "/" + name)
    for name in set(os.listdir(there)) - set(names):
        os.unlink(there + "/" + name)
    if not names:
        os.rmdir(there)
"""


@pytest.fixture
def host(tmp_path):
    with due_host(tmp_path, ONE) as host:
        program = tmp_path / "sync"
        program.write_text(SYNC.format(python=sys.executable))
        program.chmod(0o755)
        host.environment["DKSYNC"] = f"run:{program}  {tmp_path}"
        host.succeed("keygen", ONE, "--selector", "s1", "--group", GROUP)
        host.due()
        assert signing_with(host) == ["s1"] * 3
        host.clock.advance(DAY)
        yield host


def signing_with(host):
    """What the default link of each host leads to, None where there is none."""
    directories = [host.keys, host.directory / "mx2", host.directory / "mx3"]
    links = [directory / ONE / "default" for directory in directories]
    assert all(link.exists() or not link.is_symlink() for link in links)
    return [link.readlink().name if link.is_symlink() else None for link in links]


def make_next(host):
    host.succeed("rotate", ONE, "--selector", "s2", "--group", GROUP)


def down(host, name="mx3"):
    return host.directory / f"{name}.down"


def test_unreachable_before_the_change(host):
    """For a day, in which the old key signs everywhere; mx2 has the next key already."""
    make_next(host)
    down(host).touch()
    for _ in range(2):
        (line,) = host.due(code=1)
        assert line.startswith(f"FAIL {ONE}: DKSYNC could not bring {host.keys}/{ONE} to the other")
        assert "ssh: connect to host mx3: No route to host (exit code 1)" in line
        assert signing_with(host) == ["s1"] * 3
        host.clock.advance(DAY / 2)
    down(host).unlink()
    assert f"done {ONE}: s2 signs from now on" in host.due()
    assert signing_with(host) == ["s2"] * 3


def test_unreachable_after_the_change(host):
    """The others go on with the old key, and the time of its record begins when they have it."""
    make_next(host)
    program = host.directory / "sync"
    program.write_text(program.read_text() + f'open("{down(host)}", "w")\n')    # the next time
    lines = host.due(code=1)
    assert f"done {ONE}: s2 signs from now on" in lines and lines[0].startswith(f"FAIL {ONE}: ")
    assert signing_with(host) == ["s2", "s2", "s1"]
    host.clock.advance(9 * DAY)         # its time would be over
    lines = host.due(code=1)
    assert [line[:4] for line in lines] == ["FAIL", "wait"]
    assert f"s1._domainkey.{ONE} stays: other hosts may still sign with this key" in lines[1]
    down(host).unlink()
    program.write_text(program.read_text().replace("open(", "# open("))
    assert f"done {ONE}: DKSYNC has brought its keys to other hosts" in host.due()
    assert signing_with(host) == ["s2"] * 3
    host.clock.advance(8 * DAY)
    assert host.due() == [] and f"s1._domainkey.{ONE}" in host.published()
    host.clock.advance(DAY)
    assert host.due()[0].startswith(f"done {ONE}: s1._domainkey.{ONE} and its key")
    for directory in (host.keys, host.directory / "mx2", host.directory / "mx3"):
        assert sorted(path.name for path in (directory / ONE).iterdir()) == ["default", "s2"]


def test_by_hand(host):
    make_next(host)
    host.change_dns("add", f"s2._domainkey.{ONE}", text=record(host))
    down(host).touch()
    before = tree(host.keys)
    done = host.run("rotate", ONE, "--activate", "--force")
    assert done.returncode == 111 and "No route to host" in done.stderr
    assert tree(host.keys) == before
    down(host).unlink()
    assert "s2 signs from now on" in host.succeed("rotate", ONE, "--activate", "--force")
    assert signing_with(host) == ["s2"] * 3


def record(host):
    output = host.succeed("dns", ONE, "--only", "next", "--tinydns")
    return output.split(":")[1]


def test_removed_everywhere(host):
    """Also where a host could not be reached at once."""
    down(host).touch()
    done = host.run("remove", ONE)
    assert done.returncode == 111 and "No route to host" in done.stderr
    assert signing_with(host) == [None, None, "s1"]
    host.clock.advance(9 * DAY)
    assert host.due(code=1)[0].startswith(f"FAIL {ONE}: ")
    down(host).unlink()
    host.due()
    assert signing_with(host) == [None] * 3
    host.clock.advance(9 * DAY)
    host.due()
    assert not [directory for directory in (host.keys, host.directory / "mx2",
                                            host.directory / "mx3")
                if (directory / ONE).exists()]


# Commands by hand while rotate --due waits for the program, and the links on the hosts after.
MEANWHILE = {"remove": None, "rotate --activate --force": "s2"}

# The program has the list of what it will bring, as rsync, when that command runs.
AT_WORK = """import shutil, subprocess
if not os.path.exists(root + "/at-work"):
    shutil.copytree(directory, root + "/at-work/" + os.path.basename(directory), symlinks=True)
    directory = root + "/at-work/" + os.path.basename(directory)
    done = subprocess.run({command}, env={environment})
    if done.returncode != {code}:
        sys.exit("not as expected")
for host in"""


@pytest.mark.parametrize("its_own", ["works", "fails"])
@pytest.mark.parametrize("command", MEANWHILE)
def test_changed_while_the_program_runs(host, command, its_own):
    """What that command did gets to the other hosts, whether its own call of the program fails,
    as where it can't run twice, or is overtaken by the one that began before."""
    (host.keys / ONE / "default.unsynced").touch()      # as a kill leaves it
    verb, *options = command.split()
    environment = dict(host.environment)
    if verb == "rotate":
        make_next(host)
    if its_own == "fails":      # but before rotate changes anything, it is called, too
        once = host.directory / "once"
        once.write_text(f"#!/bin/sh\n[ {verb} = rotate -a ! -e {once}.done ] && : >{once}.done\n")
        once.chmod(0o755)
        environment["DKSYNC"] = f"run:{once}"
    program = host.directory / "sync"
    program.write_text(program.read_text().replace("for host in", AT_WORK.format(
        command=[str(host.command), verb, ONE, *options], environment=environment,
        code=111 if its_own == "fails" else 0), 1))
    host.due()
    assert signing_with(host) == [MEANWHILE[command]] * 3
    assert not (host.keys / ONE / "default.unsynced").exists()


def test_activated_twice_at_once(host):
    """By hand, while rotate --due brings the next key to the other hosts: the older call undoes
    there what the newer one did, until the next run."""
    make_next(host)
    program = host.directory / "sync"
    program.write_text(program.read_text().replace("for host in", AT_WORK.format(
        command=[str(host.command), "rotate", ONE, "--activate", "--force"],
        environment=host.environment, code=0), 1))
    (line,) = host.due(code=1)
    assert line.startswith(f"FAIL {ONE}: ") and "another qmail-dk made it sign" in line
    assert signing_with(host) == ["s2", "s1", "s1"]
    host.due()
    assert signing_with(host) == ["s2"] * 3


# The first program has its list, and waits to be told to go on.
OUTLIVES = """import shutil, time
if not os.path.exists(root + "/at-work"):
    shutil.copytree(directory, root + "/at-work/" + os.path.basename(directory), symlinks=True)
    directory = root + "/at-work/" + os.path.basename(directory)
    os.mkdir(root + "/begun")
    while not os.path.exists(root + "/go-on"):
        time.sleep(0.02)
for host in"""


def test_a_program_that_outlives_a_killed_run(host):
    """No run begins beside it, or it would undo on the other hosts what that run did."""
    make_next(host)
    program = host.directory / "sync"
    program.write_text(program.read_text().replace("for host in", OUTLIVES, 1)
                       + 'if "/at-work/" in directory:\n    os.rmdir(root + "/begun")\n')
    with subprocess.Popen([host.command, "rotate", "--due", "--group", GROUP],
                          env=host.environment) as run:
        resident.until_true((host.directory / "begun").exists)
        run.kill()
    done = host.run("rotate", "--due", "--group", GROUP)
    (host.directory / "go-on").touch()
    resident.until_true(lambda: not (host.directory / "begun").exists())
    assert (done.returncode, done.stdout) == (100, "")
    assert "or a program that a killed one has started" in done.stderr
    resident.until_true(lambda: host.run("rotate", "--due", "--group", GROUP).returncode == 0)
    assert signing_with(host) == ["s2"] * 3


def test_a_process_that_the_program_leaves_behind(host):
    """It holds up no later run."""
    make_next(host)
    program = host.directory / "sync"
    program.write_text(program.read_text() + """import subprocess
subprocess.Popen(["/bin/sh", "-c", "while [ -e \\"$0\\" ]; do sleep 0.05; done", root + "/stays"],
                 close_fds=False)
""")
    (host.directory / "stays").touch()
    assert f"done {ONE}: s2 signs from now on" in host.due()
    assert host.due() == []
    (host.directory / "stays").unlink()


NOT_RUN = {
    "missing": ("run:/nonexistent/sync", "unable to run /nonexistent/sync, which DKSYNC names: No"),
    "not executable": ("run:/etc/passwd", "unable to run /etc/passwd, which DKSYNC names: Permis"),
    "a signal": ("run:/bin/sh -c kill${IFS}-9${IFS}$$", "(signal 9)"),
    "silent": ("run:/bin/false", "/bin/false: no message (exit code 1)"),
}


@pytest.mark.parametrize("name", NOT_RUN)
def test_programs_that_fail(host, name):
    host.environment["DKSYNC"], words = NOT_RUN[name]
    make_next(host)
    (line,) = host.due(code=1)
    assert line.startswith(f"FAIL {ONE}: ") and words in line
    assert signing_with(host) == ["s1"] * 3


VALUES = {
    "none": [], "run:/a/b": ["/a/b"], "run:/a/b  -x y": ["/a/b", "-x", "y"],
    "run:": None, "run:a/b": None, "run: /a/b": None, "no": None, "/a/b": None, "none:": None,
    "run:/a\x1b/b": None,
}


@pytest.mark.parametrize("value", VALUES)
def test_values(tmp_path, value):
    settings = Settings({"DKSYNC": value}, str(tmp_path))
    if VALUES[value] is None:
        with pytest.raises(errors.SettingTrouble, match="^DKSYNC: "):
            distribution.Distribution(settings)
    else:
        assert distribution.Distribution(settings).arguments == VALUES[value]
