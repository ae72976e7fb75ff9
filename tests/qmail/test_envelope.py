# SPDX-License-Identifier: MIT
"""The envelope can be read, and the next program gets it as it came."""

import os
import subprocess
import sys

import pytest

from lib.qmail import envelope
from tests.support.resident import ROOT

# Keeps the envelope, says what the sender is, then becomes a program that copies it.
KEEPS = f"""
import sys
sys.path.insert(0, {ROOT!r})
from lib.qmail import envelope, queue
envelope.keep(None)
sender = envelope.sender(queue.QUEUE, {{}})
sys.stderr.write("none" if sender is None else sender.hex())
sys.stderr.flush()
import os
os.dup2(1, 0)
os.dup2(2, 1)
os.write(1, b" ")
os.execv("/bin/cat", ["cat"])
"""

# envelope -> its sender
ENVELOPES = {
    "one recipient": (b"Falice@example.com\0Tbob@example.net\0\0", b"alice@example.com"),
    "a bounce": (b"F\0Tbob@example.net\0\0", b""),
    "all bytes": (b"F" + bytes(range(1, 256)) + b"\0T\xff\0\0", bytes(range(1, 256))),
    "nothing": (b"", None),
    "cut short": (b"Falice@example.com", None),
    "cut after the sender": (b"Falice@example.com\0", b"alice@example.com"),
    "a recipient first": (b"Tbob@example.net\0\0", None),
    "5 MB": (b"Falice@example.com\0" + b"Tbob@example.net\0" * 300_000 + b"\0",
             b"alice@example.com"),
    "a sender of 1 MB": (b"F" + b"a" * 1_000_000 + b"\0Tb\0\0", b"a" * 1001),
}


@pytest.mark.parametrize("kind", ["pipe", "file"])
@pytest.mark.parametrize("name", ENVELOPES)
def test_kept(tmp_path, name, kind):
    whole, sender = ENVELOPES[name]
    (tmp_path / "envelope").write_bytes(whole)
    feed = {"pipe": f"cat '{tmp_path}/envelope' |", "file": ""}[kind]
    source = {"pipe": "1<&0", "file": f"1<'{tmp_path}/envelope'"}[kind]
    done = subprocess.run(["sh", "-c", f'{feed} "$0" -IS -c "$1" {source}', sys.executable, KEEPS],
                          stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert done.returncode == 0
    said, _, passed_on = done.stderr.partition(b" ")
    assert said.decode() == ("none" if sender is None else sender.hex())
    assert passed_on == whole


def test_one_that_never_comes(monkeypatch):
    monkeypatch.setattr(envelope, "PATIENCE", 0.01)
    read_end, write_end = os.pipe()
    assert envelope.read_sender(read_end) is None
    os.write(write_end, b"Falice@exa")
    assert envelope.read_sender(read_end) is None
    os.close(write_end)
    os.close(read_end)
    assert envelope.read_sender(read_end) is None       # nor does that one fail
