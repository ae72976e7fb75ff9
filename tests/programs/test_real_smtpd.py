# SPDX-License-Identifier: MIT
"""The real tcpserver, qmail-smtpd and qmail-queue around the verifier, tinydns below it.

qmail's control files and its queue are replaced in a mount namespace of the
test's own, so that a host's settings and mail are neither used nor touched.
"""

import contextlib
import os
import shutil
import smtplib
import socket
import subprocess
from itertools import starmap

import dnslib
import pytest

from tests.support import queue_driver, resident, verifying
from tests.support.processes import is_running
from tests.support.verifier import FALSE, GOOD, MEGABYTES, PLAIN, below

QMAIL = "/var/qmail"
DNS_ADDRESS = "127.53.0.1"      # tinydns only serves port 53
USER = "127.0.0.2"              # a client whose mail is not verified
SENDER = "127.0.0.3"            # the client that SPF of example.com names
NAMESPACE = ["unshare", "--mount", "/bin/sh", "-c",
             f'mount --bind "$1" {QMAIL}/control && mount --bind "$2" {QMAIL}/queue'
             ' && shift 2 && exec "$@"', "sh"]
REJECTED = "mail server permanently rejected message (#5.3.0)"
DEFERRED = "mail server temporarily rejected message (#4.3.0)"

pytestmark = [pytest.mark.root, pytest.mark.skipif(
    not os.path.exists(f"{QMAIL}/bin/qmail-smtpd")
    or not shutil.which("tcpserver") or not shutil.which("tinydns"),
    reason="needs qmail in /var/qmail, tcpserver and tinydns")]


def tinydns_line(name, text):
    """A TXT record for tinydns-data; colons and backslashes in octal."""
    return f"'{name}:" + text.replace("\\", "\\134").replace(":", "\\072") + ":60\n"


def listens(address):
    """Whether a DNS server answers there; an ICMP error says at once that none does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1)
        try:
            client.connect((address, 53))
            client.send(dnslib.DNSRecord.question("example.com", "NS").pack())
            return bool(client.recv(1000))
        except OSError:
            return False


@pytest.fixture(scope="module")
def tinydns(tmp_path_factory):
    root = tmp_path_factory.mktemp("tinydns")
    zone = "".join(f".{name}::ns.{name}:60\n" for name in ("example.com", "example.net"))
    (root / "data").write_text(zone + "".join(starmap(tinydns_line, (
        (verifying.NAME, verifying.golden_rsa().record()),
        ("example.com", f"v=spf1 ip4:{SENDER} -all"),
        ("_dmarc.example.com", "v=DMARC1; p=reject")))))
    subprocess.run([shutil.which("tinydns-data")], cwd=root, check=True)
    root.chmod(0o755)
    environment = {"IP": DNS_ADDRESS, "ROOT": str(root), "UID": "65534", "GID": "65534"}
    with subprocess.Popen([shutil.which("tinydns")], env=environment,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            resident.until_true(lambda: process.poll() is not None or listens(DNS_ADDRESS))
            if process.poll() is not None:
                pytest.skip("tinydns does not start: " + process.stderr.read().decode())
            yield DNS_ADDRESS
        finally:
            process.kill()


class MailHost(queue_driver.Host):
    """qmail-smtpd with the verifier as QMAILQUEUE, for as long as serving() is entered."""

    def __init__(self, directory):
        super().__init__(directory)
        for name, value in (("me", "mx.example.net"), ("rcpthosts", "example.net")):
            (directory / "control" / name).write_text(value + "\n")
        subprocess.run(["cp", "-a", f"{QMAIL}/queue", str(directory / "queue")], check=True)
        directory.chmod(0o755)
        self.rules = {USER: {"RELAYCLIENT": ""}}
        self.launcher = directory / "bin" / "launcher"
        self.launcher.write_text("#!/bin/sh\nexec " + " ".join(self.command()) + "\n")
        self.launcher.chmod(0o755)
        self.namespace = [*NAMESPACE, str(directory / "control"), str(directory / "queue")]
        if subprocess.run([*self.namespace, "true"], capture_output=True).returncode:
            pytest.skip("mount namespaces are not allowed")

    @contextlib.contextmanager
    def serving(self, **verifying_rules):
        """Starts tcpserver; DKVERIFY and the like go into its rules, for all other clients."""
        rules = "".join(
            f"{client}:allow" + "".join(f',{name}="{value}"' for name, value in settings.items())
            + "\n" for client, settings in {**self.rules, "": verifying_rules}.items())
        cdb = str(self.directory / "rules.cdb")
        subprocess.run([shutil.which("tcprules"), cdb, cdb + ".tmp"], input=rules.encode(),
                       check=True)
        command = [*self.namespace, shutil.which("tcpserver"), "-1HR", "-l", "mx.example.net",
                   "-x", cdb, "127.0.0.1", "0", f"{QMAIL}/bin/qmail-smtpd"]
        with open(self.directory / "log", "wb+") as log, subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log,
                env={**self.environment, "QMAILQUEUE": str(self.launcher)}) as process:
            try:
                self.port = int(process.stdout.readline())
                yield
            finally:
                process.kill()

    def log(self):
        return (self.directory / "log").read_bytes()

    def send(self, message, client="127.0.0.1"):
        """(code, text) of the answer to DATA."""
        with smtplib.SMTP("127.0.0.1", self.port, source_address=(client, 0)) as connection:
            connection.ehlo("client.example.com")
            assert connection.mail("alice@example.com")[0] == 250
            assert connection.rcpt("bob@example.net")[0] == 250
            code, text = connection.data(message.replace(b"\n", b"\r\n"))
            return code, text.decode()

    def queue_files(self, directory):
        """The contents of the files below a directory of the queue."""
        below_it = (self.directory / "queue" / directory).rglob("*")
        return [path.read_bytes() for path in below_it if path.is_file()]


@pytest.fixture
def mail_host(tmp_path, tinydns):
    host = MailHost(tmp_path)
    host.environment["DNSCACHEIP"] = tinydns
    return host


def without_received(text):
    """Takes off the Received field of qmail-smtpd."""
    start, received, rest = text.partition(b"Received: from unknown (HELO client.example.com)")
    assert received
    return start + rest.partition(b"\n  by ")[2].partition(b"\n")[2]


def test_verified_mail(mail_host):
    with mail_host.serving(DKVERIFY="B"):
        code, text = mail_host.send(GOOD)
    assert (code, text[:3]) == (250, "ok "), mail_host.log()
    queued = mail_host.queued()
    added = below(without_received(queued["message"]), GOOD)
    assert b"dkim=pass" in added and b"header.d=example.com" in added
    assert queued["envelope"] == queue_driver.ENVELOPE
    # qmail-smtpd's answer has the process number as qp.
    assert text.split()[-1] == str(queued["process"])
    assert b"qmail-qfilter-verify: qp %d accepted: good (A); " % queued["process"] \
        in mail_host.log()


# settings, message -> answer
ANSWERS = {
    "rejected": ({"DKVERIFY": "B"}, GOOD + b"x\n", (554, REJECTED)),
    "deferred": ({"DKVERIFY": "b"}, GOOD + b"x\n", (451, DEFERRED)),
    "no key": ({"DKVERIFY": "D"}, verifying.dkim_signed(s="none"), (554, REJECTED)),
    "another's domain": ({"DKVERIFY": "f"}, verifying.dkim_signed(d="example.org"),
                         (451, DEFERRED)),
    "unsigned": ({"DKVERIFY": "C"}, PLAIN, (554, REJECTED)),
    "mistake": ({"DKVERIFY": "X"}, GOOD, (451, "qq unable to read configuration (#4.3.0)")),
    "mistake, 5 MB": ({"DKVERIFY": "X"}, PLAIN + MEGABYTES,
                      (451, "qq unable to read configuration (#4.3.0)")),
    "no queue program": ({"DKVERIFY": "-", "DKQUEUE": "/nonexistent"}, GOOD,
                         (451, "qq unable to read configuration (#4.3.0)")),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_answers(mail_host, case):
    settings, message, answer = ANSWERS[case]
    with mail_host.serving(DKTIMEOUT="2", **settings):
        assert mail_host.send(message) == answer
    assert mail_host.queued() == {}


def test_reason(mail_host):
    """notqmail >= 1.09; others have no descriptor 6 and take exit code 31."""
    with mail_host.serving(DKVERIFY="B", DKREASON="yes"):
        code, text = mail_host.send(GOOD + b"x\n")
    assert code == 554
    assert text in (REJECTED, "message refused by DKIM or DomainKeys policy: its signature "
                    "does not match it (example.com) (#5.7.20)")


# settings, client, message -> code of the answer, words of our field
POLICIES = {
    "by SPF": ("mark", SENDER, PLAIN, 250, [b"spf=pass smtp.mailfrom=example.com", b"dmarc=pass"]),
    "forged": ("mark", "127.0.0.1", PLAIN, 250, [b"spf=fail", b"dmarc=fail"]),
    "forwarded": ("refuse", "127.0.0.1", GOOD, 250, [b"spf=fail", b"dmarc=pass"]),
    "by SPF, refuse": ("refuse", SENDER, PLAIN, 250, [b"dmarc=pass"]),
    "forged, refuse": ("refuse", "127.0.0.1", PLAIN, 554, []),
}


@pytest.mark.parametrize("case", POLICIES)
def test_spf_and_dmarc(mail_host, case):
    """With the client and the envelope as the real programs hand them over."""
    setting, client, message, code, words = POLICIES[case]
    with mail_host.serving(DKVERIFY="-", DKDMARC=setting):
        assert mail_host.send(message, client=client)[0] == code, mail_host.log()
    queued = mail_host.queued()
    if code == 250:
        assert queued["envelope"] == queue_driver.ENVELOPE
        added = below(without_received(queued["message"]), message).replace(b"\n ", b" ")
        assert all(word in added for word in words), added
    else:
        assert queued == {}


def test_users_are_not_verified(mail_host):
    with mail_host.serving(DKVERIFY="C"):
        assert mail_host.send(FALSE[0] + PLAIN, client=USER)[0] == 250
    assert without_received(mail_host.queued()["message"]) == FALSE[0] + PLAIN
    assert mail_host.log() == b""


@pytest.mark.parametrize("client", ["127.0.0.1", USER])
def test_real_queue(mail_host, client):
    mail_host.environment["DKQUEUE"] = f"{QMAIL}/bin/qmail-queue"
    message = GOOD if client == USER else FALSE[0] + GOOD
    with mail_host.serving(DKVERIFY="BCD"):
        code, text = mail_host.send(message, client)
    assert (code, text[:3]) == (250, "ok "), mail_host.log()
    queued, = mail_host.queue_files("mess")
    received = b"Received: (qmail %s invoked " % text.split()[-1].encode()
    assert queued.startswith(received)
    ours = without_received(queued.partition(b"\n")[2])
    assert ours == GOOD if client == USER else b"dkim=pass" in below(ours, GOOD)
    envelope, = mail_host.queue_files("todo")
    assert envelope.endswith(queue_driver.ENVELOPE[:-1])


def test_connection_lost_in_data(mail_host):
    """qmail-smtpd dies, and qmail-queue finds no envelope: nothing is queued."""
    mail_host.environment["DKQUEUE"] = f"{QMAIL}/bin/qmail-queue"
    with mail_host.serving(DKVERIFY="B"):
        with socket.create_connection(("127.0.0.1", mail_host.port)) as connection, \
                connection.makefile("rwb", buffering=0) as lines:
            for command in (b"HELO client.example.com", b"MAIL FROM:<alice@example.com>",
                            b"RCPT TO:<bob@example.net>", b"DATA"):
                lines.readline()
                lines.write(command + b"\r\n")
            assert lines.readline().startswith(b"354")
            lines.write(GOOD.replace(b"\n", b"\r\n")[:-20])
        resident.until_true(lambda: b"accepted" in mail_host.log())
        process = mail_host.log().partition(b" qp ")[2].split()[0].decode()
        resident.until_true(lambda: not is_running(process))
    assert mail_host.queue_files("mess") == mail_host.queue_files("todo") == []
