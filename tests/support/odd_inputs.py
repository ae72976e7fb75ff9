# SPDX-License-Identifier: MIT
"""Odd inputs of the programs besides the message, and their permitted outcomes."""

import os
import socket

import pytest

from tests.support import native, queue_driver, verifying

GOOD = verifying.dkim_signed()


@pytest.fixture(params=native.LAUNCHERS)
def verifier(request, tmp_path):
    found = queue_driver.Host(tmp_path)
    # No server listens there: the result is temporary, and the message is accepted.
    found.native = () if request.param == "native" else None
    found.environment.update(DKVERIFY="BCDEGIJK", DNSCACHEIP="127.0.0.1#1")
    return found


def assert_sent_or_deferred(host, result):
    assert result.verdict in "KZ", result
    if result.verdict == "K":
        assert host.sent_signed() or host.sent == host.message.read_bytes()
    else:
        assert host.sent is None


def assert_queued_or_temporary(outcome, text=GOOD):
    """Asserts that the message was queued or refused temporarily.  Returns the exit code.

    qmail_close() in qmail.c reads the code in this way.
    """
    assert not 11 <= outcome.code <= 40 and outcome.code != 99, outcome
    if outcome.code == 0:
        assert outcome.queued["message"].endswith(text)
        assert outcome.queued["envelope"] == queue_driver.ENVELOPE
    else:
        assert not outcome.queued, outcome
    return outcome.code


SIGNERS = ("DKSIGN", "DKPROTOCOLS", "DKIMCANON", "DKIMHEADERS", "DKIMIDENTITY", "DKIMEXPIRE",
           "DKONERROR", "DKMAY", "DKREMOTE")
WHO_SIGNS = ("DKSIGN", "DKPROTOCOLS", "DKMAY")     # with these, unsigned mail may be right

SHAPES = {
    "empty": b"", "a blank line": b" \n", "NUL": b"\0\n", "8-bit": b"\xff\xfe\n",
    "digits": b"9" * 5000, "a long line": b"x" * 1_000_000, "CR LF": b"no\r\n",
    "format": b"%s%n{0}\n", "path": b"../../etc/passwd\n", "quotes": b"\"'`$(touch /tmp/x)\n",
}


def fifo(path):
    os.mkfifo(path)


def loop(path):
    path.symlink_to(path.name)


def nowhere(path):
    path.symlink_to("nowhere")


def device(path):
    path.symlink_to("/dev/null")


def listening(path):
    here = os.getcwd()
    os.chdir(path.parent)       # because the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
    os.chdir(here)


KINDS = {function.__name__: function for function in (fifo, loop, nowhere, device, listening)}
KINDS["directory"] = os.mkdir


def shaped(path, shape):
    if shape in KINDS:
        KINDS[shape](path)
    else:
        path.write_bytes(SHAPES[shape])
