# SPDX-License-Identifier: MIT
"""The real qmail-remote behind the launcher, to an SMTP server on loopback.

Its control files are replaced in a mount namespace of the test's own, so that
a host's settings are neither used nor touched.
"""

import os
import subprocess

import pytest

from tests.support import judges, rspawn, smtp_sink, wire
from tests.support.deliveries import SMALL, Host
from tests.support.rspawn_driver import OVER_CONTROL

QMAIL = "/var/qmail"


def real_qmail_remote():
    for name in ("qmail-remote.orig", "qmail-remote"):
        path = f"{QMAIL}/bin/{name}"
        if os.access(path, os.X_OK):
            return path
    pytest.skip("no qmail is installed in " + QMAIL)


@pytest.fixture
def qmail_host(tmp_path):
    host = Host(tmp_path)
    host.environment["DKREMOTE"] = real_qmail_remote()
    host.namespace = [*OVER_CONTROL, str(tmp_path / "control")]
    if subprocess.run([*host.namespace, "true"], capture_output=True).returncode:
        pytest.skip("mount namespaces are not allowed")
    return host


MESSAGES = {
    "small": SMALL,
    "dots": SMALL + b".\n..\n.leading dot\n",
    "CR": SMALL + b"CRLF\r\nlone \r CR\r\r\n",
    "smuggling": SMALL + b"x\r.\r\nMAIL FROM:<evil@example.com>\r\n\r.\rDATA\r\n",
    "8 bit": SMALL + bytes(range(128, 256)) + b"\n",
    "2 MB": SMALL + b"A line of a large message.\n" * 80_000,
}


@pytest.mark.parametrize("name", MESSAGES)
def test_what_arrives_verifies(qmail_host, name):
    qmail_host.message.write_bytes(MESSAGES[name])
    with smtp_sink.SmtpSink() as sink:
        control = qmail_host.directory / "control"
        (control / "me").write_text("host.example.com\n")
        (control / "smtproutes").write_text(f":127.0.0.1:{sink.port}\n")
        result = rspawn.deliver([*qmail_host.namespace, qmail_host.launcher],
                                qmail_host.message, qmail_host.environment)
        assert result.verdict == "K", result
        assert len(sink.messages) == 1
    arrived = wire.received(sink.messages[0])
    assert b"\r" not in arrived.replace(b"\r\n", b"")
    for judge, verdicts in judges.verdicts(arrived, qmail_host.records).items():
        assert [v.result for v in verdicts] == ["pass"] * len(verdicts), judge
        protocols = [v.protocol for v in verdicts]
        assert protocols[0] == "dkim" and (judge != "mail_dkim" or "domainkeys" in protocols)


def test_stock_report_passes_through(qmail_host):
    """Nobody listens: the original's own words, and its verdict."""
    control = qmail_host.directory / "control"
    (control / "me").write_text("host.example.com\n")
    (control / "smtproutes").write_text(":127.0.0.1:9\n")
    command = [*qmail_host.namespace, qmail_host.environment["DKREMOTE"]]
    stock = rspawn.deliver(command, qmail_host.message, qmail_host.environment)
    ours = rspawn.deliver([*qmail_host.namespace, qmail_host.launcher], qmail_host.message,
                          qmail_host.environment)
    assert ours == stock
    assert stock.verdict == "Z" and b"connect" in stock.text.lower()
