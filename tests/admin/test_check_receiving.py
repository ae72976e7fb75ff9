# SPDX-License-Identifier: MIT
"""What check and status say of the processes that receive mail: verifying, and memory."""

import contextlib
import os
import resource
import shutil
import socket
import subprocess
import sys

import pytest

from lib.admin import check_receiving, host as admin_host
from lib.admin.host import PREFIX
from lib.settings import Settings
from tests.support import resident

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/limits"), reason="needs /proc")

INSTALLED = admin_host.Installation(
    qmail="", remote="", launcher="", original="", python="", verify="yes", queue_original="",
    rspawn="", service="")
MB = 1_000_000


class Host:
    """A qmail whose qmail-smtpd is started by a stand-in of tcpserver that only waits."""

    def __init__(self, directory):
        self.qmail = directory
        self.control = directory / "control"
        self.control.mkdir()
        (directory / "link").symlink_to(".")
        self.verifier = directory / "qmail-dk-verify"
        self.in_sh = directory / "qmail-dk-verify.sh"
        for path in self.verifier, self.in_sh:
            path.write_text(f"#!/bin/sh\nexec python3 {PREFIX}/qmail_qfilter_verify.py\n")
            path.chmod(0o755)
        self.script = directory / "filters"
        self.script.write_text(f"#!/bin/sh\nexec qmail-qfilter {self.verifier}\n")
        self.script.chmod(0o755)

    @contextlib.contextmanager
    def running(self, command=(), environment=None, limits=(), user=None):
        """A process that has a command's words behind its own."""
        def prepare():
            for kind, value in limits:
                resource.setrlimit(kind, (value, value))
            if user is not None:
                os.setuid(user)
        words = [str(word).replace("$QMAIL", str(self.qmail)) for word in command]
        values = {name: value.replace("$VERIFIER", str(self.verifier))
                  .replace("$SCRIPT", str(self.script)).replace("$QMAIL", str(self.qmail))
                  for name, value in (environment or {}).items()}
        with subprocess.Popen(["/bin/sh", "-c", "echo; read line", "tcpserver", *words],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=values,
                              preexec_fn=prepare) as process:
            process.stdout.readline()
            yield process

    def findings(self, **installed):
        """[(level, text)]"""
        seen = admin_host.Host(Settings({}, str(self.control)))
        seen.installation = INSTALLED._replace(qmail=str(self.qmail), **installed)
        return [(finding.level, finding.text) for finding in check_receiving.findings(seen)]


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setattr(check_receiving, "LAUNCHER", f"{tmp_path}/qmail-dk-verify")
    return Host(tmp_path)


SMTP = ["0", "smtp", "$QMAIL/bin/qmail-smtpd"]
OURS = {"QMAILQUEUE": "$VERIFIER"}
UNLIMITED = ("ok", "may take any memory")
OFF = ("ok", "does not verify: QMAILQUEUE is not the verifier")
NONE = [("ok", "no process that starts it was found")]

# command, environment, control/dkverify -> the findings
VERIFYING = {
    "on": (SMTP, {**OURS, "DKVERIFY": "DEGIJKfh"}, None,
           [("ok", "verifies, DKVERIFY is DEGIJKfh"), UNLIMITED]),
    "on by the file": (SMTP, OURS, "f", [("ok", "verifies, DKVERIFY is f (")], ),
    "on by a script": (SMTP, {"QMAILQUEUE": "$SCRIPT", "DKVERIFY": "-"}, None,
                       [("ok", "verifies, DKVERIFY is -"), UNLIMITED]),
    "no letters": (SMTP, OURS, None, [("warn", "does not verify: DKVERIFY is neither"), UNLIMITED]),
    "letters alone": (SMTP, {"DKVERIFY": "-"}, None,
                      [("warn", "does not verify: DKVERIFY is set (-), but QMAILQUEUE is not")]),
    "off": (SMTP, {}, None, [OFF]),
    "not letters": (SMTP, {**OURS, "DKVERIFY": '"-"'}, None,
                    [("ok", "verifies, DKVERIFY is "), ("FAIL", "DKVERIFY: "), UNLIMITED]),
    "another program": (SMTP, {"QMAILQUEUE": "/bin/true"}, None, [OFF]),
    "in PATH": (["0", "smtp", "qmail-smtpd"], {"PATH": "/bin:$QMAIL/bin"}, None, [OFF]),
    "by a link": (["0", "smtp", "$QMAIL/link/bin/qmail-smtpd"], {}, None, [OFF]),
    "by a link in PATH": (["0", "smtp", "qmail-smtpd"], {"PATH": "/bin:$QMAIL/link/bin"}, None,
                          [OFF]),
    "in another PATH": (["0", "smtp", "qmail-smtpd"], {"PATH": "/bin"}, None, NONE),
    "known by the variable alone": (["0", "smtp", "mailfront"], {**OURS, "DKVERIFY": "-"}, None,
                                    [("ok", "verifies, DKVERIFY is -"), UNLIMITED]),
    "another qmail's": (["0", "smtp", "/var/qmail2/bin/qmail-smtpd"], {}, None, NONE),
    "another server": (["0", "pop3", "qmail-popup"], {}, None, NONE),
}


@pytest.mark.parametrize("name", VERIFYING)
def test_verifying(host, name):
    command, environment, letters, expected = VERIFYING[name]
    if letters:
        (host.control / "dkverify").write_text(letters + "\n")
        expected = expected + [UNLIMITED]
    with host.running(command, environment):
        found = host.findings()
    assert [(level, text[:len(begins)]) for (level, text), (_, begins)
            in zip(found, expected)] == expected and len(found) == len(expected), found


DAMAGES = {
    "lost": (lambda host: host.in_sh.unlink(), "verify.sh can't be read (No such file"),
    "empty": (lambda host: host.verifier.write_bytes(b""), "verify is empty"),
    "of root alone": (lambda host: host.in_sh.chmod(0o711), "verify.sh qmail's users can't read"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_launcher_that_is_damaged(host, name):
    damage, words = DAMAGES[name]
    damage(host)
    with host.running(SMTP, {**OURS, "DKVERIFY": "-"}):
        ((level, text),) = host.findings()
    assert level == "FAIL" and words in text and text.endswith("so all mail is deferred")


# A free-threaded Python verified with 44 MiB of addresses, but not with 43.
MORE = 31 * MB if "t" in sys.abiflags else 0
LIMITS = {
    ("RLIMIT_AS", 5 * MB): "FAIL", ("RLIMIT_AS", 24 * MB + MORE): "FAIL",
    ("RLIMIT_AS", 76 * MB + MORE): "warn", ("RLIMIT_AS", 100 * MB + MORE): "ok",
    ("RLIMIT_DATA", 5 * MB + MORE): "FAIL",
    ("RLIMIT_DATA", 20 * MB + MORE): "warn", ("RLIMIT_DATA", 100 * MB): "ok",
}


@pytest.mark.parametrize("limit", LIMITS, ids=str)
def test_limits(host, limit):
    kind, value = limit
    with host.running(SMTP, {**OURS, "DKVERIFY": "-"}, [(getattr(resource, kind), value)]):
        _, (level, text) = host.findings()
    assert level == LIMITS[limit]
    assert kind == "RLIMIT_DATA" and level == "ok" or f" {value} bytes of memory" in text
    assert ("refused for now" in text) == (level == "FAIL")


def test_limits_of_who_does_not_start_the_verifier(host):
    with host.running(SMTP, limits=[(resource.RLIMIT_AS, 5 * MB)]):
        assert host.findings() == [OFF]


def test_where_qmail_queue_is_replaced(host):
    """qmail 1.03: there is no QMAILQUEUE, and all mail gets to the verifier."""
    with host.running(SMTP, {"DKVERIFY": "-"}, [(resource.RLIMIT_AS, 5 * MB)]):
        (_, text), (level, _) = host.findings(queue_original="/var/qmail/bin/qmail-queue.orig")
    assert text == "verifies, DKVERIFY is -" and level == "FAIL"


@pytest.mark.root
def test_processes_of_others_do_not_count(host):
    with host.running(SMTP, {**OURS, "DKVERIFY": "-"}, user=12345):
        assert host.findings() == NONE
    with host.running(SMTP, {**OURS, "DKVERIFY": "-"}, user=0):
        assert host.findings() != NONE


def test_the_verifier_has_gone(host):
    host.verifier.unlink()
    with host.running(SMTP, {**OURS, "DKVERIFY": "-"}):
        assert host.findings() == [("FAIL", f"QMAILQUEUE names {host.verifier}, which can't be "
                                    "run, so mail is refused for now")]


def test_alike_ones_are_told_once(host):
    with host.running(SMTP, OURS), host.running(SMTP, OURS), host.running(SMTP):
        assert sorted(host.findings()) == sorted(
            [("warn", "does not verify: DKVERIFY is neither in its environment, nor in its rules, "
              "nor in control/dkverify"), UNLIMITED, OFF])


def test_not_prepared(host):
    with host.running(SMTP, OURS):
        assert host.findings(verify="") == []


# rules behind QMAILQUEUE -> the first finding
RULES = {
    ',DKVERIFY="DEGIJKfh"': ("ok", "verifies, DKVERIFY is DEGIJKfh"),
    "": ("warn", "does not verify: DKVERIFY is neither in its environment, nor in its rules, "
         "nor in control/dkverify"),
    ', DKVERIFY="-"': ("FAIL", "its rules have a blank before DKVERIFY, which becomes a part of "
                       "the name"),
}


@pytest.mark.skipif(not all(map(shutil.which, ("tcpserver", "tcprules", "softlimit"))),
                    reason="needs tcpserver, tcprules and softlimit")
@pytest.mark.parametrize("rules", RULES)
def test_real_tcpserver(host, tmp_path, rules):
    """Its rules say what connections get; a connection at work is no other server."""
    cdb = tmp_path / "smtp.cdb"
    subprocess.run(["tcprules", cdb, tmp_path / "new"], check=True, text=True,
                   input=f':allow,QMAILQUEUE="{host.verifier}"{rules}\n')
    smtpd = tmp_path / "bin" / "qmail-smtpd"
    smtpd.parent.mkdir()
    smtpd.write_text("#!/bin/sh\necho ready\nread line\n")
    smtpd.chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
    command = ["softlimit", "-m", "20000000", "tcpserver", "-HRl0", "-x", cdb, address[0],
               str(address[1]), smtpd]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            resident.until_true(lambda: answers(address))
            with socket.create_connection(address) as connection:
                assert connection.recv(10) == b"ready\n"
                first, *others = host.findings()
        finally:
            process.kill()
    assert first == RULES[rules]
    if first[0] != "FAIL":
        ((level, text),) = others
        assert level == "FAIL" and " 20000000 bytes of memory" in text


def answers(address):
    try:
        with socket.create_connection(address) as connection:
            return connection.recv(10)
    except OSError:
        return False
