# SPDX-License-Identifier: MIT
"""The resident signer with settings, limits and system calls of every odd shape.

It stays, and each delivery is answered once: K where the whole message was sent
once, signed, and Z where nothing was.
"""

import os
import resource
import subprocess

import pytest

from tests.support import rspawn, rspawn_driver
from tests.support.deliveries import limited
from tests.support.fault_residents import KEEPS
from tests.support.odd_inputs import KINDS, SHAPES, SIGNERS, WHO_SIGNS, shaped
from tests.support.resident_signer import (
    DELIVERED, Host, assert_kept_its_word, recipients, sent,
)
from tests.support.rspawn_driver import MESSAGE


@pytest.fixture
def host(tmp_path):
    found = Host(tmp_path)
    found.program("remote", KEEPS)
    return found


@pytest.mark.parametrize("shape", [*SHAPES, *KINDS])
def test_control_files(host, shape):
    """Each in turn, while it runs."""
    settings = {"DKSIGN": f"{host.environment.pop('DKSIGN')}\n",
                "DKREMOTE": f"{host.environment.pop('DKREMOTE')}\n"}
    for name, text in settings.items():
        (host.control / name.lower()).write_text(text)
    with host.ours() as running:
        for name in SIGNERS:
            path = host.control / name.lower()
            path.unlink(missing_ok=True)
            shaped(path, shape)
            words = running.deliver(0, recipient=b"r0@example.net")
            if name not in WHO_SIGNS:
                assert_kept_its_word(host, [(0, words)], 1)
            else:                                   # without keys there is no signature
                assert words == DELIVERED or words.startswith(b"Z") and not sent(host)
            for file in (host.directory / "sent").iterdir():
                file.unlink()
            os.rmdir(path) if shape == "directory" else path.unlink()
            if name in settings:
                path.write_text(settings[name])
        assert running.deliver(0) == DELIVERED
        assert running.finish() == ([], 0)


LIMITS = {
    "RLIMIT_NOFILE": (10, 12, 16, 24, 32), "RLIMIT_DATA": (16 << 20, 32 << 20, 64 << 20),
    "RLIMIT_AS": (40 << 20, 60 << 20, 100 << 20), "RLIMIT_FSIZE": (0, 100, 4096),
    "RLIMIT_CPU": (1,), "RLIMIT_CORE": (0,), "RLIMIT_MEMLOCK": (0,),
    "RLIMIT_STACK": (1 << 18, 1 << 20),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limits(host, name):
    for value in LIMITS[name]:
        for file in (host.directory / "sent").iterdir():
            file.unlink()
        with host.ours(preexec_fn=limited(getattr(resource, name), value)) as running:
            if running.first:
                running.send(recipients(host, 8))
                assert_kept_its_word(host, running.answers(8), 8)
                assert running.finish() == ([], 0)


@pytest.mark.parametrize("redirection, code", [
    ("0<&-", 111), ("1>&-", 111), ("0<&- 1>&-", 111), ("0</dev/null", 0), ("0</", 1),
    ("0</dev/null 1>/dev/full", 0), ("0</dev/null 1</dev/null", 0)])
def test_descriptors(host, redirection, code):
    """Nobody asks for deliveries there, so it ends.  (Python has no directory for its input.)"""
    process = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *map(str, host.ours_command())],
        env=host.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        timeout=rspawn_driver.LONGEST_WAIT)
    assert process.returncode == code and not sent(host)


# The program, with something done to it before.
PATCHED = """import os, sys
sys.path.insert(0, {checkout!r})
{patch}
with open({program!r}) as file:
    exec(compile(file.read(), {program!r}, "exec"),
         {{"__name__": "__main__", "__file__": {program!r}}})
"""
SHORT = """
import posix
read, write, close = os.read, os.write, os.close
def complain(fd):
    close(fd)
    raise OSError(5, "it is closed, but was not written")
for module in os, posix:
    module.read = lambda fd, size: read(fd, 3)
    module.write = lambda fd, data: write(fd, data[:2])
    module.close = complain
"""
BUG = """
from lib.rspawn import signed_messages
def add(*arguments):
    raise RuntimeError("a bug")
signed_messages.Kept.add = add
"""


def patched(host, patch):
    """The command that runs qmail-rspawn, but not its processes, with a patch."""
    program = host.program("patched.py", PATCHED.format(
        checkout=str(rspawn.CHECKOUT), program=str(rspawn_driver.PROGRAM),
        patch=f"if '--sign' not in sys.argv:\n    exec({patch!r})"))
    return [str(program) if word == rspawn_driver.PROGRAM else word
            for word in host.ours_command()]


def test_calls_that_do_less_than_they_are_asked(host):
    """Reads and writes of a few bytes, and a close() that complains, as it may after a write."""
    with rspawn_driver.Running(patched(host, SHORT), host.environment) as running:
        running.send(recipients(host, 8))
        assert assert_kept_its_word(host, running.answers(8), 8) == 8
        assert running.finish() == ([], 0)


def test_a_bug_of_ours_sends_nothing_twice(host):
    """What was started is answered, before qmail-send sees the end; nothing else is started.

    Its report is more than a pipe holds.
    """
    host.program("remote", KEEPS.replace("cat", "sleep 0.3; cat") + "head -c 100000 /dev/zero\n")
    with rspawn_driver.Running(patched(host, BUG), host.environment) as running:
        running.send(recipients(host, 3))
        answers = running.answers(3)
        assert running.process.wait(rspawn_driver.LONGEST_WAIT) == 111
        running.process.stdout.read()
    assert assert_kept_its_word(host, answers, 3) == 1
    assert [words for _, words in answers].count(
        b"Zqmail-rspawn: RuntimeError: a bug (#4.3.0)\n") == 2


@pytest.mark.parametrize("patterns", [4, 8])
def test_more_domains_than_can_be_told(host, patterns):
    """Where a hostile From: has a hundred parents, all that is consulted exceeds a reply."""
    domain = b"a." * 110 + b"example.org"
    host.environment["DKSIGN"] = ":".join(
        f"{host.directory}/keys/%/key{number}" for number in range(patterns))
    message = MESSAGE.replace(b"example.com", domain)
    host.add(5, message)
    with host.ours() as running:
        for _ in range(2):
            assert running.deliver(0, sender=b"joe@" + domain.replace(b"a", b"b")) == DELIVERED
        assert running.finish() == ([], 0)
    assert sent(host) == {"jane@example.net": [message] * 2}
