# SPDX-License-Identifier: MIT
"""The data file of tinydns: replaced as a whole, compiled by make, and never lost."""

import contextlib
import os
import random
import resource
import shutil
import stat
import subprocess
import threading
import time

import pytest

from lib.admin import key_storage
from lib.admin.publishing import command, tinydns_data
from lib.admin.publishing.choice import publisher
from lib.admin.publishing.record import Record
from lib.errors import PublishTrouble
from lib.settings import Settings
from tests.support import fault_publishing, fault_sweep

RECORD = Record("s1._domainkey.example.com", 3600, "v=DKIM1; p=AB")
LINE = b"'s1._domainkey.example.com:v=DKIM1; p=AB:3600:::qmail-dk\n"
OWN = b"# own\n.example.com:127.0.0.1:a\n"

pytestmark = pytest.mark.skipif(not (shutil.which("tinydns-data") and shutil.which("make")),
                                reason="tinydns or make is not installed")


class Root:
    """A directory as tinydns-conf makes it.  data: path of the file"""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir()
        self.makefile = directory / "Makefile"
        self.makefile.write_text("data.cdb: data\n\ttinydns-data\n")
        self.data = directory / "data"
        self.data.write_bytes(OWN)
        self.publisher = publisher(Settings({"DKPUBLISH": f"tinydns:{self.data}"}))

    def has(self, record=RECORD):
        """Returns whether tinydns has a record."""
        said = subprocess.run(["tinydns-get", "txt", record.name], cwd=self.directory,
                              capture_output=True, text=True, check=True).stdout
        assert "authoritative" in said
        return "answer: " in said

    def trouble(self, verb="add"):
        """Returns what is said when nothing can be published."""
        with pytest.raises(PublishTrouble) as raised:
            getattr(self.publisher, verb)([RECORD])
        said = str(raised.value)
        assert "\n" not in said and "; remedy: " in said and not self.leftovers()
        return said

    def leftovers(self):
        return [name for name in os.listdir(self.directory) if name.startswith(
            key_storage.TEMPORARY)]


@pytest.fixture
def root(tmp_path):
    return Root(tmp_path / "root")


def test_changes_in_quick_succession(root):
    """make sees each of them, though clocks tick 100 or 250 times a second."""
    for number in range(20):
        root.publisher.add([RECORD])
        assert root.has(), number
        root.publisher.remove([RECORD])
        assert not root.has(), number
    assert root.data.read_bytes() == OWN


def test_compiled_data_of_the_future(root):
    """The clock was wrong for a while."""
    root.publisher.add([])
    os.utime(root.directory / "data.cdb", (time.time() + 86400,) * 2)
    root.publisher.add([RECORD])
    assert root.has()


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o664])
def test_mode(root, mode):
    root.data.chmod(mode)
    root.publisher.add([RECORD])
    assert stat.S_IMODE(root.data.stat().st_mode) == mode


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o777])
def test_tinydns_can_read_what_is_compiled(root, umask):
    """Under cron, too, whose umask may be that of a hardened root."""
    before = os.umask(umask)
    try:
        root.publisher.add([RECORD])
    finally:
        os.umask(before)
    assert stat.S_IMODE((root.directory / "data.cdb").stat().st_mode) == 0o644


@pytest.mark.root
def test_owner_and_attributes(root):
    os.chown(root.data, 12345, 54321)
    with contextlib.suppress(OSError):      # a file system without them
        os.setxattr(root.data, "user.note", b"x")
    noted = os.listxattr(root.data)
    root.publisher.add([RECORD])
    state = root.data.stat()
    assert (state.st_uid, state.st_gid) == (12345, 54321)
    assert os.listxattr(root.data) == noted


def test_links_stay(root, tmp_path):
    """make runs where the link is, and the new file gets where it leads to."""
    (tmp_path / "elsewhere").mkdir()
    file = tmp_path / "elsewhere" / "zone"
    root.data.rename(file)
    (tmp_path / "link").symlink_to("elsewhere/zone")
    root.data.symlink_to("../link")
    root.publisher.add([RECORD])
    assert root.data.is_symlink() and file.read_bytes() == OWN + LINE and root.has()
    assert os.listdir(tmp_path / "elsewhere") == ["zone"]


def test_without_a_makefile(root):
    root.makefile.unlink()
    root.publisher.add([RECORD])
    assert root.has()


@pytest.mark.parametrize("spoil, words", [
    (lambda root: root.data.unlink(), "data: No such file or directory"),
    (lambda root: (root.data.unlink(), os.mkfifo(root.data)), "data is not a file"),
    (lambda root: (root.data.unlink(), root.data.mkdir()), "data: Is a directory"),
    (lambda root: (root.data.unlink(), root.data.symlink_to("data")), "data: Too many levels"),
    (lambda root: (root.data.rename(root.directory / "zone"), root.makefile.unlink(), setattr(
        root.publisher, "path", f"{root.directory}/zone")), "root has no Makefile"),
    (lambda root: root.data.write_bytes(b"'s1._domainkey.example.com:x\n"),
     "data: line 1 has another TXT record of s1._domainkey.example.com"),
])
def test_nothing_is_changed(root, spoil, words):
    spoil(root)
    before = root.data.read_bytes() if root.data.is_file() else None
    assert words in root.trouble()
    assert before is None or root.data.read_bytes() == before
    assert not (root.directory / "data.cdb").exists()


@pytest.mark.parametrize("missing, words", [
    ("make", "DKPUBLISH needs make, which is not in PATH"), ("tinydns-data", "has no Makefile")])
def test_a_program_is_missing(root, monkeypatch, missing, words):
    if missing != "make":
        root.makefile.unlink()
    found = command.find
    monkeypatch.setattr(command, "find", lambda name: None if name == missing else found(name))
    assert words in root.trouble() and root.data.read_bytes() == OWN


def test_make_fails(root):
    """The line stays; tinydns has what it had until the cause is gone."""
    root.publisher.add([])
    root.data.write_bytes(OWN + b"?\n")
    said = root.trouble()
    assert f"{root.data} is changed, but " in said and "failed in" in said
    assert "make: *** [Makefile:2: data.cdb] Error 111 (exit code 2)" in said
    assert root.data.read_bytes() == OWN + b"?\n" + LINE and not root.has()
    assert "failed in" in root.trouble()        # each time
    root.data.write_bytes(OWN + LINE)
    root.publisher.add([RECORD])
    assert root.has()


def test_disk_full(root):
    """A limit on the size of files instead: the error is another, the way is the same."""
    root.data.write_bytes(OWN + b"# long\n" * 10000)
    before = root.data.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, limits[1]))
    try:
        assert "data: File too large, so DKPUBLISH could not change it" in root.trouble()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert root.data.read_bytes() == before


@pytest.mark.root
def test_full_file_system(root, tmp_path):
    (tmp_path / "small").mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", tmp_path / "small"],
                      capture_output=True).returncode:
        pytest.skip("file systems can't be mounted here")
    try:
        small = Root(tmp_path / "small" / "root")
        small.publisher.add([])
        before = small.data.read_bytes() + b"# long\n" * 5000
        small.data.write_bytes(before)
        assert "data: No space left on device" in small.trouble()
        assert small.data.read_bytes() == before and not small.has()
    finally:
        subprocess.run(["umount", tmp_path / "small"], check=True)


def test_somebody_edits_it_meanwhile(root, monkeypatch):
    """What an editor writes while the new file is written is kept."""
    write = tinydns_data.TinydnsData.write
    edits = [OWN + b"# edited\n", OWN + b"# edited again\n"]

    def slow(*arguments):
        write(*arguments)
        if edits:
            root.data.write_bytes(edits.pop(0))

    monkeypatch.setattr(tinydns_data.TinydnsData, "write", slow)
    root.publisher.add([RECORD])
    assert root.data.read_bytes() == OWN + b"# edited again\n" + LINE and not root.leftovers()


def test_two_at_once(root, monkeypatch):
    """The second waits until make of the first ends."""
    root.makefile.write_text("data.cdb: data\n\techo run >>runs; [ -e go ] || sleep 100 & "
                             "echo $$! >child; wait; tinydns-data\n")
    monkeypatch.setattr(key_storage, "LONGEST_WAIT", 0.3)
    thread = threading.Thread(target=root.publisher.add, args=([RECORD],))
    thread.start()
    while not (root.directory / "child").exists() or not (root.directory / "child").read_text():
        time.sleep(0.01)
    said = root.trouble()
    assert f"another qmail-dk is at work in {root.directory}; remedy: try again" in said
    os.kill(int((root.directory / "child").read_text()), 9)
    thread.join()
    (root.directory / "go").touch()
    root.publisher.add([RECORD])
    assert root.has() and (root.directory / "runs").read_text() == "run\n"


def test_make_keeps_the_lock(root):
    """So it has it, too, if the publisher is killed meanwhile."""
    root.makefile.write_text("data.cdb: data\n\tflock -n . true && echo free >state || "
                             "echo locked >state; ls -l /proc/self/fd >fds; tinydns-data\n")
    root.publisher.add([RECORD])
    assert (root.directory / "state").read_text() == "locked\n"
    assert f"-> {root.directory}\n" in (root.directory / "fds").read_text()
    with key_storage.lock(root.directory):
        pass


@pytest.mark.slow
@pytest.mark.skipif(not fault_sweep.can_trace(), reason="strace is missing or not allowed")
def test_faults(tmp_path):
    """A sample; tests/faults --only tinydns tries all of them."""
    with fault_publishing.TinydnsPublisher(tmp_path) as subject:
        everything = fault_sweep.faults(subject)
    chosen = []
    for place in subject.places:
        of_place = [fault for fault in everything if fault.where == place]
        killed = [fault for fault in of_place if fault.error == fault_sweep.KILLED]
        chosen += random.sample(of_place, 30) + random.sample(killed, 20)
    outcomes, wrong = fault_sweep.sweep(fault_publishing.TinydnsPublisher, tmp_path, chosen)
    assert not wrong
    assert sum(outcomes.values()) == len(chosen)
    assert {outcome for _, outcome in outcomes} >= {"done", "killed", "refused"}


@pytest.mark.skipif(not fault_sweep.can_trace(), reason="strace is missing or not allowed")
def test_what_goes_wrong_is_seen(tmp_path):
    with fault_publishing.TinydnsPublisher(tmp_path) as subject:
        subject.run("add", None)
        for spoil in (lambda: subject.data.write_bytes(fault_publishing.OWN[:-20]),
                      lambda: subject.data.chmod(0o600),
                      lambda: (subject.directory / "data.cdb").unlink()):
            spoil()
            assert subject.flaw("add", fault_publishing.CONTENTS["add"], False)
            subject.run("add", None)
