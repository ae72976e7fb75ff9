# SPDX-License-Identifier: MIT
"""Dynamic updates that a server refuses or does not answer: one clear line, and no change."""

import shutil
import socket
import time

import pytest

from lib.admin.publishing.choice import publisher
from lib.admin.publishing.record import Record
from lib.errors import PublishTrouble
from lib.lookup import budget
from lib.settings import Settings
from tests.support import real_name_servers
from tests.support.administrator import DOMAIN
from tests.support.dns_server import DnsServer

budget.resolver("127.0.0.1")       # by which dnspython can be imported
from lib.admin.publishing import update_message      # noqa: E402

RECORD = Record(f"s1._domainkey.{DOMAIN}", 60, "v=DKIM1; p=AB")


def trouble(setting, record=RECORD, verb="add"):
    """Returns the text of the PublishTrouble, one line with a remedy, and no secret."""
    with pytest.raises(PublishTrouble) as raised:
        getattr(publisher(Settings({"DKPUBLISH": setting})), verb)([record])
    text = str(raised.value)
    assert "\n" not in text and "; remedy: " in text
    return text


@pytest.fixture(scope="module", params=["named", "knotd"])
def primary(request, tmp_path_factory):
    server = getattr(real_name_servers, request.param)(
        tmp_path_factory.mktemp(request.param) / "server")
    with server as running:
        running.program = request.param
        yield running


def other_secret(primary):
    path = primary.key.path.with_name("secret")
    return primary.with_key(real_name_servers.Key(path, primary.key.name))


def other_algorithm(primary):
    path = primary.key.path.with_name("algorithm")
    return primary.with_key(real_name_servers.Key(path, primary.key.name, "hmac-sha512",
                                                  primary.key.secret))


def unknown_key(primary):
    return primary.with_key(real_name_servers.Key(primary.key.path.with_name("key"), "unknown"))


def other_key(primary):
    return primary.with_key(primary.other)


def no_key(primary):
    return primary.with_key(None)


def right_key(primary):
    return primary.publish


NO_RIGHT = "refuses it (REFUSED); remedy: let this key"
UNKNOWN = "does not know the key {}, or does not let it do this (BADKEY)"
NO_ZONE = "asked about {}: malformed answer, or one that it does not sign, having no such zone"

# The setting, the name -> what is said with named, and with knotd.
REFUSED = [
    (other_secret, RECORD.name, *["has another secret for the key qmail-dk (BADSIG)"] * 2),
    (other_algorithm, RECORD.name, *[UNKNOWN.format("qmail-dk")] * 2),
    (unknown_key, RECORD.name, *[UNKNOWN.format("unknown")] * 2),
    (other_key, RECORD.name, NO_RIGHT, UNKNOWN.format("other")),
    (no_key, RECORD.name, NO_RIGHT, "wants a key (NOTAUTH); remedy: name that one, or the file"),
    # The least rights: nothing but keys.
    (right_key, f"host.{DOMAIN}", NO_RIGHT, UNKNOWN.format("qmail-dk")),
    (right_key, DOMAIN, NO_RIGHT, UNKNOWN.format("qmail-dk")),
    (right_key, f"_domainkey.host.{DOMAIN}", NO_RIGHT, UNKNOWN.format("qmail-dk")),
    # Not there.
    (right_key, f"s1._domainkey.sub.{DOMAIN}", *["is not authoritative for s1._domainkey.sub"] * 2),
    (right_key, "s1._domainkey.example.net", "is not authoritative for s1._domainkey.example.net "
     "(REFUSED); remedy: name its primary", NO_ZONE.format("s1._domainkey.example.net")),
    (right_key, f"alias._domainkey.{DOMAIN}", *[f"has another record at alias._domainkey.{DOMAIN}"]
     * 2),
]


@pytest.mark.parametrize("setting, name, by_named, by_knotd", REFUSED)
def test_refused(primary, setting, name, by_named, by_knotd):
    said = trouble(setting(primary), RECORD._replace(name=name))
    assert (by_named if primary.program == "named" else by_knotd) in said
    assert primary.key.secret not in said


@pytest.mark.parametrize("hours", [1, -1])
def test_another_time(primary, monkeypatch, hours):
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 3600 * hours)
    said = trouble(primary.publish)
    assert "has another time (BADTIME); remedy: set the clocks of both hosts; here it is 2" in said


def test_nothing_below_a_wildcard_is_there(primary):
    """The zone has a TXT record of *, which is no record of the key's name."""
    publishing = publisher(Settings({"DKPUBLISH": primary.publish}))
    publishing.remove([RECORD._replace(text="any")])
    publishing.add([RECORD])
    publishing.remove([RECORD])


def test_an_alias_has_nothing_to_remove(primary):
    record = RECORD._replace(name=f"alias._domainkey.{DOMAIN}")
    assert publisher(Settings({"DKPUBLISH": primary.publish})).remove([record]) == ""


@pytest.mark.parametrize("server", ["localhost", "::1"])
def test_name_or_address(primary, server):
    """A name may have an address where nobody answers."""
    if server == "::1":
        try:
            socket.create_connection((server, primary.port)).close()
        except OSError:
            pytest.skip("no server at ::1")
    publishing = publisher(Settings({"DKPUBLISH": primary.with_key(primary.key, server)}))
    publishing.add([RECORD])
    publishing.remove([RECORD])


def test_a_journal_that_cannot_be_written(tmp_path):
    with real_name_servers.knotd(tmp_path / "server") as primary:
        shutil.rmtree(tmp_path / "server" / "database")
        assert "failed (SERVFAIL); remedy: see its log; often it can't write" in trouble(
            primary.publish)


def test_not_signed(tmp_path):
    """A server that ignores the signature, as one on the way could."""
    key = real_name_servers.Key(tmp_path / "key")
    with DnsServer({}) as server:
        said = trouble(f"nsupdate:{server.address} {key.path}")
        assert "sign" in said.partition("; remedy")[0]
        assert "is not authoritative" in trouble(f"nsupdate:{server.address}", verb="remove")


def test_silent(monkeypatch):
    monkeypatch.setattr(update_message, "SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        said = trouble(f"nsupdate:127.0.0.1#{port}")
        assert f"port {port} by TCP, asked about {RECORD.name}: no answer in 0.2 seconds" in said


def test_nobody_there():
    port = real_name_servers.free_port()
    assert "Connection refused; remedy: see that it runs" in trouble(f"nsupdate:127.0.0.1#{port}")
    assert "which DKPUBLISH names: " in trouble("nsupdate:name.invalid")


def test_packages_are_missing(monkeypatch):
    monkeypatch.setattr("lib.admin.check_packages.version", lambda package: None)
    assert "no updates can be sent: dkimpy is not installed; dnspython" in trouble(
        "nsupdate:127.0.0.1")
