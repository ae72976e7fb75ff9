# SPDX-License-Identifier: MIT
"""tests/matrix with stand-ins for the tools that it needs: lines, exit codes, what it leaves."""

import os
import subprocess

import pytest

from tests.support import rspawn

MATRIX = rspawn.CHECKOUT / "tests" / "matrix"

TOOLS = {
    "id": "echo 0",
    # --variant=minbase --include=... SUITE ROOT
    "debootstrap": 'mkdir -p "$4/etc" && [ "$3" != bullseye ]',
    # --mount debootstrap ..., or a command in a root
    "unshare": """
shift
case $1 in debootstrap) exec "$@" ;; esac
case $* in
*tests/run*)
    printf '%s\\n' "FAILED tests/test_x.py::test_y" "$LAST" "SKIPPED" "$*"
    exit "$CODE"
    ;;
*) echo "Debian 99.9, Python 3.99.1, OpenSSL 4.0" ;;
esac""",
}


def run(directory, *arguments, tools=TOOLS, **environment):
    binaries = directory / "bin"
    binaries.mkdir()
    for name, text in tools.items():
        (binaries / name).write_text(f"#!/bin/sh\n{text}\n")
        (binaries / name).chmod(0o755)
    path = [str(binaries), *(place for place in os.environ["PATH"].split(":") if not os.access(
        f"{place}/debootstrap", os.X_OK))]
    return subprocess.run([MATRIX, *arguments], capture_output=True, text=True, env={
        "PATH": ":".join(path), "TMPDIR": str(directory), "LAST": "5 passed in 1.20s", "CODE": "0",
        **environment})


@pytest.mark.parametrize("last, code, said", [
    ("5 passed in 1.20s", 0, "5 passed"),
    ("=== 1 failed, 5 passed, 2 skipped in 70.12s (0:01:10) ===", 1,
     "1 failed, 5 passed, 2 skipped"),
    ("4 skipped, 1 error in 3.00s", 1, "4 skipped, 1 error"),
    ("a stop: passed in silence", 4, "no test was run")])
def test_a_line_for_each_root(tmp_path, last, code, said):
    done = run(tmp_path, "trixie", "bookworm", "--", "tests/mail", LAST=last, CODE=str(code))
    assert done.returncode == bool(code)
    assert done.stdout.splitlines() == [
        f"{suite}: Debian 99.9, Python 3.99.1, OpenSSL 4.0: {said}"
        for suite in ("trixie", "bookworm")]
    assert ("FAILED tests/test_x.py" in done.stderr) == bool(code)
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


def test_what_is_kept(tmp_path):
    """The root, and a log that has what the tests were told."""
    done = run(tmp_path, "--keep", tmp_path / "kept", "trixie", "--", "a b")
    assert done.returncode == 0
    kept = tmp_path / "kept"
    assert (kept / "trixie" / "checkout" / "tests" / "matrix").exists()
    assert not (kept / "trixie" / "checkout" / ".git").exists()
    assert "a b" in (kept / "trixie.log").read_text()


def test_a_root_that_can_not_be_made(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 1
    first, *others = done.stdout.splitlines()
    assert first == "bullseye: no root could be made"
    assert [line.split(":")[0] for line in others] == ["bookworm", "trixie"]


@pytest.mark.parametrize("tool, words", [("debootstrap", "debootstrap"), ("id", "root's rights")])
def test_nothing_is_run_where_something_is_missing(tmp_path, tool, words):
    tools = {**TOOLS, "id": "echo 1000"} if tool == "id" else {
        name: text for name, text in TOOLS.items() if name != tool}
    done = run(tmp_path, tools=tools)
    assert (done.returncode, done.stdout) == (77, "") and words in done.stderr


@pytest.mark.parametrize("arguments", [("sid",), ("--keep",), ("-k", "x")], ids=str)
def test_misuse(tmp_path, arguments):
    done = run(tmp_path, *arguments)
    assert done.returncode == 2 and "usage: " in done.stderr
