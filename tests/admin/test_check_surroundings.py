# SPDX-License-Identifier: MIT
"""What check says of the log, of names that are nearly settings, and of old releases."""

import os
import shutil
import socket
import subprocess
import sys

import pytest

from lib.admin import check_surroundings, running as admin_running
from lib.admin.host import Host
from lib.settings import Settings
from tests.support import rspawn
from tests.support.administrator import Administrator


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "control").mkdir()
    return Settings({}, str(tmp_path / "control"))


def test_log(tmp_path):
    path = str(tmp_path / "log")
    (finding,) = check_surroundings.log_findings(path)
    assert finding.level == "warn" and finding.text.startswith("there is no such socket, so")
    for kind in socket.SOCK_DGRAM, socket.SOCK_STREAM:
        with socket.socket(socket.AF_UNIX, kind) as daemon:
            daemon.bind(path)
            if kind == socket.SOCK_STREAM:
                daemon.listen()
            (finding,) = check_surroundings.log_findings(path)
            assert finding.level == "ok"
        (finding,) = check_surroundings.log_findings(path)      # the daemon has died
        assert finding.level == "warn" and "refused" in finding.text
        os.unlink(path)


# name of a control file -> the setting that was meant, or None for nothing to say
NAMES = {"dksing": "DKSIGN", "dksign": None, "DKSIGN": "DKSIGN", "dkverfy": "DKVERIFY",
         "dkimcannon": "DKIMCANON", "dkauthserv": "DKAUTHSERVID", "dnscaheip": "DNSCACHEIP",
         "dksign~": None, "dksign.old": None, "domainkeys": None, "dkimkeys": None,
         "dkimsign": None, "me": None, "timeout": None}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_control_files(settings, name):
    path = os.path.join(settings.control, name)
    with open(path, "w", encoding="ascii"):
        pass
    found = check_surroundings.name_findings(Host(settings))
    assert [(finding.level, finding.subject) for finding in found] == (
        [("warn", path)] if NAMES[name] else [])
    assert all(f"call it {NAMES[name].lower()}" in finding.remedy for finding in found)


def test_names_of_variables(settings, monkeypatch):
    running = admin_running.Rspawn(1, {"DKSING": "x", "DKSIGN": "x", "PATH": "x"}, None)
    monkeypatch.setenv("DKIMEXPIRES", "1")
    found = check_surroundings.name_findings(Host(settings, running))
    assert [finding.subject for finding in found] == ["DKIMEXPIRES", "DKSING"]
    assert found[1].remedy == "if DKSIGN is meant, call it that"


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")
@pytest.mark.parametrize("program", check_surroundings.RESIDENT)
def test_old_releases(tmp_path, program):
    """The one that started its workers is named, not these."""
    prefix, (old, new) = str(tmp_path), [f"{tmp_path}/release-1-build.{n}" for n in (1, 2)]
    command = ["sh", "-c", 'sh -c "echo; read line" sh "$1"; :', "sh"]
    for release, expected in (old, 1), (new, 0):
        with subprocess.Popen([*command, release + program], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            found = check_surroundings.release_findings(prefix, new)
            process.stdin.close()
        assert len(found) == expected
        for finding in found:
            assert finding.subject == f"process {process.pid}" and finding.level == "warn"
            assert f"still runs from {old}," in finding.text and "restart" in finding.remedy


def test_version_and_help(tmp_path):
    admin = Administrator(tmp_path)
    version = admin.succeed("--version")
    assert version.startswith("qmail-dk ") and version.count(".") >= 1
    assert admin.succeed("help") == admin.succeed("--help")


def test_python_or_the_program_has_gone(tmp_path):
    """As where a distribution has replaced its Python: one line, with the remedy."""
    admin = Administrator(tmp_path)
    text = admin.command.read_text()
    for old, new in (sys.executable, "/none/python3"), ("lib/qmail_dk.py", "none/qmail_dk.py"):
        assert old in text
        admin.command.write_text(text.replace(old, new))
        line = admin.refused("check")
        assert line.endswith(" has gone; remedy: run install.sh again") and "none" in line


@pytest.mark.parametrize("name", ["errors.py", "settings.py", "admin/verbs.py"])
@pytest.mark.parametrize("damage", ["gone", "half", "NUL"])
def test_a_file_that_is_damaged(tmp_path, name, damage):
    """As after half a restoration: one line, with the remedy, and no traceback."""
    prefix = tmp_path / "prefix"
    shutil.copytree(rspawn.CHECKOUT / "lib", prefix / "lib",
                    ignore=shutil.ignore_patterns("__pycache__"))
    admin = Administrator(tmp_path, prefix)
    path = prefix / "lib" / name
    text = path.read_text()
    path.unlink()
    if damage != "gone":
        path.write_text(text[:text.rindex("(") + 1] if damage == "half" else "\0" * len(text))
    assert admin.refused("check").endswith("; remedy: run install.sh again")


LACKING = """
import sys
from lib import qmail_dk
def lacking():
    raise MemoryError
qmail_dk.this_host = lacking
sys.exit(qmail_dk.main(["dns", "example.com"]))
"""


def test_too_little_memory():
    done = subprocess.run([sys.executable, "-c", LACKING], cwd=rspawn.CHECKOUT,
                          capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (
        111, "qmail-dk: too little memory; remedy: more, or a higher limit (ulimit -v)\n")
