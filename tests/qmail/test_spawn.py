# SPDX-License-Identifier: MIT
"""spawn_protocol by itself; rspawn/test_differential.py holds it to the original."""

import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.qmail import spawn
from lib.qmail.spawn import Command, CommandReader, command_flaw, message_flaw, report

FIELD = st.binary(max_size=8).map(lambda data: data.replace(b"\0", b""))
COMMANDS = st.lists(st.tuples(st.integers(0, 255), FIELD, FIELD, FIELD), max_size=4)


def fields(command):
    return command.number, command.name, command.sender, command.recipient


@given(COMMANDS, st.lists(st.integers(0, 200)), st.binary(max_size=3))
def test_commands_come_through_however_they_are_cut(commands, cuts, unfinished):
    unfinished = unfinished.replace(b"\0", b"x")
    data = b"".join(bytes((number,)) + b"\0".join(rest) + b"\0"
                    for number, *rest in commands) + unfinished
    reader = CommandReader()
    read = []
    start = 0
    for cut in sorted(cut for cut in cuts if cut < len(data)) + [len(data)]:
        read += map(fields, reader.feed(data[start:cut]))
        start = cut
    assert read == commands


def test_number_that_is_a_nul_and_empty_fields():
    command, = CommandReader().feed(b"\0\0\0\0")
    assert fields(command) == (0, b"", b"", b"")


@pytest.mark.parametrize("recipient, host", [
    (b"a@b", b"b"), (b"a@b@c", b"c"), (b"a@", b""), (b"@", b""),
    (b"a@[127.0.0.1]", b"[127.0.0.1]")])
def test_host(recipient, host):
    assert Command(0, b"0/5", b"", recipient).host == host


# what differs from a good command: the flaw.  Where two are wrong, the first counts.
FLAWS = [
    ({}, b""),
    ({"number": 119}, b""),
    ({"number": 120, "name": b"x"}, spawn.NUMBER_TOO_BIG),
    ({"in_use": True, "name": b"x"}, spawn.NUMBER_IN_USE),
    ({"number": 120, "in_use": True}, spawn.NUMBER_TOO_BIG),
    ({"name": b"0/5x"}, spawn.NAME_NOT_NUMERIC),
    ({"name": b"/5"}, spawn.NAME_NOT_NUMERIC),
    ({"name": b"0/\xff"}, spawn.NAME_NOT_NUMERIC),
    ({"name": b"x" * 100}, spawn.NAME_NOT_NUMERIC),
    ({"name": b"5" * 99}, b""),
    ({"name": b"5" * 100, "recipient": b"r"}, spawn.NAME_TOO_LONG),
    ({"name": b"", "recipient": b"r"}, spawn.NAME_TOO_SHORT),
    ({"recipient": b"r"}, spawn.NO_HOST_NAME),
    ({"sender": b""}, b""),
]


@pytest.mark.parametrize("changes, flaw", FLAWS)
def test_command_flaw(changes, flaw):
    values = {"number": 7, "name": b"0/5", "sender": b"s@h", "recipient": b"r@h", "in_use": False,
              **changes}
    in_use = values.pop("in_use")
    assert command_flaw(Command(**values), 120, in_use) == flaw


@pytest.mark.parametrize("mode, owner, flaw", [
    (stat.S_IFREG | 0o600, 64011, b""),
    (stat.S_IFREG | 0o600, 0, spawn.WRONG_OWNER),
    (stat.S_IFDIR | 0o700, 64011, spawn.WRONG_TYPE),
    (stat.S_IFIFO, 0, spawn.WRONG_TYPE)])
def test_message_flaw(mode, owner, flaw):
    state = os.stat_result((mode, 1, 1, 1, owner, 0, 10, 0, 0, 0))
    assert message_flaw(state, 64011) == flaw


EXITED = 0
REPORTS = [
    (9, b"r\0Kok\0", b"Zqmail-remote crashed.\n"),
    (9 | 128, b"r\0Kok\0", b"Zqmail-remote crashed.\n"),
    (111 << 8, b"r\0Kok\0", b"ZUnable to run qmail-remote.\n"),
    (100 << 8, b"r\0Kok\0", b"DUnable to run qmail-remote.\n"),
    (1 << 8, b"", b"DUnable to run qmail-remote.\n"),
    (EXITED, b"", b"Zqmail-remote produced no output.\n"),
    (EXITED, b"rhost said 250\n\0Kaccepted\n\0", b"Khost said 250\naccepted\n"),
    (EXITED, b"hno such user\n\0Kaccepted\n\0", b"Dno such user\n"),
    (EXITED, b"slater\n\0Kaccepted\n\0", b"Zlater\n"),
    (EXITED, b"slater\n\0Dhopeless\n\0", b"Zlater\nhopeless\n"),
    (EXITED, b"hno\0Zlater\0", b"Dno"),
    (EXITED, b"ra\0Zb\0Kc\0", b"Zab"),
    (EXITED, b"ra\0hb\0Kc\0", b"Ka"),
    (EXITED, b"Zno connection\n\0", b"Zno connection\n"),
    (EXITED, b"Zcut sho", b"D"),
    (EXITED, b"ra\0Kcut sho", b"Dacut sho"),
    (EXITED, b"Traceback", b"D"),
    (EXITED, b"\0Ka\0", b"KKa"),
    (EXITED, b"r" + b"x" * 300_000 + b"\0K\0", b"K" + b"x" * 300_000),    # never cut
]


@pytest.mark.parametrize("status, output, words", REPORTS)
def test_report(status, output, words):
    assert report(status, output) == words


@given(st.integers(0, 255), st.lists(st.sampled_from([b"r", b"h", b"s", b"K", b"Z", b"D", b"\0",
                                                      b"x"]), min_size=1).map(b"".join))
def test_a_report_is_one_answer(number, output):
    """Whatever a child writes, qmail-send gets one verdict and one NUL."""
    words = report(EXITED, output)
    assert words[:1] in (b"K", b"Z", b"D") and b"\0" not in words
    assert spawn.answer(number, words) == bytes((number,)) + words + b"\0"


def test_deferral_is_one_line_of_ascii():
    trouble = OSError("two\nlines, a \0, and \u00e9")
    words = spawn.deferral(spawn.trouble_text(trouble))
    assert words == b"Zqmail-rspawn: OSError: two lines, a ?, and ? (#4.3.0)\n"


LITTLE = (MemoryError(), SystemError("error return without exception set"), OSError(12, "no"),
          ImportError("x.so: failed to map segment from shared object"))


@pytest.mark.parametrize("trouble", LITTLE, ids=repr)
def test_the_remedy_for_little_memory(trouble):
    """Alone, MemoryError tells an administrator nothing."""
    text = spawn.trouble_text(trouble)
    assert text.endswith("; too little memory; remedy: softlimit -m 100000000 in the script that "
                         "starts qmail, or more memory")
    assert spawn.trouble_text(OSError(13, "no")) == "PermissionError: [Errno 13] no"
