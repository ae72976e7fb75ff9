# SPDX-License-Identifier: MIT
"""What qmail-dk check finds of the resident programs."""

import contextlib
import os
import pwd
import shutil
import subprocess

import pytest

from lib.admin import check_resident
from tests.support import resident, rspawn
from tests.support.checked_host import Host, host      # noqa: F401

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/exe"), reason="needs /proc")

SUBJECTS = ("resident", "qmail-rspawn")


@pytest.fixture
def installed(host):
    """A host with both, of which none runs yet."""
    record = host.prefix / "installed"
    record.write_text(record.read_text() + f"rspawn={host.bin}/qmail-rspawn\nservice=systemd\n")
    (host.control / "me").write_text("mx.example.net\n")
    (host.directory / "queue" / "mess").mkdir()
    host.program(host.bin / "qmail-rspawn.orig", "#!/bin/sh\nexec sleep 60\n")
    host.program(host.bin / "qmail-rspawn", f"#!/bin/sh {host.bin}/qmail-rspawn.launcher\n"
                                            "# starts qmail_rspawn.py\n")
    host.program(host.bin / "qmail-rspawn.launcher", f"{host.prefix}/lib/qmail_rspawn.py\n")
    return host


@contextlib.contextmanager
def signer(host, release=None):
    """The resident signer of a release runs."""
    program = f"{release or host.prefix}/lib/qmail_rspawn.py"
    with subprocess.Popen([rspawn.PYTHON, "-IS", "-X", f"qmail={host.directory}", program, "10"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          env={"PATH": os.environ["PATH"]}) as process:
        assert process.stdout.read(1) == b"\n"
        yield process
        process.stdin.close()


def findings(host):
    """What it says of the resident programs: {subject: (level, text)}"""
    return {finding["subject"]: (finding["level"], finding["text"])
            for finding in host.all_findings()
            if any(word in finding["subject"] for word in SUBJECTS)}


def test_all_is_well(installed):
    with signer(installed) as process, resident.Resident(None, qmail=installed.directory) as server:
        installed.environment["DKSERVER"] = server.path
        found = findings(installed)
        assert found["resident signer"] == ("ok", f"process {process.pid} is qmail-rspawn")
        level, text = found["resident verifier"]
        assert level == "ok" and text.startswith(f"{server.path}: answers in ")
        assert found[f"qmail-rspawn (process {process.pid})"][0] != "FAIL"     # its memory
        assert len(found) == 3


def test_not_installed(host):
    assert findings(host) == {}


def test_nothing_runs(installed):
    installed.environment["DKSERVER"] = "/nonexistent/verify.sock"
    found = findings(installed)
    assert found["resident signer"] == ("warn", "no running qmail-rspawn was found")
    level, text = found["resident verifier"]
    assert level == "FAIL" and "No such file or directory; each message is verified on its" in text


def test_nobody_starts_the_server(installed):
    """Its log has nothing then."""
    record = installed.prefix / "installed"
    record.write_text(record.read_text().replace("service=systemd", "service=none"))
    installed.environment["DKSERVER"] = "/nonexistent/verify.sock"
    (remedy,) = [finding["remedy"] for finding in installed.all_findings()
                 if finding["subject"] == "resident verifier"]
    assert remedy.startswith("nobody starts it: run ./install.sh --service DIR")


def test_the_original_runs(installed):
    """The launcher has started it in the place of ours, or qmail was not restarted."""
    path = installed.bin / "qmail-rspawn.orig"
    path.unlink()
    shutil.copy(shutil.which("sleep"), path)
    with subprocess.Popen([path, "60"]) as process:
        level, text = findings(installed)["resident signer"]
        process.kill()
    assert level == "FAIL" and f"process {process.pid} is the original qmail-rspawn" in text


def test_an_older_version_runs(installed):
    with signer(installed, rspawn.CHECKOUT):
        level, text = findings(installed)["resident signer"]
    assert level == "warn" and f"is of an older version, {rspawn.CHECKOUT}" in text


def qmail_installed_anew(host):
    host.program(host.bin / "qmail-rspawn", "#!/bin/sh\n")


def launcher_empty(host):
    (host.bin / "qmail-rspawn.launcher").write_bytes(b"")


def launcher_closed(host):
    (host.bin / "qmail-rspawn.launcher").chmod(0o700)


def launcher_gone(host):
    (host.bin / "qmail-rspawn.launcher").unlink()


def place_gone(host):
    (host.bin / "qmail-rspawn").unlink()


def original_gone(host):
    (host.bin / "qmail-rspawn.orig").unlink()


# damage -> (level, name of the file, text)
DAMAGE = {
    qmail_installed_anew: ("FAIL", "qmail-rspawn", "is not the launcher of the resident signer"),
    launcher_empty: ("FAIL", "qmail-rspawn.launcher", "does not start /"),
    launcher_closed: ("FAIL", "qmail-rspawn.launcher", "qmail-rspawn's user can't read it"),
    launcher_gone: ("FAIL", "qmail-rspawn.launcher", "is missing, so qmail does not start"),
    place_gone: ("FAIL", "qmail-rspawn", "can't be read: No such file"),
    original_gone: ("warn", "qmail-rspawn.orig", "is missing: nothing steps in"),
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_damage(installed, damage):
    damage(installed)
    level, name, text = DAMAGE[damage]
    found = findings(installed)[f"{installed.bin}/{name}"]
    assert found[0] == level and text in found[1]


def has_smtpds_user():
    with contextlib.suppress(KeyError):
        return bool(pwd.getpwnam(check_resident.SMTPD))


@pytest.mark.root
@pytest.mark.skipif(not has_smtpds_user(), reason="needs qmaild")
def test_a_server_that_qmail_smtpd_may_not_ask(installed):
    """root could, but is not who does."""
    with resident.Resident(None, qmail=installed.directory) as server:
        os.chmod(server.directory, 0o700)
        installed.environment["DKSERVER"] = server.path
        level, text = findings(installed)["resident verifier"]
    assert level == "FAIL" and "Permission denied" in text
