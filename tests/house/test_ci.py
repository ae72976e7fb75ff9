# SPDX-License-Identifier: MIT
"""What .ci/run makes of the tests' end and the fuzzer's, and where .ci/elsewhere runs tests."""

import os
import shutil
import subprocess
import tempfile

import pytest

from tests.fuzz.fuzzing import CHECKOUT

NOT_INSTALLED = None


@pytest.mark.parametrize("tests, sources, elsewhere, fuzzer, fails", [
    (0, 0, 0, 0, False), (1, 0, 0, 0, True), (0, 1, 0, 0, True), (0, 0, 1, 0, True),
    (0, 0, 0, 1, True), (1, 1, 1, 1, True), (0, 0, 0, NOT_INSTALLED, False),
    (1, 0, 0, NOT_INSTALLED, True), (0, 1, 0, NOT_INSTALLED, True),
    (0, 0, 1, NOT_INSTALLED, True)])
def test_any_failure_counts(tmp_path, tests, sources, elsewhere, fuzzer, fails):
    program(tmp_path / ".ci/run", (CHECKOUT / ".ci/run").read_text())
    program(tmp_path / "tests/run", f"#!/bin/sh\necho the tests\nexit {tests}\n")
    program(tmp_path / ".ci/check", f"#!/bin/sh\necho the sources\nexit {sources}\n")
    program(tmp_path / ".ci/elsewhere", f"#!/bin/sh\necho elsewhere\nexit {elsewhere}\n")
    program(tmp_path / "tests/fuzz/run", f"#!/bin/sh\necho the fuzzer\nexit {fuzzer}\n")
    program(tmp_path / ".venv/bin/python", f"#!/bin/sh\nexit {int(fuzzer is NOT_INSTALLED)}\n")
    process = subprocess.run([tmp_path / ".ci/run"], capture_output=True, text=True)
    said = process.stdout.splitlines()
    assert said[:3] == ["the tests", "the sources", "elsewhere"]
    assert said[3:] == (["the fuzzer"] if fuzzer is not NOT_INSTALLED else
                        [".ci/run: no fuzzing, for atheris can't be installed here"])
    assert (process.returncode != 0) == fails


WHERE = """
import os, stat

def test_where():
    directory = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    with open(os.environ["SEEN"], "a") as file:
        print(os.geteuid(), oct(stat.S_IMODE(os.stat(directory).st_mode)), file=file)
    assert os.environ.get("FAILS") != str(os.geteuid())
"""


@pytest.mark.skipif(not (CHECKOUT / ".venv").is_dir(), reason="needs .venv, as tests/run makes it")
@pytest.mark.parametrize("fails", ["nowhere", str(os.geteuid()), "65534"])
def test_elsewhere(tmp_path, fails):
    """Once in a closed directory, once more as another user; it fails if either does."""
    checkout = tmp_path / "checkout"
    checkout.mkdir(mode=0o755)
    program(checkout / ".ci/elsewhere", (CHECKOUT / ".ci/elsewhere").read_text())
    (checkout / "test_where.py").write_text(WHERE)
    (checkout / ".venv").symlink_to(CHECKOUT / ".venv")
    with tempfile.NamedTemporaryFile("r") as seen:      # pytest's directories are closed
        os.chmod(seen.name, 0o666)
        process = subprocess.run([checkout / ".ci/elsewhere", "-q", "test_where.py"],
                                 env={**os.environ, "SEEN": seen.name, "FAILS": fails},
                                 capture_output=True, text=True)
        where = seen.read()
    users = [os.geteuid()]
    if "\n.ci/elsewhere: as an ordinary user\n" in process.stdout:
        users.append(65534)
    else:
        assert "\n.ci/elsewhere: not " in process.stdout
        assert os.geteuid() or not shutil.which("setpriv") or "no Python" in process.stdout
    assert where == "".join(f"{user} 0o700\n" for user in users), process.stdout
    assert (process.returncode != 0) == (fails in map(str, users))


def program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
