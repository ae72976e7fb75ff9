# SPDX-License-Identifier: MIT
"""benchmarks/run still prints its table.  What the figures are is nobody's business here."""

import os
import subprocess
import sys

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def test_prints_a_row_for_each_program_and_a_verdict_for_each_target():
    done = subprocess.run([sys.executable, f"{CHECKOUT}/benchmarks/run", "-n", "1", "--quick"],
                          capture_output=True, text=True, check=True, timeout=300)
    assert done.stderr == ""
    machine, medians, titles, *rows = done.stdout.splitlines()
    assert "Python 3." in machine and "OpenSSL" in machine
    assert medians.startswith("medians of 1 runs")
    assert titles.split() == ["CPU", "ms", "x", "bare", "peak", "MiB", "target:", "figure"]
    measured = {row[:32].strip() for row in rows if row[33:41].strip()[:1].isdigit()}
    assert {"bare interpreter, -IS -c pass", "signer", "signer, no key", "signer, 1 MB",
            "signer, 2 MB"} <= measured
    verdicts = [row for row in rows if row.endswith((", met", ", NOT MET"))]
    assert len(verdicts) >= 4
