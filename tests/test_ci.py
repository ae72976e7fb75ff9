# SPDX-License-Identifier: MIT
"""What .ci/run makes of the tests' end and the fuzzer's."""

import subprocess

import pytest

from tests.fuzz.fuzzing import CHECKOUT

NOT_INSTALLED = None


@pytest.mark.parametrize("tests, fuzzer, fails", [
    (0, 0, False), (1, 0, True), (0, 1, True), (1, 1, True),
    (0, NOT_INSTALLED, False), (1, NOT_INSTALLED, True)])
def test_either_failure_counts(tmp_path, tests, fuzzer, fails):
    program(tmp_path / ".ci/run", (CHECKOUT / ".ci/run").read_text())
    program(tmp_path / "tests/run", f"#!/bin/sh\necho the tests\nexit {tests}\n")
    program(tmp_path / "tests/fuzz/run", f"#!/bin/sh\necho the fuzzer\nexit {fuzzer}\n")
    program(tmp_path / ".venv/bin/python", f"#!/bin/sh\nexit {int(fuzzer is NOT_INSTALLED)}\n")
    process = subprocess.run([tmp_path / ".ci/run"], capture_output=True, text=True)
    said = process.stdout.splitlines()
    assert said[0] == "the tests"
    assert said[1:] == (["the fuzzer"] if fuzzer is not NOT_INSTALLED else
                        [".ci/run: no fuzzing, for atheris can't be installed here"])
    assert (process.returncode != 0) == fails


def program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
