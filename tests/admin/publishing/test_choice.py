# SPDX-License-Identifier: MIT
"""DKPUBLISH: its forms, what is said of others, and what is shown for publishing by hand."""

import pytest

from lib.admin.publishing.choice import publisher
from lib.admin.publishing.nsupdate import Nsupdate
from lib.admin.publishing.printing import Printing
from lib.admin.publishing.program import Program
from lib.admin.publishing.record import Record
from lib.admin.publishing.tinydns_data import TinydnsData
from lib.errors import SettingTrouble
from lib.settings import Settings
from tests.support.administrator import admin, records      # noqa: F401
from tests.support.documents import page


def chosen(value):
    return publisher(Settings({"DKPUBLISH": value}))


@pytest.mark.parametrize("value, kind, parts", [
    ("", Printing, {}),
    ("print", Printing, {}),
    ("tinydns:/etc/tinydns/root/data", TinydnsData, {"path": "/etc/tinydns/root/data"}),
    ("tinydns:/a b/data", TinydnsData, {"path": "/a b/data"}),
    ("nsupdate:ns.example.com", Nsupdate, {"server": "ns.example.com", "port": 53,
                                           "key_file": ""}),
    ("nsupdate:192.0.2.1#5353 /etc/key", Nsupdate, {"server": "192.0.2.1", "port": 5353,
                                                    "key_file": "/etc/key"}),
    ("nsupdate: 2001:db8::1#1\t/etc/key", Nsupdate, {"server": "2001:db8::1", "port": 1,
                                                     "key_file": "/etc/key"}),
    ("nsupdate:fe80::1%eth0", Nsupdate, {"server": "fe80::1%eth0"}),
    ("run:/sbin/publish", Program, {"arguments": ["/sbin/publish"]}),
    ("run:/sbin/publish -v  x;y", Program, {"arguments": ["/sbin/publish", "-v", "x;y"]}),
])
def test_forms(value, kind, parts):
    found = chosen(value)
    assert type(found) is kind
    assert {name: getattr(found, name) for name in parts} == parts
    assert found.by_itself == (kind is not Printing)


@pytest.mark.parametrize("value", [
    "no", "Print", "print:", "tinydns", "tinydns:", "tinydns:data", "tinydns:/a\x01b", "run:",
    "run:publish", "run:~/publish", "nsupdate", "nsupdate:", "nsupdate:a..b", "nsupdate:a;b",
    "nsupdate:ns.example.com#", "nsupdate:ns.example.com#0", "nsupdate:ns.example.com#65536",
    "nsupdate:ns.example.com#\u0663", "nsupdate:ns.example.com:53", "nsupdate:192.0.2.1 key",
    "nsupdate:192.0.2.1 hmac-sha256:qmail-dk:c2VjcmV0", "nsupdate:192.0.2.1 /etc/key c2VjcmV0",
    "nsupdate:b\xfccher.example"])
def test_refused(value):
    """The forms are shown, the value is not: it may have a secret in it."""
    with pytest.raises(SettingTrouble) as raised:
        chosen(value)
    said = str(raised.value)
    for form in ("print", "tinydns:FILE", "nsupdate:SERVER[#PORT] [KEYFILE]", "run:PROGRAM"):
        assert form in said
    assert "c2VjcmV0" not in said and "\n" not in said


def test_check_says_so(admin):
    admin.environment["DKPUBLISH"] = "tinydns:data"
    assert "FAIL settings: DKPUBLISH is none of: print, tinydns:FILE" in admin.run("check").stdout


def test_forms_of_the_manual():
    section = page("qmail-dk-control.5").partition(".Sh PUBLISHING RECORDS\n")[2].partition(
        "\n.Sh")[0]
    assert [line.split()[2] for line in section.splitlines() if line.startswith(".It Cm ")] == [
        "print", "tinydns", "nsupdate", "run"]


def test_by_hand():
    wanted = [Record("s1._domainkey.example.com", 3600, "v=DKIM1; p=A:"),
              Record("_domainkey.example.com", 3600, "o=~")]
    shown = chosen("print").add(wanted)
    assert records(shown) == {"s1._domainkey.example.com": "v=DKIM1; p=A\\072",
                              "_domainkey.example.com": "o=~"}
    assert 's1._domainkey.example.com. 3600 IN TXT "v=DKIM1; p=A:"\n' in shown
    assert "# publish\n" in shown and "withdraw" not in shown
    assert chosen("print").remove(wanted) == shown.replace("publish", "withdraw")
    assert chosen("print").add([]) == chosen("print").remove([]) == ""
