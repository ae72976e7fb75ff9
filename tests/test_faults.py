# SPDX-License-Identifier: MIT
"""A sample of the fault sweep; tests/faults runs all of it."""

import random

import pytest

from tests import fault_sweep

SAMPLE = 50

pytestmark = pytest.mark.skipif(not fault_sweep.can_trace(),
                                reason="strace is missing or not allowed")


@pytest.mark.parametrize("kind", [fault_sweep.Signer, fault_sweep.Verifier])
def test_sample(tmp_path, kind):
    subject = kind(tmp_path)
    everything = fault_sweep.faults(subject)
    assert {fault.where for fault in everything} == set(kind.places)
    shell = [fault for fault in everything if fault.where == "sh"]
    rest = [fault for fault in everything if fault.where != "sh"]
    chosen = shell[:20] + random.sample(rest, SAMPLE)
    outcomes, wrong = fault_sweep.sweep(subject, chosen)
    assert not wrong
    assert sum(outcomes.values()) == len(chosen)


def test_what_goes_wrong_is_seen(tmp_path):
    """A verifier that ends with 0 without queueing must not pass for a good one."""
    subject = fault_sweep.Verifier(tmp_path)
    program = tmp_path / "program"
    program.write_text("")
    subject.host.program = [str(program)]
    for where in subject.places:
        fault = fault_sweep.Fault(where, "read", 10000, "EIO")
        assert subject.judge(fault).startswith("wrong")
