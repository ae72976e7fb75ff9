# SPDX-License-Identifier: MIT
"""The verifier's launcher in C where memory or the message is lacking: Python decides."""

import pytest

from tests.support import lies, native, queue_driver, resident

pytestmark = pytest.mark.skipif(not native.COMPILERS, reason="needs a C compiler")

COUNT = """#!/bin/sh
wc -c >&2
wc -c <&1 >&2
exit 111
"""


def host_that_counts(directory):
    """Returns a Host with a program in the place of Python that counts the bytes that it gets."""
    host = queue_driver.Host(directory)
    host.native = ()
    count = directory / "count"
    count.write_text(COUNT)
    count.chmod(0o755)
    host.python, host.program = [], [str(count)]
    return host


@pytest.mark.parametrize("kilobytes, size", [(6000, 5_400_000), (30_000, 40_000_000)])
@pytest.mark.parametrize("large", ["message", "envelope"])
def test_more_than_the_memory_is_left(tmp_path, kilobytes, size, large):
    """Whole, to Python, which reads a part at a time, or names the remedy.

    softlimit -m bounds addresses, and so what can be mapped.
    """
    host = host_that_counts(tmp_path)
    host.prefix = ["/bin/sh", "-c", f'ulimit -v {kilobytes}; exec "$@"', "sh"]
    message, envelope = b"From: a@example.com\n\n", b"Fa@example.com\0Tb\0\0"
    if large == "message":
        message += bytes(size)
    else:
        envelope += bytes(size)
    with resident.BadServer(print) as bad:
        host.environment.update(DKSERVER=bad.path, DKVERIFY="-", DKDMARC="mark",
                                TCPREMOTEIP="192.0.2.7")
        outcome = host.smtpd(message, envelope)
    assert (outcome.code, outcome.log.split()) == (
        111, [b"%d" % len(message), b"%d" % len(envelope)])


def test_without_a_descriptor_of_the_message(tmp_path):
    """A file of ours that got its number would be an empty message, which the server accepts."""
    host = host_that_counts(tmp_path)
    host.prefix = ["/bin/sh", "-c", 'exec "$@" <&-', "sh"]
    with resident.BadServer(lambda connection, packet, fds: connection.send(lies.ANSWER)) as bad:
        host.environment.update(DKSERVER=bad.path, DKVERIFY="-")
        outcome = host.smtpd(b"From: a@example.com\n\n")
    assert outcome.code == 111 and not outcome.queued, outcome


def test_a_log_of_more_than_31_bits_can_count(tmp_path):
    """Is no reason to start Python for each message.  The file takes no room."""
    host = host_that_counts(tmp_path)
    with open(tmp_path / "log", "ab") as file, resident.BadServer(
            lambda connection, packet, fds: connection.send(lies.ANSWER)) as bad:
        file.truncate(3 << 30)
        host.descriptors = {2: file.fileno()}
        host.environment.update(DKSERVER=bad.path, DKVERIFY="-")
        outcome = host.smtpd(lies.MESSAGE)
    assert outcome.code == 0 and outcome.queued, outcome
