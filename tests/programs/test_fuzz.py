# SPDX-License-Identifier: MIT
"""The fuzz targets: their seeds, all that ever made one fail, and that the fuzzer works.

tests/fuzz/run is the fuzzing itself; see tests/fuzz/fuzzing.py.
"""

import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib.mail import tag_values
from tests.fuzz import fuzzing, seeds, targets

BROKEN = """
import pathlib, sys
from tests.fuzz import fuzzing
atheris, _, _ = fuzzing.load()
from lib.mail import tag_values

def broken(data):
    assert tag_values.quoted_printable(data) is not None

fuzzing.KEPT = pathlib.Path(sys.argv[1])
outcome, = fuzzing.fuzz_all((atheris, {"broken": broken}, lambda target: [b"good"]),
                            ["broken"], 1, ["-max_total_time=100"], sys.argv[1])
print(outcome)
sys.exit(0 if outcome.failed and outcome.executions else 1)
"""


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


def fuzzer(*arguments):
    pytest.importorskip("atheris", reason="needs tests/fuzz/requirements.txt")
    return subprocess.run([sys.executable, *map(str, arguments)], cwd=fuzzing.CHECKOUT,
                          capture_output=True, text=True)


@pytest.mark.slow
def test_a_second_for_each_target():
    process = fuzzer("-m", "tests.fuzz.fuzzing", "--seconds", 1, "--seed", 1)
    *lines, total = [line.split() for line in process.stdout.splitlines()
                     if "without the judge" not in line]
    assert process.returncode == 0, process.stdout + process.stderr[-3000:]
    assert sorted(line[0] for line in lines) == sorted(targets.TARGETS)
    assert all(int(line[1]) for line in lines), process.stdout
    assert all(int(line[line.index("branches") - 1]) for line in lines), process.stdout
    assert total[:2] == ["total", str(sum(int(line[1]) for line in lines))]


def test_what_is_found_is_kept(tmp_path):
    """The seed is good; what is not is found by what it reaches."""
    process = fuzzer("-c", BROKEN, tmp_path)
    assert process.returncode == 0, process.stdout + process.stderr[-3000:]
    case, = tmp_path.glob("broken-crash-*")
    assert tag_values.quoted_printable(case.read_bytes()) is None
