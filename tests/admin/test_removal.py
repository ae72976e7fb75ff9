# SPDX-License-Identifier: MIT
"""qmail-dk remove: no delivery finds half of a domain's keys, and records stay long enough."""

import os
import posix

import pytest

from lib.signing import key_files
from tests.support.administrator import GROUP, records, tree
from tests.support.due import DAY, due_host

ONE, HOST = "example.com", "host.example.com"
MESSAGE = b"From: joe@host.example.com\nSubject: test\n\nHello.\n"


@pytest.fixture
def host(tmp_path):
    with due_host(tmp_path, ONE, HOST) as host:
        host.succeed("keygen", HOST, "--selector", "s1", "--group", GROUP)
        host.due()
        host.clock.advance(DAY)
        yield host


def signs(host):
    """d= and s= of what the host signs, as text."""
    return "".join(line for line in host.run("sign", stdin=MESSAGE).stdout.replace(
        "\n\t", "").split(";") if " d=" in line or " s=" in line)


def checked(host, *domains):
    return [line for line in host.run("check", *domains).stdout.splitlines()
            if f" {HOST}: " in line and "SPF" not in line and "DMARC" not in line]


def test_steps(host):
    assert "d=host.example.com" in signs(host)
    output = host.succeed("remove", HOST)
    assert output.startswith(f"{HOST} does not sign any more; qmail-dk rotate --due")
    assert f"\ns1._domainkey.{HOST} stays in the DNS until 20" in output
    assert signs(host) == ""
    assert host.links(HOST) == {"default.removed": "s1"}
    for domains in (), (HOST,):
        (line,) = [line for line in checked(host, *domains) if "removed" in line]
        assert line.startswith(f"ok   {HOST}: has been removed on 20")
        assert f"its record s1._domainkey.{HOST} stays until 20" in line
    assert not [line for line in checked(host) if "directory for keys" in line]
    assert "must stay in the DNS until" in host.succeed("rotate", HOST, "--retire")
    assert list(records(host.succeed("dns", HOST))) == host.published()[::-1]
    assert "have been removed" in host.refused("remove", HOST)

    host.clock.advance(8 * DAY)
    assert host.due() == [] and f"s1._domainkey.{HOST}" in host.published()
    host.clock.advance(DAY)
    assert f"warn {HOST}: has been removed" in "".join(checked(host, HOST))
    assert host.due() == [f"done {HOST}: s1._domainkey.{HOST} and its key have been withdrawn"]
    assert not (host.keys / HOST).exists()
    assert host.published() == [f"_domainkey.{HOST}"]
    assert host.due() == []


def test_a_domain_above_signs_then(host):
    host.succeed("keygen", ONE, "--selector", "s1", "--group", GROUP)
    host.due()
    assert f"its mail is signed as {ONE} from now on" in host.succeed("remove", HOST)
    assert "d=example.com" in signs(host)


# Names beside "default -> s1" -> the names that are left of all, and that a run leaves then.
# A next key is s2.
STATES = {
    "next": ({"default.next": "s2"}, {"default.removed": "s1", "default.unused": "s2"},
             {"default.removed": "s1"}),
    "former": ({"default.former": "s2"}, {"default.removed": "s1", "default.former": "s2"},
               {"default.removed": "s1", "default.former": "s2"}),
    "activating": ({"default.former": "s1", "default.next": "s2"},
                   {"default.removed": "s1", "default.unused": "s2"}, {"default.removed": "s1"}),
    "removed before": ({"default.removed": "s2"}, {"default.former": "s1",
                                                   "default.removed": "s2"},
                       {"default.former": "s1", "default.removed": "s2"}),
    "removing": ({"default": None, "default.removed": "s1", "default.next": "s2"},
                 {"default.removed": "s1", "default.unused": "s2"}, {"default.removed": "s1"}),
}


@pytest.mark.parametrize("name", STATES)
def test_what_becomes_of_the_other_keys(host, name):
    before, after, later = STATES[name]
    host.succeed("rotate", HOST, "--selector", "s2", "--group", GROUP)
    for link, target in {"default.next": None, **before}.items():
        if target is None or os.path.lexists(host.keys / HOST / link):
            (host.keys / HOST / link).unlink()
        if target:
            (host.keys / HOST / link).symlink_to(target)
    host.succeed("remove", HOST)
    assert host.links(HOST) == after
    host.due()
    assert host.links(HOST) == later
    host.clock.advance(9 * DAY)
    host.due()
    assert not (host.keys / HOST).exists()


def test_a_domain_that_comes_back(host):
    """It signs anew, and the old record still goes at its time."""
    host.succeed("remove", HOST)
    host.succeed("keygen", HOST, "--selector", "s2", "--group", GROUP)
    host.due()
    assert host.links(HOST) == {"default": "s2", "default.removed": "s1"}
    host.clock.advance(9 * DAY)
    host.due()
    assert sorted(os.listdir(host.keys / HOST)) == ["default", "s2"]


def no_key(host):
    return "other.example", "has no key"


def no_name_left(host):
    for name in "former", "removed":
        (host.keys / HOST / f"default.{name}").symlink_to("s0")
    return HOST, "remedy: mv"


def same_directory(host):
    (host.keys / ONE).symlink_to(HOST)
    return HOST, "would not be signed either"


@pytest.mark.parametrize("prepare", [no_key, no_name_left, same_directory],
                         ids=lambda f: f.__name__)
def test_refused(host, prepare):
    domain, words = prepare(host)
    assert words in host.refused("remove", domain)


@pytest.mark.parametrize("call", ["readlink", "open"])
@pytest.mark.parametrize("is_link", [True, False], ids=["link", "file"])
def test_no_delivery_fails_meanwhile(tmp_path, monkeypatch, is_link, call):
    """It finds the key or none, wherever the rename falls between its calls."""
    path = tmp_path / "example.com" / "default"
    path.parent.mkdir()
    path.with_name("s1").write_bytes(b"key")
    if is_link:
        path.symlink_to("s1")
    else:
        path.write_bytes(b"key")
    calls = []

    def removed_before(*arguments):
        if not calls:
            calls.append(path.rename(path.with_name("default.removed")))
        return real(*arguments)

    real = getattr(posix, call)
    monkeypatch.setattr(posix, call, removed_before)
    found = key_files.key_files(b"example.com", f"{tmp_path}/%/default")
    assert calls and [file[:3:2] for file in found] == (
        [(b"s1", b"key")] if is_link and call == "open" else [])


def test_many(host):
    """Each in its turn; one that can't be removed is named."""
    host.succeed("keygen", ONE, "--selector", "s1", "--group", GROUP)
    listed = f"{HOST}\n# not any more\nother.example\n\n{ONE}\n"
    done = host.run("remove", "-", stdin=listed.encode())
    assert done.returncode == 100
    assert done.stderr.startswith("qmail-dk: other.example: other.example has no key in ")
    assert len(done.stderr.splitlines()) == 1
    assert [domain in done.stdout for domain in (ONE, HOST)] == [True, True]
    assert not [path for path in tree(host.keys) if path.endswith("/default")]
