# SPDX-License-Identifier: MIT
"""Bytecode that Python finds beside the programs, in every state: mail is signed, or waits."""

import compileall
import os
import shutil
import subprocess

import pytest

from tests.support import rspawn
from tests.support.deliveries import Host

HEADER = 16     # bytes of a .pyc before the code: magic number, flags, time and size of the source


def compiled(release):
    """The .pyc files below a directory; the script's own and those of lib/."""
    found = list(release.rglob("*.pyc"))
    assert {path.name.partition(".")[0] for path in found} >= {"qmail_remote_dk", "outbound"}
    return found


def as_installed(release):
    pass


def missing(release):
    for path in compiled(release):
        path.unlink()


def of_another_python(release):
    for path in compiled(release):
        path.write_bytes(b"\x00\x0c\r\n" + path.read_bytes()[4:])


def cut_short(release):
    for path in compiled(release):
        path.write_bytes(path.read_bytes()[:HEADER + 20])


def older_than_the_source(release):
    """What it holds would end the program; the source is newer."""
    for path in compiled(release):
        source = path.parent.parent / (path.name.partition(".")[0] + ".py")
        text = source.read_text()
        source.write_text(text.replace('"""', '"""Old. ', 1) + "\nraise MemoryError('stale')\n")
        compileall.compile_file(source, quiet=1, force=True)
        source.write_text(text)


def without_room(release):
    """None is there, and none can be written."""
    missing(release)
    for path in [release, *release.rglob("*")]:
        if path.is_dir():
            path.chmod(0o555)


@pytest.fixture
def release(tmp_path):
    """The programs, compiled, in a directory of their own."""
    directory = tmp_path / "release"
    shutil.copytree(rspawn.CHECKOUT / "lib", directory / "lib",
                    ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(rspawn.SCRIPT, directory)
    assert compileall.compile_dir(directory, quiet=1)
    yield directory
    for path in [directory, *directory.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)


@pytest.mark.parametrize("state", [as_installed, missing, of_another_python,
                                   older_than_the_source, without_room])
def test_compiled_anew(tmp_path, release, state):
    host, result = delivered(tmp_path, release, state)
    assert result.verdict == "K", result
    assert host.sent_signed()


def test_cut_short(tmp_path, release):
    """As by a disk that was full: Python does not compile anew what has a good header."""
    host, result = delivered(tmp_path, release, cut_short)
    assert result.verdict == "Z" and host.sent is None
    assert b"remedy: run install.sh again" in result.text


@pytest.mark.parametrize("state", [as_installed, missing, of_another_python, cut_short,
                                   older_than_the_source])
def test_installed_again(tmp_path, release, state):
    """What does not serve is compiled anew; what serves is left alone."""
    state(release)
    program = [rspawn.PYTHON, "-IS", rspawn.CHECKOUT / "install" / "compile.py", release]
    subprocess.run(program, check=True)
    inodes = {path: path.stat().st_ino for path in compiled(release)}
    subprocess.run(program, check=True)
    assert {path: path.stat().st_ino for path in compiled(release)} == inodes
    host, result = delivered(tmp_path, release, as_installed)
    assert result.verdict == "K" and host.sent_signed()


def delivered(directory, release, state):
    """-> (Host, rspawn.Delivery)."""
    (directory / "host").mkdir()
    host = Host(directory / "host")
    state(release)
    rspawn.install_launcher(host.directory, script=release / rspawn.SCRIPT.name)
    return host, host.deliver(cwd=os.sep)


SMALL_DISK = """mount -t tmpfs -o size={size}k tmpfs "$1" && cp -R "$2"/. "$1" &&
"$3" -ISB "$4" "$1"; echo $? >"$5"
find "$1" -name '*.pyc' -exec "$3" -ISc 'import marshal, sys
for name in sys.argv[1:]:
    marshal.loads(open(name, "rb").read()[16:])' {{}} + && echo whole >>"$5"
"""


@pytest.mark.root
@pytest.mark.parametrize("part", [0.2, 0.5, 0.8])
def test_a_full_disk_while_compiling_is_noticed(tmp_path, release, part):
    """Python before 3.12.8 leaves a file of which only a part was written, and says nothing."""
    compiled_size = sum(path.stat().st_size for path in release.rglob("*.pyc"))
    missing(release)
    # tmpfs counts in pages of 4 KiB.
    size = sum(-(-path.stat().st_size // 4096) * 4 for path in release.rglob("*") if path.is_file())
    place, result = tmp_path / "small", tmp_path / "result"
    place.mkdir()
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c",
         SMALL_DISK.format(size=int(size + part * compiled_size / 1024)), "sh", place, release,
         rspawn.PYTHON, rspawn.CHECKOUT / "install" / "compile.py", result],
        capture_output=True, text=True)
    if not result.exists():
        pytest.skip("unshare or mount is not allowed here")
    code = result.read_text().split()[0]
    assert code == "1", done.stderr
    assert ".pyc: " in done.stderr
