# SPDX-License-Identifier: MIT
"""benchmarks/run says what it has no figures of, and what is met."""

import os
import pathlib
import resource
import subprocess

import pytest

BENCHMARKS = pathlib.Path(__file__).parent.parent.parent / "benchmarks"
STOCK = ("delivering, small", "stock, a message each")
RESIDENT = ("delivering, small", "resident, a message each")


@pytest.fixture
def modules(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import deliveries
    import figures
    import targets
    return deliveries, figures, targets


def test_without_qmail_each_row_says_so(modules, tmp_path):
    deliveries, figures, targets = modules
    section = deliveries.absent("small", deliveries.obstacle(tmp_path))
    title, *rows = figures.lines(section, {}, targets.all_targets("50 MB"))
    assert title == "delivering, small" and len(rows) == 6
    assert all(row.endswith(f"needs Linux, root, and qmail in {tmp_path}") for row in rows)


@pytest.mark.parametrize("commands, words", [
    ("exit", "qmail-rspawn has ended"),
    (r"printf '\000Kaccepted\000'", "qmail-rspawn has ended"),
    (r"printf '\001Zno route\000'; cat >/dev/null", "Zno route")])
def test_a_delivery_that_fails_is_told(modules, commands, words):
    deliveries, _, _ = modules
    with subprocess.Popen(["sh", "-c", commands], bufsize=0,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        with pytest.raises(deliveries.NotDelivered, match=words):
            deliveries.deliver(program, [0, 1, 2], at_once=2)


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")
def test_cpu_counts_what_is_below(modules):
    """A child that has ended, and one that goes on: as much as the kernel tells in the end."""
    deliveries, _, _ = modules
    loop = "i=0; while [ $i -lt 400000 ]; do i=$((i + 1)); done"
    before = children_cpu()
    with subprocess.Popen(["sh", "-c", f"sh -c '{loop}'; sh -c '{loop}; echo; read line'; :"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        program.stdout.readline()
        counted = deliveries.cpu(program.pid)
    assert counted == pytest.approx(children_cpu() - before, abs=0.05) and counted > 0.1


def children_cpu():
    """Seconds of CPU of the children that this process has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("stock, resident, verdicts", [
    ((2.0, 200, 0), (5.8, 110, 79), ["2.9 (2.9-2.9), met", "0.55 (0.55-0.55), met",
                                     "79 (79-79), met"]),
    ((2.0, 200, 0), (6.2, 90, 81), ["3.1 (3.1-3.1), NOT MET", "0.45 (0.45-0.45), NOT MET",
                                    "81 (81-81), NOT MET"]),
    (None, (6.2, 90, 60), ["no figures of stock, a message each",
                           "no figures of stock, a message each", "60 (60-60), met"])])
def test_the_resident_signer_is_held_to_its_targets(modules, monkeypatch, stock, resident,
                                                    verdicts):
    deliveries, figures, targets = modules
    results = {key: figures.Figures.of([figures.Figures(used[0], 40, used[1], used[2])] * 2)
               for key, used in ((STOCK, stock), (RESIDENT, resident)) if used}
    row = figures.Row(RESIDENT[1], True, results[RESIDENT], STOCK)
    monkeypatch.setattr(targets, "RESIDENT_MEMORY", 80)     # of two processes
    lines = list(figures.lines(figures.Section(RESIDENT[0], [row]), results,
                               targets.all_targets("50 MB")))
    assert [line.rpartition(": ")[2] for line in lines[1:]] == verdicts


@pytest.mark.parametrize("rounds, verdict", [
    ([3.9], "3.9, undecided: one round shows no spread"),
    ([3.7, 3.8, 3.9], "3.8 (3.75-3.85), met"),
    ([4.1, 4.2, 4.3], "4.2 (4.15-4.25), NOT MET"),
    ([3.7, 3.8, 4.3], "3.8 (3.75-4.05), undecided: spread wider than the margin"),
    ([3.9, 4.2, 4.3], "4.2 (4.05-4.25), NOT MET"),
    ([3.8, 4.1, 4.3], "4.1 (3.95-4.2), undecided: spread wider than the margin")])
def test_a_wide_spread_decides_nothing(modules, rounds, verdict):
    """Of a figure that compares two rows round by round, although both vary more."""
    _, figures, targets = modules
    row, other = ("verifying, small", "verifier"), ("signing, small", "bare")
    bare = [10.0, 20.0, 40.0][:len(rounds)]
    results = {
        row: figures.Figures.of([figures.Figures(ratio * base, 0, None, 0)
                                 for ratio, base in zip(rounds, bare)]),
        other: figures.Figures.of([figures.Figures(base, 0, None, 0) for base in bare])}
    target = targets.Target(*row, "<=", 4, "x bare", targets.ratio("cpu", row, other))
    assert target.verdict(results) == f"<= 4 x bare: {verdict}"
