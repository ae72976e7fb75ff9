# SPDX-License-Identifier: MIT
"""A sample of the fault sweep; tests/faults runs all of it."""

import random

import pytest

from tests import fault_sweep
from tests.test_deliveries import Host

SAMPLE = 60


@pytest.mark.skipif(not fault_sweep.can_trace(), reason="strace is missing or not allowed")
def test_sample(tmp_path):
    host = Host(tmp_path)
    everything = fault_sweep.faults(host)
    assert {fault.where for fault in everything} == {"sh", "python"}
    shell = [fault for fault in everything if fault.where == "sh"]
    rest = [fault for fault in everything if fault.where == "python"]
    chosen = shell[:20] + random.sample(rest, SAMPLE)
    outcomes, wrong = fault_sweep.sweep(host, chosen)
    assert not wrong
    assert sum(outcomes.values()) == len(chosen)
