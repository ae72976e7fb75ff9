# SPDX-License-Identifier: MIT
"""A short soak; tests/soak is the long one."""

import random

import pytest

from tests.support import resident_soak


@pytest.mark.slow
def test_short_soak(tmp_path, monkeypatch):
    monkeypatch.setattr(resident_soak, "KILL", 1 / 30)
    monkeypatch.setattr(resident_soak, "ROTATE", 1 / 50)
    monkeypatch.setattr(resident_soak, "RECIPIENTS", (1, 2, 40))
    seed = random.randrange(2**32)
    soak = resident_soak.Soak(tmp_path, 600, seed)
    assert soak.run() == [], f"seed {seed}"
    assert soak.killed and soak.generation > 2
    assert list(soak.answers.values()).count("K") > 500
