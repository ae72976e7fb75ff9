# SPDX-License-Identifier: MIT
"""The verifier's launcher in C under softlimit -m, which bounds addresses, and so what it maps."""

import pytest

from tests.support import native, queue_driver, resident

pytestmark = pytest.mark.skipif(not native.COMPILERS, reason="needs a C compiler")

COUNT = """#!/bin/sh
wc -c >&2
wc -c <&1 >&2
exit 111
"""


@pytest.mark.parametrize("kilobytes, size", [(6000, 5_400_000), (30_000, 40_000_000)])
@pytest.mark.parametrize("large", ["message", "envelope"])
def test_more_than_the_memory_is_left(tmp_path, kilobytes, size, large):
    """Whole, to Python, which reads a part at a time, or names the remedy."""
    host = queue_driver.Host(tmp_path)
    host.native = ()
    host.prefix = ["/bin/sh", "-c", f'ulimit -v {kilobytes}; exec "$@"', "sh"]
    count = tmp_path / "count"
    count.write_text(COUNT)
    count.chmod(0o755)
    host.python, host.program = [], [str(count)]
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
