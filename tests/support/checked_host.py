# SPDX-License-Identifier: MIT
"""A host without faults, which tests damage for qmail-dk check."""

import json
import os
import pathlib
import py_compile
import shutil
import sys

import pytest

from lib.admin import check_clock, check_surroundings
from lib.crypto import openssl
from tests.support import rspawn, signing
from tests.support.administrator import DOMAIN, GROUP, Administrator, records
from tests.support.dns_server import DnsServer


def apex(*texts):
    """Returns the records of a domain itself: TXT records, and an MX record."""
    return {"TXT": list(texts), "MX": ["10 mx.example.com"]}


class Host(Administrator):
    """A host with the signer and the verifier installed, a key and its records."""

    def __init__(self, directory, zone):
        self.prefix = directory / "prefix"
        self.prefix.mkdir()
        shutil.copytree(rspawn.CHECKOUT / "lib", self.prefix / "lib",
                        ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("qmail_remote_dk.py", "qmail_qfilter_verify.py"):
            shutil.copy(rspawn.CHECKOUT / name, self.prefix)
        self.compiled = pathlib.Path(py_compile.compile(str(self.prefix / "qmail_remote_dk.py")))
        super().__init__(directory, self.prefix)
        self.zone = zone
        self.bin = directory / "bin"
        self.bin.mkdir()
        for name, text in (("qmail-smtpd", "QMAILQUEUE\n"), ("qmail-rspawn", "1.03\n"),
                           ("qmail-remote.orig", "#!/bin/sh\nexec false\n"),
                           ("qmail-queue", "")):
            self.program(self.bin / name, text)
        self.remote = rspawn.install_launcher(self.bin, script=self.prefix / "qmail_remote_dk.py",
                                              qmail=directory)
        self.record_installation(self.remote)
        self.name = f"s1._domainkey.{DOMAIN}"
        self.text = records(self.keygen("s1"))[self.name]
        self.zone[self.name] = [self.text]
        self.zone[DOMAIN] = apex("v=spf1 ip4:192.0.2.25 -all")
        self.zone[f"_dmarc.{DOMAIN}"] = [f"v=DMARC1; p=none; rua=mailto:dmarc@{DOMAIN}"]
        # Else the address of the machine that runs the tests would be looked at.
        (self.control / "outgoingip").write_text("10.0.0.1\n")

    def program(self, path, text):
        path.write_text(text)
        path.chmod(0o755)

    def record_installation(self, remote, **others):
        (self.prefix / "installed").write_text(
            f"qmail={self.directory}\nremote={remote}\n"
            f"launcher={self.prefix}/bin/qmail-remote\n"
            f"original={self.bin}/qmail-remote.orig\npython={rspawn.PYTHON}\n"
            + "".join(f"{name}={value}\n" for name, value in {"verify": "yes", **others}.items())
            + "last_environment=\n")

    def make_next(self):
        """Makes the next key, s2.  Returns the output of rotate."""
        return self.succeed("rotate", DOMAIN, "--selector", "s2", "--group", GROUP)

    def publish(self, output):
        self.zone.update({name: [text] for name, text in records(output).items()})

    @property
    def key(self):
        return self.keys / DOMAIN / "s1"

    def findings(self, *arguments):
        """Runs qmail-dk check.  Returns (exit code, list of the findings that are not ok).

        Leaves out that no qmail runs, which is always found; the syslog daemon and the
        clock of the machine that runs the tests; and that the ordinary user who runs
        them can change files of his own.
        """
        own = f"belongs to user number {os.geteuid()},"
        found = [finding for finding in self.all_findings(*arguments) if finding["level"] != "ok"
                 and not finding["text"].startswith("no running qmail-rspawn")
                 and finding["subject"] not in (check_surroundings.SYSLOG, check_clock.SUBJECT)
                 and not (os.geteuid() and own in finding["text"])]
        return self.exit_code, found

    def all_findings(self, *arguments):
        done = self.run("check", "--json", *arguments)
        assert done.stderr == ""
        self.exit_code = done.returncode
        return json.loads(done.stdout)


@pytest.fixture
def host(tmp_path):
    with DnsServer({}) as server:
        host = Host(tmp_path, server.zone)
        host.dns = server
        host.environment["DNSCACHEIP"] = server.address
        host.environment["DKTIMEOUT"] = "3"
        yield host


def rotated(host):
    host.publish(host.make_next())
    host.succeed("rotate", DOMAIN, "--activate")


def replace_key(host, bits):
    """Replaces the key by another RSA key of a size in bits, and its record."""
    pem = openssl.generate("rsa", bits).pem()
    host.key.write_bytes(pem)
    host.zone[host.name] = [signing.record(pem)]


def no_record(host):
    del host.zone[host.name]


def no_packages(host):
    """Gives the host a private environment without packages.  Returns its path."""
    environment = host.directory / "environment"
    (environment / "bin").mkdir(parents=True)
    (environment / "pyvenv.cfg").write_text(f"home = {os.path.dirname(rspawn.PYTHON)}\n")
    python = environment / "bin" / "python"
    python.symlink_to(rspawn.PYTHON)
    host.command.write_text(host.command.read_text().replace(sys.executable, str(python)))
    return environment


def only_signs(host):
    """Makes the host one that ./install.sh --sign has set up."""
    no_packages(host)
    host.record_installation(host.remote, verify="")


def next_waits_without_packages(host):
    host.make_next()
    only_signs(host)


def assert_found(host, damage, expected):
    """Asserts that qmail-dk check finds the damage.

    damage: function that takes the host
    expected: list of (level, text that the finding must contain)
    """
    damage(host)
    status, found = host.findings()
    assert status == (2 if any(finding["level"] == "FAIL" for finding in found) else 1)
    for level, words in expected:
        matching = [finding for finding in found if finding["level"] == level
                    and words in f"{finding['subject']} {finding['text']}"]
        assert matching, (words, found)
        assert all(finding["remedy"] for finding in matching)
