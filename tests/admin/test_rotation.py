# SPDX-License-Identifier: MIT
"""qmail-dk rotate: mail keeps verifying while its key is changed."""

import os
import threading
import time

import pytest

from lib.admin import rotation
from lib.signing.key_files import SigningKey
from tests.support import judges, rspawn, signing
from tests.support.administrator import DOMAIN, GROUP, Administrator, records
from tests.support.dns_server import DnsServer

MESSAGE = b"From: joe@example.com\nTo: jane@example.net\nSubject: test\n\nHello.\n"

ORIGINAL = "#!/bin/sh\ncat >\"$SCRATCH/sent.$$\"\nprintf 'r\\0K%s\\n\\0' \"$SCRATCH/sent.$$\"\n"


@pytest.fixture
def admin(tmp_path):
    with DnsServer({}) as server:
        admin = Administrator(tmp_path)
        admin.published = server.zone
        admin.environment["DNSCACHEIP"] = server.address
        yield admin


def publish(admin, output):
    """Puts the records that a command printed into the DNS -> the selectors' names."""
    for name, text in records(output).items():
        admin.published[name] = [text]


def make_next(admin, selector="s2"):
    return admin.succeed("rotate", DOMAIN, "--selector", selector, "--group", GROUP)


def links(admin):
    """The links beside the keys of DOMAIN."""
    directory = admin.keys / DOMAIN
    return {path.name: os.readlink(path) for path in directory.iterdir() if path.is_symlink()}


def test_steps(admin):
    publish(admin, admin.keygen("s1"))
    output = make_next(admin)
    assert links(admin) == {"default": "s1", "default.next": "s2"}
    assert list(records(output)) == ["s2._domainkey.example.com"]

    # All that are to be in the DNS, and in the order of their life.
    assert [name.partition(".")[0] for name in records(admin.succeed("dns", DOMAIN))] == [
        "s1", "s2", "_domainkey"]

    assert "is not in the DNS" in admin.refused("rotate", DOMAIN, "--activate")
    publish(admin, output)
    assert "s2 signs from now on" in admin.succeed("rotate", DOMAIN, "--activate")
    assert links(admin) == {"default": "s2", "default.former": "s1"}

    (admin.control / "queuelifetime").write_text("86400\n")
    before = last_day()
    output = admin.succeed("rotate", DOMAIN, "--retire")
    said = output.partition("s1._domainkey.example.com must stay in the DNS until ")[2]
    assert said[:len(before)] in (before, last_day())       # midnight may be in between
    command = output.partition("rm ")[2].split()
    assert command == [str(admin.keys / DOMAIN / name) for name in ("default.former", "s1")]
    for path in command:
        os.unlink(path)
    assert "no former key" in admin.refused("rotate", DOMAIN, "--retire")


def last_day():
    """That of the record: queuelifetime, the TTL, and a day more."""
    return time.strftime("%Y-%m-%d", time.localtime(time.time() + 86400 + 3600 + 86400))


# A line of control/queuelifetime -> its seconds, as qmail's scan_ulong() reads it.
LIFETIMES = {"86400": 86400, "1209600 seconds": 1209600, "1209600s": 1209600, "0": 0,
             "": 604800, " 3600": 604800, "-1": 604800, "a week": 604800,
             "9" * 30: 2 ** 31 - 1, "9" * 5000: 2 ** 31 - 1}


@pytest.mark.parametrize("line", LIFETIMES, ids=lambda line: line[:20])
def test_queue_lifetime(tmp_path, line):
    (tmp_path / "queuelifetime").write_text(line + "\n")
    assert rotation.queue_lifetime(str(tmp_path)) == LIFETIMES[line]
    former = rotation.Former("s1", 1.8e9, ["default.former"])
    assert rotation.date(rotation.needed_until(former, str(tmp_path)))


def test_first_key(admin):
    """keygen is the first step, too: mail is signed when its record can be found."""
    output = admin.make_key("s1")
    assert "does not sign yet" in output
    assert f"qmail-dk rotate {DOMAIN} --activate\n" in output
    assert admin.run("sign", stdin=MESSAGE).stdout.encode() == MESSAGE
    assert "waits for qmail-dk rotate example.com --activate" in admin.run("why", DOMAIN).stdout
    assert "is not in the DNS" in admin.refused("rotate", DOMAIN, "--activate")
    publish(admin, output)
    assert (f"s1 signs from now on; next: qmail-dk check {DOMAIN}\n"
            in admin.succeed("rotate", DOMAIN, "--activate"))
    assert links(admin) == {"default": "s1"}
    assert admin.succeed("verify", stdin=admin.run("sign", stdin=MESSAGE).stdout.encode())
    assert "no former key" in admin.refused("rotate", DOMAIN, "--retire")


def other_key(admin, record):
    """The record of another key."""
    return [signing.record(signing.key("rsa.pem"))]


def revoked(admin, record):
    return [record.partition("p=")[0] + "p="]


def two(admin, record):
    return [record, record + "; n=again"]


def damaged_beside(admin, record):
    return [record, record[:-11]]


BAD_RECORDS = {
    "other key": (other_key, "not the public half"),
    "revoked": (revoked, "revoked"),
    "two": (two, "2 key records"),
    "damaged beside": (damaged_beside, "the record is only the beginning of the right one"),
    "SERVFAIL": (lambda *_: {"rcode": "SERVFAIL"}, "can't be asked"),
    "no key record": (lambda *_: ["v=spf1 -all"], "no key record"),
    "for other services": (lambda _, record: [record + "; s=tlsrpt"], "s= excludes mail"),
}


@pytest.mark.parametrize("name", BAD_RECORDS)
def test_bad_record(admin, name):
    spoil, words = BAD_RECORDS[name]
    admin.keygen("s1")
    ((name, text),) = records(make_next(admin)).items()
    admin.published[name] = spoil(admin, text)
    assert words in admin.refused("rotate", DOMAIN, "--activate")
    admin.succeed("rotate", DOMAIN, "--activate", "--force")
    assert links(admin)["default"] == "s2"


def no_key(admin):
    (admin.keys / DOMAIN / "default").unlink()
    return (), "has no rsa key"


def other_type(admin):
    return ("--type", "ed25519"), "has no ed25519 key; make one: qmail-dk keygen example.com --type"


def nothing_next(admin):
    return ("--activate",), "no next key"


def nothing_former(admin):
    return ("--retire",), "no former key"


def next_exists(admin):
    make_next(admin)
    return ("--selector", "s3", "--group", GROUP), "default.next exists already"


def next_is_gone(admin):
    make_next(admin)
    (admin.keys / DOMAIN / "s2").unlink()
    return ("--selector", "s3", "--group", GROUP), "link to nothing"


def former_not_retired(admin):
    for selector in "s2", "s3":
        make_next(admin, selector)
        if selector == "s2":
            admin.succeed("rotate", DOMAIN, "--activate", "--force")
    return ("--activate", "--force"), "has not been retired"


def selector_taken(admin):
    return ("--selector", "s1", "--group", GROUP), "s1 exists already"


def two_steps(admin):
    return ("--activate", "--retire"), "not allowed with"


def forced_to_nothing(admin):
    return ("--force",), "goes with --activate"


def selector_to_activate(admin):
    make_next(admin)
    return ("--activate", "--selector", "s2"), "are for making the next key"


@pytest.mark.parametrize("prepare", [
    no_key, other_type, nothing_next, nothing_former, next_exists, next_is_gone,
    former_not_retired, selector_taken, two_steps, forced_to_nothing,
    selector_to_activate], ids=lambda f: f.__name__)
def test_refused(admin, prepare):
    admin.keygen("s1")
    arguments, words = prepare(admin)
    assert words in admin.refused("rotate", DOMAIN, *arguments)


def test_key_that_is_no_link(admin):
    """As older tools made it: its file is kept, and so is its selector."""
    admin.keygen("default")
    pem = (admin.keys / DOMAIN / "default").read_bytes()
    publish(admin, make_next(admin))
    admin.succeed("rotate", DOMAIN, "--activate")
    assert links(admin) == {"default": "s2"}
    assert (admin.keys / DOMAIN / "default.former").read_bytes() == pem
    assert list(records(admin.succeed("dns", DOMAIN)))[:2] == [
        f"s2._domainkey.{DOMAIN}", f"default._domainkey.{DOMAIN}"]
    output = admin.succeed("rotate", DOMAIN, "--retire")
    assert "default._domainkey.example.com must stay" in output
    assert output.partition("rm ")[2].split() == [str(admin.keys / DOMAIN / "default.former")]


def test_key_of_several_domains(admin):
    """It is not told to be removed, while a link of another domain leads to it."""
    admin.keygen("s1")
    other = admin.keys / "customer.example"
    other.mkdir()
    (other / "s1").symlink_to(admin.keys / DOMAIN / "s1")
    (other / "default").symlink_to("s1")
    make_next(admin)
    admin.succeed("rotate", DOMAIN, "--activate", "--force")
    output = admin.succeed("rotate", DOMAIN, "--retire")
    assert f"must stay, since others sign with it: {other}/default\n" in output
    assert output.partition("rm ")[2].split() == [str(admin.keys / DOMAIN / "default.former")]


@pytest.mark.root
def test_unreadable_key_is_not_activated(admin):
    """With --force neither, which is about the DNS: all mail of the domain would wait."""
    os.chown(admin.directory / "queue" / "lock" / "tcpto", 65534, 65534)
    admin.make_key("s1")
    line = admin.refused("rotate", DOMAIN, "--activate", "--force")
    assert "can't open it" in line and "--force" not in line


def test_activation_that_was_interrupted(admin):
    """Between its two steps: the key is still the old one."""
    admin.keygen("s1")
    make_next(admin)
    (admin.keys / DOMAIN / "default.former").symlink_to("s1")
    admin.succeed("rotate", DOMAIN, "--activate", "--force")
    assert links(admin) == {"default": "s2", "default.former": "s1"}


def test_signing_while_rotating(admin):
    """Deliveries all the while, each of which verifies by what was in the DNS then."""
    publish(admin, admin.keygen("s0"))
    original = admin.directory / "original"
    original.write_text(ORIGINAL)
    original.chmod(0o755)
    message = admin.directory / "message"
    message.write_bytes(MESSAGE)
    launcher = rspawn.install_launcher(admin.directory)
    environment = {**admin.environment, "DKREMOTE": str(original), "SCRATCH": str(admin.directory)}
    sent = []
    over = threading.Event()

    def deliver():
        while not over.is_set():
            delivery = rspawn.deliver([launcher], message, environment)
            sent.append((delivery, {name: texts[0] for name, texts in admin.published.items()}))

    threads = [threading.Thread(target=deliver) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(1, 4):
            count = len(sent)
            output = make_next(admin, f"s{number}")
            publish(admin, output)
            admin.succeed("rotate", DOMAIN, "--activate")
            command = admin.succeed("rotate", DOMAIN, "--retire").partition("rm ")[2].split()
            while len(sent) < count + 10 and any(thread.is_alive() for thread in threads):
                time.sleep(0.01)
            for path in command:
                os.unlink(path)
    finally:
        over.set()
        for thread in threads:
            thread.join()

    selectors = set()
    for delivery, published in sent:
        assert delivery.verdict == "K", delivery
        with open(delivery.text.strip(), "rb") as file:
            arrived = file.read().replace(b"\n", b"\r\n")
        (verdict,) = judges.dkimpy(arrived, published)
        assert verdict.result == "pass", verdict
        selectors.add(verdict.selector)
    assert selectors == {"s0", "s1", "s2", "s3"}


NOW = time.mktime((2026, 6, 1, 12, 0, 0, 0, 0, -1))
MODIFIED = NOW - 86400 * 3

# Selector -> the day that counts, None for that of the file.
DATES = {
    "s20260101": (2026, 1, 1), "s20260101b": (2026, 1, 1), "ed20251231z": (2025, 12, 31),
    "20260101": (2026, 1, 1), "key-20260101": (2026, 1, 1), "s20260601": (2026, 6, 1),
    "default": None, "s2026a": None, "s20261301": None, "s20260230": None, "s12345678": None,
    "s20260602": None, "s99991231": None, "s202601011": None, "s20260101.x": None, "s1": None,
}


@pytest.mark.parametrize("selector", DATES)
def test_when_a_key_was_made(tmp_path, monkeypatch, selector):
    path = tmp_path / selector
    path.touch()
    os.utime(path, (MODIFIED, MODIFIED))
    monkeypatch.setattr(time, "time", lambda: NOW)
    key = SigningKey(b"example.com", selector.encode(), os.fsencode(path), False, None)
    expected = (MODIFIED if DATES[selector] is None
                else time.mktime((*DATES[selector], 0, 0, 0, 0, 0, -1)))
    assert rotation.made(key) == expected
