# SPDX-License-Identifier: MIT
"""What check says of the clock, with a libc that answers as the kernel does."""

import ctypes

import pytest

from lib.admin import check_clock


class Libc:
    """The named function answers with a state, if the structure asks for no change."""

    def __init__(self, name, state):
        def answer(structure):
            assert not any(structure.raw)
            return state
        setattr(self, name, answer)


# What the C library has and answers -> level and words of the finding.
CLOCKS = [
    (Libc("adjtimex", 0), "ok", "a time service keeps it"),
    (Libc("adjtimex", 1), "ok", "a time service keeps it"),         # a leap second comes
    (Libc("adjtimex", 5), "warn", "no time service"),
    (Libc("adjtimex", -1), "ok", "does not say"),
    (Libc("ntp_adjtime", 0), "ok", "a time service keeps it"),
    (Libc("ntp_adjtime", 5), "warn", "no time service"),
    (Libc("other", 0), "ok", "does not say"),
]


@pytest.mark.parametrize("libc, level, words", CLOCKS)
def test_clocks(libc, level, words, tmp_path):
    (finding,) = check_clock.findings(libc, tmp_path)
    assert finding.level == level and words in finding.text
    assert bool(finding.remedy) == (level == "warn")


def test_services_that_do_not_tell_the_kernel(tmp_path):
    for number, name in enumerate(("qmail-send", "clockspeed")):
        (finding,) = check_clock.findings(Libc("adjtimex", 5), tmp_path)
        assert finding.level == "warn"
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "comm").write_text(f"{name}\n")
    (finding,) = check_clock.findings(Libc("adjtimex", 5), tmp_path)
    assert finding.level == "ok" and "clockspeed runs" in finding.text


def test_the_machines_own_clock_is_read():
    libc = ctypes.CDLL(None)
    if not any(hasattr(libc, name) for name in check_clock.CALLS):
        pytest.skip("needs a libc with adjtimex() or ntp_adjtime()")
    assert check_clock.clock_state(libc) in {None, *range(6)}      # the states of timex.h
