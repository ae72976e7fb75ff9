# SPDX-License-Identifier: MIT
"""What check says of this host's address, of its name, and of HELO."""

import ipaddress
import json
import socket

import pytest

from lib.admin import check_outgoing
from lib.errors import RequestTrouble
from tests.support.administrator import DOMAIN
from tests.support.checked_host import apex, host      # noqa: F401
from tests.support.records_by_name import finder

ADDRESS = "93.184.215.14"       # one that is neither private nor kept for documentation

# control files -> (addresses, words of the reason, HELO)
CONTROL = {
    (("me", "mx.example.com"), ("outgoingip", ADDRESS)):
        ([ADDRESS], "control/outgoingip", "mx.example.com"),
    (("helohost", "out.example.com"), ("me", "mx.example.com"), ("outgoingip", ADDRESS)):
        ([ADDRESS], "control/outgoingip", "out.example.com"),
    (("bindroutes", f"# comment 1.1.1.1\nexample.net:8.8.8.8\n:{ADDRESS}"),):
        (["8.8.8.8", ADDRESS], "control/bindroutes", ""),
    (("outgoingip", "0.0.0.0"), ("smtproutes", ":relay.example.com")):
        ([], "by another host (control/smtproutes)", ""),
    (("outgoingip", "192.168.1.2"),): ([], "192.168.1.2 (control/outgoingip) is private", ""),
    (("outgoingip", ADDRESS), ("smtproutes", "example.net:relay.example.com")):
        ([ADDRESS], "control/outgoingip", ""),
}


@pytest.mark.parametrize("files", CONTROL, ids=lambda files: " ".join(name for name, _ in files))
def test_control_files(tmp_path, files):
    for name, text in files:
        (tmp_path / name).write_text(text + "\n")
    seen = check_outgoing.outgoing(str(tmp_path))
    addresses, words, helo = CONTROL[files]
    assert (seen.addresses, seen.helo) == (addresses, helo) and words in seen.reason


def test_default_route(tmp_path, monkeypatch):
    """The address of the route to a far host; here loopback's, which is private."""
    monkeypatch.setattr(check_outgoing, "FAR", ("127.0.0.1", 25))
    seen = check_outgoing.outgoing(str(tmp_path))
    assert seen.addresses == [] and "127.0.0.1 (the default route's) is private" in seen.reason
    monkeypatch.setattr(socket.socket, "connect", no_route)
    assert check_outgoing.outgoing(str(tmp_path)).reason == "there is no default route"


def no_route(connection, address):
    raise OSError("no route")


@pytest.mark.parametrize("text", ["", "mx.example.com", "1.2.3", "192.0.2.1/24"])
def test_option(tmp_path, text):
    if text:
        with pytest.raises(RequestTrouble):
            check_outgoing.outgoing(str(tmp_path), text)
    assert check_outgoing.outgoing(str(tmp_path), ADDRESS).addresses == [ADDRESS]


REVERSE = "14.215.184.93.in-addr.arpa PTR"
GOOD = {REVERSE: ["mx.example.com"], "mx.example.com A": [ADDRESS]}

# name -> (HELO, records, (level, words of the finding on the address))
NAMES = {
    "good": ("mx.example.com", GOOD, ("ok", "is called mx.example.com, which leads back to it")),
    "case": ("MX.Example.COM", GOOD, ("ok", "is called mx.example.com")),
    "HELO differs": ("mail.example.com", GOOD, ("warn", "but greets as mail.example.com (HELO)")),
    "no PTR": ("mx.example.com", {}, ("FAIL", "has no name in the DNS (PTR: NXDOMAIN)")),
    "no answer": ("mx.example.com", {REVERSE: "SERVFAIL"}, ("warn", "no answer on its name")),
    "not back": ("mx.example.com", {**GOOD, "mx.example.com A": ["203.0.113.1"]},
                 ("FAIL", "is called mx.example.com (PTR), which does not lead back to it")),
    "no address": ("mx.example.com", {REVERSE: ["mx.example.com"]}, ("FAIL", "not lead back")),
    "one of two": ("mx.example.com", {**GOOD, REVERSE: ["old.example.com", "mx.example.com"]},
                   ("ok", "is called mx.example.com")),
    "one of two, not that of HELO": (
        "old.example.com", {**GOOD, REVERSE: ["old.example.com", "mx.example.com"]},
        ("warn", "is called mx.example.com, but greets as old.example.com")),
    **{f"as of customers' lines: {name}": (name, {REVERSE: [name], f"{name} A": [ADDRESS]},
                                           (level, "is called " + name + words))
       for name, level, words in (
        ("93-184-215-14-static.isp.example", "warn", ", a name made of the address"),
        ("ip014.215.184.093.isp.example", "warn", ", a name made of the address"),
        ("mx14.93-184-215.example", "warn", ", a name made of the address"),
        ("mx14.dc93.example", "ok", ", which leads back to it"))},
}


@pytest.mark.parametrize("name", NAMES)
def test_names(name):
    helo, zone, (level, words) = NAMES[name]
    seen = check_outgoing.Outgoing([ADDRESS], "--address", helo)
    (finding,) = check_outgoing.findings(seen, finder(zone))
    assert (finding.level, finding.subject) == (level, f"address {ADDRESS}")
    assert words in finding.text and bool(finding.remedy) == (level != "ok")


def test_ipv6():
    address = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
    zone = {f"{ipaddress.ip_address(address).reverse_pointer} PTR": ["mx.example.com"],
            "mx.example.com AAAA": [address]}
    seen = check_outgoing.Outgoing([address], "--address", "mx.example.com")
    assert [finding.level for finding in check_outgoing.findings(seen, finder(zone))] == ["ok"]


@pytest.mark.parametrize("helo, level", [
    ("mx.example.com", None), ("", None), ("localhost", "warn"), ("my host.example", "warn"),
    ("[192.0.2.1]", "warn"), ("m\udcff.example.com", "warn")])
def test_helo(helo, level):
    seen = check_outgoing.Outgoing([], "there is no default route", helo)
    found = [finding for finding in check_outgoing.findings(seen, None)
             if finding.subject == "HELO"]
    assert [finding.level for finding in found] == ([level] if level else [])


def test_what_check_says_of_a_host(host):
    """Where the address is private, one line without complaint; else as the world sees it."""
    (host.control / "me").write_text("mx.example.com\n")
    assert host.findings() == (1, [])
    (unknown,) = [finding for finding in host.all_findings()
                  if finding["subject"] == check_outgoing.UNKNOWN]
    assert unknown["level"] == "ok" and "10.0.0.1 (control/outgoingip)" in unknown["text"]
    host.zone["14.215.184.93.in-addr.arpa"] = {"PTR": ["mx.example.com"]}
    host.zone["mx.example.com"] = {"A": [ADDRESS]}
    status, found = host.findings("--address", ADDRESS)
    assert status == 2 and [(finding["level"], finding["subject"]) for finding in found] == [
        ("FAIL", f"SPF of {DOMAIN}")]
    host.zone[DOMAIN] = apex(f"v=spf1 ip4:{ADDRESS} -all")
    assert host.findings("--address", ADDRESS) == (1, [])
    assert f"ok   address {ADDRESS}: is called mx.example.com" in host.run(
        "check", "--address", ADDRESS).stdout
    assert "is not an IP address" in host.refused("check", "--address", "mx.example.com")


def test_without_records(host):
    """Advice is no failure."""
    for name in DOMAIN, f"_dmarc.{DOMAIN}":
        del host.zone[name]
    status, found = host.findings()
    assert status == 1 and sorted((finding["level"], finding["subject"]) for finding in found) == [
        ("warn", f"MX of {DOMAIN}"), ("warn", f"SPF of {DOMAIN}"), ("warn", f"_dmarc.{DOMAIN}")]
    json.dumps(found)
