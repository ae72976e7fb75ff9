# SPDX-License-Identifier: MIT
"""benchmarks/resident still prints its table.  What the figures are is nobody's business here."""

import subprocess
import sys

import pytest

from tests import rspawn, rspawn_driver

COMMAND = [sys.executable, rspawn.CHECKOUT / "benchmarks" / "resident"]


@pytest.mark.skipif(not rspawn_driver.original(), reason="needs qmail, and to be root")
def test_prints_two_rows_for_each_comparison():
    done = subprocess.run([*COMMAND, "-n", "30", "-r", "1"], capture_output=True, text=True,
                          check=True, timeout=120)
    assert done.stderr == ""
    _, *rows = done.stdout.splitlines()
    assert [row[:44].strip() for row in rows] == [
        f"{kind}, {size}, {name}" for size in ("small", "1 MB")
        for kind in ("distinct messages", "recipients of one message") for name in ("original", "ours")]
    assert sum(row.endswith((": met", ": NOT MET")) for row in rows) == 2


@pytest.mark.skipif(bool(rspawn_driver.original()), reason="can run here")
def test_says_why_it_can_not_run():
    done = subprocess.run(COMMAND, capture_output=True, text=True)
    assert done.returncode == 1 and "needs Linux, root, and qmail" in done.stderr
