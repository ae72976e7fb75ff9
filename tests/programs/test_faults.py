# SPDX-License-Identifier: MIT
"""A sample of the fault sweep; tests/faults runs all of it."""

import random

import pytest

from tests.support import fault_residents, fault_subjects, fault_sweep, rspawn, rspawn_driver
from tests.support.fault_sweep import KILLED, NOT_MADE, Fault

# And what becomes of the message without a fault.
SUBJECTS = {fault_subjects.Signer: "delivered", fault_subjects.Verifier: "accepted",
            fault_residents.ResidentSigner: "delivered",
            fault_residents.ResidentVerifier: "verified by it"}
SAMPLE = 12             # of each place
LAST = 300              # faults of a place: there it is at work, before it but starts

pytestmark = pytest.mark.skipif(not fault_sweep.can_trace(),
                                reason="strace is missing or not allowed")


@pytest.mark.slow
@pytest.mark.parametrize("kind", SUBJECTS, ids=lambda kind: kind.__name__)
def test_sample(tmp_path, kind):
    with kind(tmp_path) as subject:
        everything = fault_sweep.faults(subject)
    chosen = []
    for place in kind.places:
        found = [fault for fault in everything if fault.where == place]
        chosen += random.sample(found, SAMPLE // 3) + random.sample(found[-LAST:], SAMPLE * 2 // 3)
    outcomes, wrong = fault_sweep.sweep(kind, tmp_path, chosen)
    assert not wrong
    assert sum(outcomes.values()) == len(chosen)
    not_made = sum(count for (_, outcome), count in outcomes.items() if outcome == NOT_MADE)
    assert not_made < len(chosen) / 2      # calls vary with what threads do


def no_fault(place):
    return Fault(place, "read", 60000, "EIO")


@pytest.mark.parametrize("kind", SUBJECTS, ids=lambda kind: kind.__name__)
def test_without_a_fault(tmp_path, kind):
    with kind(tmp_path) as subject:
        for place in kind.places:
            assert subject.judge(no_fault(place)) == SUBJECTS[kind]


def test_the_start_of_a_signing_process_is_among_the_calls(tmp_path):
    with fault_residents.ResidentSigner(tmp_path) as subject:
        subject.run("start", [])
        assert f'execve("{rspawn.PYTHON}"' in subject.trace.read_text(errors="replace")


# What goes wrong is seen.

def test_a_signer_that_sends_less_is_seen(tmp_path):
    with fault_subjects.Signer(tmp_path) as subject:
        subject.host.program("original", "#!/bin/sh\nhead -n 5 >\"$SCRATCH/sent\"; "
                                         "printf 'r\\0Kok\\n\\0'")
        assert subject.judge(no_fault("python")).startswith("wrong")


def test_a_verifier_that_queues_nothing_is_seen(tmp_path):
    program = tmp_path / "program"
    program.write_text("")
    with fault_subjects.Verifier(tmp_path) as subject:
        subject.client.host.program = [str(program)]
        for place in subject.places:
            if place != "native":       # where the program does not start
                assert subject.judge(no_fault(place)).startswith("wrong")


EIO, KILL = Fault("rspawn", "openat", 1, "EIO"), Fault("rspawn", "openat", 1, KILLED)
CONVERSATIONS = [
    (EIO, 0, "Ks Ks Ks Ks", "delivered"), (EIO, 0, "Ks Z Ks Ks", "deferred"),
    (EIO, 0, "Ks Z Ks Z", "wrong"),                     # more than it cost
    (Fault("start", "dup2", 1, "EIO"), 0, "Z Z Z Z", "deferred"),
    (EIO, 0, "Kss Ks Ks Ks", "wrong"), (EIO, 0, "K Ks Ks Ks", "wrong"),
    (EIO, 0, "K? Ks Ks Ks", "wrong"), (EIO, 0, "Zs Ks Ks Ks", "wrong"),
    (EIO, 0, "D Ks Ks Ks", "wrong"), (EIO, 0, "KKs Ks Ks Ks", "wrong"),
    (EIO, 111, "Ks Ks Ks -", "ended"), (EIO, 111, "Ks Ks s -", "wrong"),
    (EIO, 111, "Ks Ks Z Z", "ended"), (EIO, 0, "Ks Ks Ks -", "wrong"),
    (KILL, -9, "Ks Ks - -", "killed"), (KILL, -9, "Ks Ks s -", "killed, though sent"),
    (KILL, -9, "Ks Ks Kss -", "wrong"), (KILL, 0, "Ks Ks - -", "wrong"),
    (Fault("rspawn", "write", 1, "EPIPE"), 0, "Ks Ks s s", "conversation ended"),
    (Fault("rspawn", "read", 1, "EIO"), 0, "Ks Ks - -", "conversation ended"),
    (Fault("rspawn", "read", 1, "EIO"), 0, "Ks Ks s -", "wrong"),
]


@pytest.mark.parametrize("fault, code, fates, outcome", CONVERSATIONS)
def test_conversations(tmp_path, fault, code, fates, outcome):
    with fault_residents.ResidentSigner(tmp_path) as subject:
        found = fault_residents.Conversation(True, {}, {}, code)
        fates = [fate.replace("-", "") for fate in fates.split()]
        assert subject.verdict(fault, found, fates).split(":")[0] == outcome


def test_a_resident_signer_that_sends_twice_is_seen(tmp_path):
    with fault_residents.ResidentSigner(tmp_path) as subject:
        subject.queue.program("remote", fault_residents.KEEPS.replace(
            "\nprintf", "\ncp \"$SCRATCH/sent/$3 $$\" \"$SCRATCH/sent/$3 again\"\nprintf"))
        assert subject.judge(no_fault("rspawn")).startswith("wrong")


def test_a_resident_signer_that_hangs_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(rspawn_driver, "LONGEST_WAIT", 3)
    with fault_residents.ResidentSigner(tmp_path) as subject:
        subject.queue.program("remote", "#!/bin/sh\nexec sleep 8 >/dev/null\n")
        assert subject.judge(no_fault("rspawn")).startswith("wrong")


def test_a_resident_verifier_that_lets_mail_wait_is_seen(tmp_path):
    program = tmp_path / "program"
    program.write_text("raise SystemExit(71)")
    with fault_residents.ResidentVerifier(tmp_path) as subject:
        subject.client.host.program = [str(program)]
        for place in subject.places:
            assert subject.judge(no_fault(place)).startswith("wrong")
