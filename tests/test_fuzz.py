# SPDX-License-Identifier: MIT
"""The fuzz targets: their seeds, all that ever made one fail, and a minute of fuzzing.

`tests/fuzz/run --seconds 7200` is the long way; see tests/fuzz/fuzzing.py.
"""

import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import fuzzing, seeds, targets

SECONDS = 4     # for each target: a minute in all


@pytest.mark.parametrize("target", targets.TARGETS)
def test_seeds(target):
    found = seeds.seeds(target)
    assert found
    for seed in found:
        targets.TARGETS[target](seed)


@pytest.mark.parametrize("path", sorted(fuzzing.CASES.glob("*-*")), ids=lambda path: path.name[:40])
def test_case(path):
    targets.TARGETS[path.name.partition("-")[0]](path.read_bytes())


@pytest.mark.parametrize("target", targets.TARGETS)
def test_any_bytes(target):
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.binary(max_size=30) | st.sampled_from(
        [word.encode() for word in fuzzing.DICTIONARY] + [b"\n", b"\n\n", b"\r", b"\n "]))
        .map(b"".join))
    def try_it(data):
        targets.TARGETS[target](data)
    try_it()


def test_a_minute_of_fuzzing():
    pytest.importorskip("atheris", reason="needs tests/fuzz/requirements.txt")
    process = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.fuzzing", "--seconds", str(SECONDS)],
        cwd=fuzzing.CHECKOUT, capture_output=True, text=True)
    lines = process.stdout.splitlines()
    assert process.returncode == 0, process.stdout + process.stderr[-3000:]
    assert len(lines) == len(targets.TARGETS)
    assert all(int(line.split()[1]) > 100 for line in lines), process.stdout
