# SPDX-License-Identifier: MIT
"""Runs a dispatcher without qmail-rspawn: stand-ins for deliveries and kept messages."""

import os
import sys

import pytest

from lib.rspawn import dispatcher, signed_messages
from tests.support import rspawn, rspawn_driver
from tests.support.resident_signer import host      # noqa: F401


class FakeDelivery:
    """The part of a delivery that the dispatcher needs."""

    def __init__(self, path):
        self.message = os.open(path, os.O_RDONLY)
        self.state = os.fstat(self.message)
        self.sender = b"joe@example.com"


@pytest.fixture
def signing(host, monkeypatch):
    """Returns (a Signer, list of its answers to deliveries, {descriptor: callback})."""
    monkeypatch.setattr(sys, "argv", [str(rspawn_driver.PROGRAM)])
    monkeypatch.setattr(sys, "executable", rspawn.PYTHON)
    monkeypatch.setattr(os, "environ", host.environment)
    answers, watched = [], {}
    return dispatcher.Signer(
        lambda delivery, signed: answers.append("start"),
        lambda delivery, words: answers.append(words), watched.__setitem__, watched.pop
    ), answers, watched


def wait_for_answers(answers, watched, count):
    while len(answers) < count:
        for callback in list(watched.values()):
            callback()


def add(kept, key, size, has_copy=True):
    """Adds a SignedMessage of a size in bytes to a Kept.  Returns it."""
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(2)]
    if not has_copy:
        os.close(files.pop())
        files.append(None)
    signed = signed_messages.SignedMessage(*files, size, [], {}, 60)
    kept.add(key, signed)
    return signed


@pytest.fixture
def kept():
    kept = signed_messages.Kept()
    if not kept.most:
        pytest.skip("needs /proc")
    yield kept
    kept.make_room()
