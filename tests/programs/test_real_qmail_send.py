# SPDX-License-Identifier: MIT
"""The real qmail-send runs the resident signer: mail goes from qmail-inject to a server.

In a mount namespace in which a scratch queue and control files cover those of
the host, and the launcher covers bin/qmail-rspawn.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import pytest

from tests.support import judges, rspawn, rspawn_driver, signing, smtp_sink, wire
from tests.support.resident_signer import wait_until
from tests.support.rspawn_driver import QMAIL

PYTHON = "/usr/bin/python3"         # one that the user qmailr can reach
# Whatever is started ends with the first process.
ALONE = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
START = f"""
mount --bind "$1/queue" {QMAIL}/queue && mount --bind "$1/control" {QMAIL}/control &&
mount --bind "$1/qmail-rspawn" {QMAIL}/bin/qmail-rspawn && cd / || exit 1
{QMAIL}/bin/qmail-start ./Mailbox >"$1/log" & send=$!
sh -c "$2"
cat "$1/stop" >/dev/null; kill $send; wait $send
"""


@pytest.fixture
def directory():
    if not rspawn_driver.original() or not os.access(PYTHON, os.X_OK):
        pytest.skip("needs qmail, to be root, and " + PYTHON)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        os.chmod(name, 0o755)
        yield pathlib.Path(name)


def prepare(directory, port):
    """-> the DNS records."""
    subprocess.run(["cp", "-a", f"{QMAIL}/queue", directory], check=True)
    (directory / "control").mkdir()
    (directory / "control" / "me").write_text("host.example.com\n")
    (directory / "control" / "smtproutes").write_text(f":127.0.0.1:{port}\n")
    (directory / "control" / "dksign").write_text(f"{directory}/keys/%/default\n")
    (directory / "control" / "dkremote").write_text(f"{QMAIL}/bin/qmail-remote\n")
    signer = signing.Signer(directory / "keys", (("example.com", "default", "rsa.pem"),))
    key = directory / "keys" / "example.com" / "default"
    shutil.chown(key, "root", "qmail")
    shutil.copytree(rspawn.CHECKOUT / "lib", directory / "lib")
    text = (rspawn.CHECKOUT / "launcher" / "qmail-rspawn").read_text()
    for name, value in (("PYTHON", PYTHON), ("PREFIX", directory), ("QMAIL", QMAIL),
                        ("ORIGINAL", "/nonexistent"), ("CONCURRENCY", "120")):
        text = text.replace(f"@{name}@", str(value))
    (directory / "qmail-rspawn").write_text(text)
    (directory / "qmail-rspawn").chmod(0o755)
    os.mkfifo(directory / "stop")
    return signer.records


def test_mail_goes_out_signed_and_qmail_stops_when_told(directory):
    with smtp_sink.SmtpSink() as sink:
        records = prepare(directory, sink.port)
        inject = " && ".join(
            "printf 'From: joe@example.com\\n"
            f"To: r{n}@example.net, s{n}@example.net\\n\\nHi {n}\\n'"
            f" | {QMAIL}/bin/qmail-inject -fjoe@example.com" for n in range(3))
        process = subprocess.Popen(
            [*ALONE, "sh", "-c", START, "sh", directory, inject],
            env={"PATH": f"{QMAIL}/bin:{os.environ['PATH']}"})
        try:
            wait_until(lambda: len(sink.messages) == 6 or process.poll() is not None)
            log = (directory / "log").read_text()
            (directory / "stop").write_text("")
            assert process.wait(rspawn_driver.LONGEST_WAIT) == 0
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
    assert len(sink.messages) == 6, log
    for message in sink.messages:
        verdict, = judges.dkimpy(wire.received(message), records)
        assert verdict.result == "pass"
    log = (directory / "log").read_text()
    assert log.count("success: ") == 6 and "status: exiting" in log
