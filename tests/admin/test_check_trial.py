# SPDX-License-Identifier: MIT
"""Trials of the installed programs leave nothing in the mail log that could be taken for mail."""

import os
import shutil
import subprocess

import pytest

from lib import maillog
from lib.verifying import exchange
from lib.verifying.report import Terms
from tests.support import install_driver, resident, rspawn
from tests.support.checked_host import Host
from tests.support.dns_server import DnsServer
from tests.support.deliveries import Host as DeliveryHost
from tests.support.syslog_reader import WARNING, deliver, lines, log      # noqa: F401
from tests.support.install_driver import directory      # noqa: F401


def all_lines(reader):
    """The text of all datagrams that came."""
    reader.end()
    return [datagram.rstrip("\0") for datagram in reader.datagrams]


def with_logger(host):
    """Where the launcher's logger is found."""
    host.environment["PATH"] = os.path.dirname(shutil.which("logger") or pytest.skip(
        "needs logger"))


BROKEN = {
    "a key that others can read": lambda host: (host.keys / "example.com" / "default").chmod(0o644),
    "a key that is none": lambda host: (host.keys / "example.com" / "default").write_text("x"),
    "all is well": lambda host: None,
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_signer_is_silent(log, tmp_path, name):
    host = DeliveryHost(tmp_path)
    BROKEN[name](host)
    host.environment[maillog.TRIAL] = "1"
    deliver(host)
    assert lines(log, host) == []


@pytest.mark.parametrize("trial", [False, True])
def test_a_python_that_does_not_start(log, tmp_path, trial):
    """The launcher's own words, which stood in qmail-send's log only."""
    host = DeliveryHost(tmp_path)
    host.environment["PATH"] = os.path.dirname(shutil.which("logger") or pytest.skip(
        "needs logger"))
    missing = str(tmp_path / "python")
    launcher = rspawn.install_launcher(tmp_path, python=missing)
    if trial:
        host.environment[maillog.TRIAL] = "1"
    delivery = rspawn.deliver([launcher], host.message, host.environment)
    assert delivery.verdict == "Z" and missing.encode() in delivery.text
    if not trial:       # the delivery does not wait for the logger
        resident.until_true(lambda: any(missing in text for text in log.datagrams))
    said = [text for text in all_lines(log) if missing in text]
    assert len(said) == (not trial)
    assert all(text.startswith(f"<{WARNING}>") and f"warning: deferred: {missing} ended with "
               "status 127" in text for text in said)


@pytest.mark.parametrize("limit, remedy", [
    ("unlimited", "run install.sh again"),
    ("60000", "softlimit -m 100000000 in place of 60000 KB")])
def test_a_resident_signer_that_does_not_start(log, tmp_path, limit, remedy):
    """Too little memory is no fault of the installation."""
    launcher, original = tmp_path / "qmail-rspawn", tmp_path / "bin" / "qmail-rspawn.orig"
    text = (rspawn.CHECKOUT / "launcher" / "qmail-rspawn").read_text()
    for name in "@PYTHON@", "@PREFIX@", "@QMAIL@", "@ORIGINAL@":
        text = text.replace(name, str(tmp_path))
    launcher.write_text(text)
    for path in original, tmp_path / "bin" / "qmail-remote-dk":
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    host = DeliveryHost(tmp_path)
    with_logger(host)
    subprocess.run(["sh", "-c", f'ulimit -v {limit}; exec sh "$0"', launcher],
                   env=host.environment, check=True)
    resident.until_true(lambda: any("resident signer" in said for said in log.datagrams))
    (said,) = [said for said in all_lines(log) if "resident signer" in said]
    assert said.startswith(f"<{WARNING}>") and f"; remedy: {remedy}" in said


def test_check_is_silent(log, tmp_path):
    host = Host(tmp_path, {})
    own = f"of-{os.getpid()}.example"       # others may log at the same time
    host.keygen("s1", domain=own)
    (host.keys / own / "s1").chmod(0o644)
    host.keygen("s1", domain=f"lists.{own}")        # its trial is not made by the programs
    with DnsServer({}) as server:
        host.environment["DNSCACHEIP"] = server.address
        output = host.run("check", own, f"lists.{own}").stdout
    assert f"trial {own}: dkim=permerror" in output
    assert f"trial lists.{own}: dkim=permerror" in output
    assert [text for text in all_lines(log) if own in text] == []


def test_the_resident_verifier_says_that_it_was_a_trial():
    with resident.Resident(None, "--workers", "1") as server:
        for number, authserv_id in enumerate((exchange.TRIAL, b"mx.example.net"), 1):
            resident.ask(server.path, b"From: joe@example.com\n\n",
                         Terms(1024, False, authserv_id))
            server.wait_for(" bytes, dns ", number)
        said = [line for line in server.log().splitlines() if " bytes, dns " in line]
    assert [line.startswith("qmail-dk-verifyd: trial: C, ") for line in said] == [True, False]


@pytest.mark.root
def test_installing_is_silent(log, directory):
    host = install_driver.Host(directory)
    host.install()
    assert [text for text in all_lines(log) if str(directory) in text] == []
