# SPDX-License-Identifier: MIT
"""Code, files and memory that are not ours: none is run, or followed."""

import os
import pathlib
import posix
import shutil
import subprocess
import sys

import pytest

from lib.errors import SpoolTrouble
from lib.qmail import spool
from tests.support import queue_driver, rspawn
from tests.support.deliveries import Host
from tests.support.verifying import dkim_signed

HOSTILE_MODULES = ("os", "sitecustomize", "usercustomize", "lib", "re", "binascii", "stat",
                   "syslog", "fcntl", "encodings", "dkim", "dns", "time", "_ctypes")


def hostile(directory):
    """Settings of an environment that brings code, all of which leaves a trace in directory."""
    modules = directory / "modules"
    trace = str(directory / "ran")
    modules.mkdir()
    for name in HOSTILE_MODULES:
        (modules / f"{name}.py").write_text(f"open({trace!r}, 'a').write('{name} ')")
    library = pathlib.Path(os.__file__).parent      # lib/python3.14t, for example
    relocated = modules / "lib" / library.name
    relocated.mkdir(parents=True)
    for path in library.iterdir():
        if path.name != "encodings":
            (relocated / path.name).symlink_to(path)
    shutil.copytree(library / "encodings", relocated / "encodings")
    with open(relocated / "encodings" / "__init__.py", "a") as file:    # before open() is there
        file.write(f"\nimport posix\nposix.open({trace!r}, posix.O_CREAT)\n")
    (modules / "pyvenv.cfg").touch()
    site = modules / "home/.local/lib" / library.name / "site-packages"
    site.mkdir(parents=True)
    (site / "evil.pth").write_text(f"import sys; open({trace!r}, 'w')")
    return modules, {
        "PYTHONPATH": str(modules), "PYTHONHOME": str(modules), "PYTHONSTARTUP": f"{modules}/re.py",
        "PYTHONUSERBASE": f"{modules}/home/.local", "HOME": f"{modules}/home", "PYTHONINSPECT": "1",
        "PYTHONVERBOSE": "3", "PYTHONDEBUG": "3", "PYTHONDEVMODE": "1", "PYTHONWARNINGS": "error",
        "PYTHONTRACEMALLOC": "25", "PYTHONFAULTHANDLER": "1", "PYTHONIOENCODING": "utf-16",
        "PYTHONMALLOC": "debug", "PYTHONPLATLIBDIR": "evil", "PYTHONBREAKPOINT": "re.x",
        "PYTHONOPTIMIZE": "2", "PYTHONDUMPREFS": "1", "PYTHONEXECUTABLE": f"{modules}/bin/python3",
        "PYTHONPROFILEIMPORTTIME": "1", "PYTHONUNBUFFERED": "1", "PYTHONHASHSEED": "junk",
        "PYTHONCOERCECLOCALE": "warn", "PYTHONUTF8": "junk", "PYTHONPYCACHEPREFIX": str(modules),
        "ENV": f"{modules}/re.py", "BASH_ENV": f"{modules}/re.py", "LC_ALL": "junk"}


def test_no_code_from_the_environment_signs(tmp_path):
    host = Host(tmp_path)
    modules, environment = hostile(tmp_path)
    result = rspawn.deliver([host.launcher], host.message, {**host.environment, **environment},
                            cwd=modules)
    assert result == ("K", b"accepted\n") and host.sent_signed()
    assert not (tmp_path / "ran").exists()


def test_no_code_from_the_environment_verifies(tmp_path):
    host = queue_driver.Host(tmp_path)
    modules, environment = hostile(tmp_path)
    host.environment.update(environment, DKVERIFY="-", DNSCACHEIP="127.0.0.1#1")
    launcher = verifier_launcher(tmp_path)
    host.prefix = ["/bin/sh", "-c", 'cd "$0"; exec "$@"', str(modules)]
    host.python, host.program = [str(launcher)], []
    outcome = host.smtpd(dkim_signed())
    assert outcome.code == 0 and b"dkim=temperror" in outcome.queued["message"]
    assert outcome.log.count(b"\n") == 1
    assert not (tmp_path / "ran").exists()


def verifier_launcher(directory):
    """Writes launcher/qmail-dk-verify with its names filled in -> its path."""
    text = (rspawn.LAUNCHER.parent / "qmail-dk-verify").read_text()
    for name, value in (("@PYTHON@", sys.executable), ("@PROGRAM@", queue_driver.PROGRAM),
                        ("@QMAIL@", directory)):
        text = text.replace(name, str(value))
    path = directory / "verify"
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("variable, options", [
    ("PYTHONPATH", []),
    pytest.param("PYTHONEXECUTABLE", ["-IS"], marks=pytest.mark.skipif(
        sys.version_info < (3, 11), reason="older ones know it on macOS only")),
])
def test_hostile_modules_would_show(tmp_path, variable, options):
    modules, environment = hostile(tmp_path)
    (modules / "encodings.py").unlink()     # Python does not even start with this one
    subprocess.run([rspawn.PYTHON, *options, "-c", ""],
                   env={variable: environment[variable]}, stderr=subprocess.DEVNULL)
    assert (tmp_path / "ran").exists()


def test_a_link_in_place_of_the_temporary_file(tmp_path, monkeypatch):
    """Where O_TMPFILE does not serve, and the name was guessed."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    monkeypatch.setattr(posix, "urandom", bytes)
    monkeypatch.delattr(posix, "O_TMPFILE")
    (tmp_path / ("qmail-dk." + bytes(16).hex())).symlink_to(victim)
    with pytest.raises(SpoolTrouble):
        spool.anonymous_file(spool.IN_MEMORY + 1, lambda: str(tmp_path))
    assert victim.read_text() == "precious"
