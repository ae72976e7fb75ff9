# SPDX-License-Identifier: MIT
"""qmail-dk rotate --due: each step at its time, and never one before it."""

import fcntl
import os
import pty
import shutil
import subprocess

import pytest

from lib.admin import due, key_places, key_storage
from lib.settings import Settings
from tests.support import signing
from tests.support.administrator import GROUP, records, tree
from tests.support.due import DAY, due_host

ONE, TWO = "example.com", "example.net"
S1, S2 = f"s1._domainkey.{ONE}", f"s2._domainkey.{ONE}"


@pytest.fixture
def host(tmp_path):
    with due_host(tmp_path, ONE, TWO) as host:
        host.succeed("keygen", ONE, "--selector", "s1", "--group", GROUP)
        host.due()
        assert host.links(ONE) == {"default": "s1"}
        host.clock.advance(DAY)
        yield host


def make_next(host, selector="s2", domain=ONE):
    host.succeed("rotate", domain, "--selector", selector, "--group", GROUP)


def files(host, domain=ONE):
    return sorted(os.listdir(host.keys / domain))


def test_the_life_of_a_key(host):
    """From a second key that is due until the first one has gone; nothing is said between."""
    policy = f"_domainkey.{ONE}"
    assert host.published() == host.published("b") == [policy, S1]
    assert host.due() == []
    host.clock.advance(180 * DAY)
    lines = host.due()
    selector = host.links(ONE)["default"]
    new = f"{selector}._domainkey.{ONE}"
    assert lines[1:] == [f"done {ONE}: {selector} has been made: it will be the next key",
                         f"done {ONE}: {selector} signs from now on"]
    assert lines[0].startswith(f"wait {ONE}: {S1} is withdrawn after 20")
    assert host.links(ONE) == {"default": selector, "default.former": "s1"}
    assert host.published() == sorted([policy, S1, new])
    host.clock.advance(8 * DAY)     # of queuelifetime and one more, but not the TTL
    before = tree(host.directory / "keys")
    assert host.due() == [] and tree(host.directory / "keys") == before
    host.clock.advance(3700)
    assert host.due() == [f"done {ONE}: {S1} and its key have been withdrawn"]
    assert files(host) == ["default", selector] and host.published() == [policy, new]
    assert host.due() == []


def lags(host):
    host.servers[1].zone = {}


def is_dead(host):
    host.servers[1].zone = {S2: {"timeout": True}}


def fails(host):
    host.servers[1].zone = {S2: {"rcode": "SERVFAIL"}}


def has_no_address(host):
    del host.resolver.zone["b.ns.test"]


def has_no_route(host):
    host.resolver.zone["b.ns.test"] = {"AAAA": ["2001:db8::1"]}


def has_another(host):
    host.servers[1].zone = {S2: [signing.record(signing.key("rsa.pem"))]}


def has_no_servers(host):
    host.resolver.zone[ONE] = {"NS": []}


# What is wrong with one name server -> what is said of it.
NOT_YET = {
    lags: "is not in the DNS: NXDOMAIN (says b.ns.test (127.0.0.3))",
    is_dead: "no answer: timeout (says b.ns.test (127.0.0.3))",
    fails: "no answer: SERVFAIL (says b.ns.test (127.0.0.3))",
    has_no_address: "it has no address (says b.ns.test)",
    has_no_route: "(says b.ns.test",        # or a timeout, if there is a route
    has_another: "p= is not the public half of this private key (says b.ns.test (127.0.0.3))",
    has_no_servers: "is not known of any name server: example.com has no NS records",
}


@pytest.mark.parametrize("spoil", NOT_YET, ids=lambda f: f.__name__)
def test_not_before_each_name_server_has_the_record(host, spoil):
    """It waits for a day without a word, then says for whom; it goes on when that is over."""
    make_next(host)
    zone, addresses = host.servers[1].zone, {**host.resolver.zone}
    spoil(host)
    assert host.due() == []
    assert host.links(ONE) == {"default": "s1", "default.next": "s2"}
    assert S2 in host.published()
    host.clock.advance(DAY + 60)
    (line,) = host.due()
    assert line.startswith(f"todo {ONE}: the next key waits for its record {S2}: ")
    assert NOT_YET[spoil] in line
    host.servers[1].zone = zone
    host.resolver.zone.update(addresses)
    assert f"done {ONE}: s2 signs from now on" in host.due()
    assert host.links(ONE) == {"default": "s2", "default.former": "s1"}


def test_by_hand(host):
    """DKPUBLISH=print: each run says what to do until it is done."""
    host.environment["DKPUBLISH"] = "print"
    make_next(host)
    for _ in range(2):
        lines = host.due()
        assert lines[0].startswith(f"todo {ONE}: the next key waits for its record {S2}: ")
        assert list(records("\n".join(lines))) == [S2]
    host.change_dns("add", S2, text=records("\n".join(lines))[S2])
    assert f"done {ONE}: s2 signs from now on" in host.due()
    assert host.due() == []
    host.clock.advance(9 * DAY)
    for _ in range(2):
        lines = host.due()
        assert lines[0].startswith(f"todo {ONE}: withdraw {S1}: it is not needed since 20")
        assert lines[0].endswith("a.ns.test (127.0.0.2), b.ns.test (127.0.0.3) still has it")
        assert list(records("\n".join(lines))) == [S1]
        assert host.links(ONE) == {"default": "s2", "default.former": "s1"}
    host.change_dns("remove", S1)
    assert host.due() == [f"done {ONE}: {S1} and its key have been withdrawn"]
    assert files(host) == ["default", "s2"]


def test_one_that_fails_does_not_stop_the_others(host):
    for domain, selector in ((TWO, "s1"), (ONE, "s2")):
        host.succeed("rotate" if domain == ONE else "keygen", domain, "--selector", selector,
                     "--group", GROUP)
    (host.directory / "refuses").write_text(ONE)
    lines = host.due(code=1)
    assert lines[0].startswith(f"FAIL {ONE}: ") and "the provider says no (exit code 1)" in lines[0]
    assert lines[-1] == f"done {TWO}: s1 signs from now on"
    assert host.links(ONE)["default"] == "s1" and host.links(TWO) == {"default": "s1"}
    (host.directory / "refuses").unlink()
    assert f"done {ONE}: s2 signs from now on" in host.due()


@pytest.mark.parametrize("name", [TWO, f"{TWO}/default"], ids=["directory", "link"])
def test_a_link_to_itself_does_not_stop_the_others(host, name):
    path = host.keys / name
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(path.name)
    make_next(host)
    assert f"done {ONE}: s2 signs from now on" in host.due(code=1)
    host.clock.advance(9 * DAY)
    *failed, withdrawn = host.due(code=1)
    assert all(line.startswith(f"FAIL {TWO}: ") for line in failed)
    assert withdrawn == f"done {ONE}: {S1} and its key have been withdrawn"


def test_a_domain_that_is_removed_meanwhile(host):
    make_next(host)
    host.succeed("keygen", TWO, "--selector", "s1", "--group", GROUP)
    name = f"s1._domainkey.{TWO}"
    host.change_dns("add", name, text=records(host.succeed("dns", TWO))[name])
    remover = host.directory / "remover"
    remover.write_text(f"#!/bin/sh\nDKSIGN={host.environment['DKSIGN']} exec {host.command} "
                       f"remove {ONE}\n")
    remover.chmod(0o755)
    host.environment["DKPUBLISH"] = f"run:{remover}"
    assert host.due() == [f"done {TWO}: s1 signs from now on"]
    assert host.links(ONE) == {"default.removed": "s1", "default.unused": "s2"}


def test_a_clock_that_is_slow(host):
    """It was so when the key changed: the former one's time does not begin before the next."""
    make_next(host)
    host.clock.advance(-3000 * DAY)
    host.due()
    host.clock.advance(3000 * DAY)
    assert host.due() == []
    assert host.links(ONE) == {"default": "s2", "default.former": "s1"}
    assert S1 in host.published()


def test_named_domains(host):
    make_next(host)
    host.succeed("keygen", TWO, "--selector", "s1", "--group", GROUP)
    lines = host.due(TWO, "other.example", "x", code=1)
    assert lines == [
        "FAIL other.example: has no key in a directory of its own by DKSIGN; make one: qmail-dk "
        "keygen other.example", "FAIL x: 'x' is not a domain name",
        f"done {TWO}: s1 signs from now on"]
    assert host.links(ONE) == {"default": "s1", "default.next": "s2"}


def test_on_a_terminal(host):
    """There it says that nothing is due, and what comes next."""
    ours, theirs = pty.openpty()
    done = subprocess.run([host.command, "rotate", "--due"], stdout=theirs, stderr=theirs,
                          env=host.environment)
    os.close(theirs)
    with open(ours, "rb", buffering=0) as terminal:
        line = terminal.read(4096).decode()
    assert done.returncode == 0
    assert line.startswith(f"nothing is due; the next key to be changed is {ONE}'s, on 20")


@pytest.mark.parametrize("kilobytes", [97_656, 300_000])
def test_many_domains_under_a_softlimit(host, kilobytes):
    """Each thread has a stack; as many as were wanted would leave no memory to work with."""
    host.environment["DKTIMEOUT"] = "20"    # name servers answer late on a busy machine
    make_next(host)
    domains = [f"d{number}.example" for number in range(64)]
    host.serve(*domains)
    for domain in domains:
        shutil.copytree(host.keys / ONE, host.keys / domain, symlinks=True)
    done = host.run("rotate", "--due", "--group", GROUP,
                    command=["/bin/sh", "-c", f'ulimit -v {kilobytes}; exec "$@"', "sh"])
    assert (done.returncode, done.stderr) == (0, ""), done
    assert {host.links(domain)["default"] for domain in domains} == {"s2"}


@pytest.mark.parametrize("before", ["", "/etc/domainkeys-of-old/all:"])
def test_two_at_once(host, before):
    host.environment["DKSIGN"] = before + host.environment["DKSIGN"]
    with key_storage.lock(host.keys):       # as any user could
        host.succeed("rotate", "--due")
    lock = host.keys / due.LOCK
    assert lock.stat().st_mode & 0o777 == 0o600
    with open(lock, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        line = host.refused("rotate", "--due")
    assert line.startswith("qmail-dk: another qmail-dk rotate --due is at work and does what ")


# What is on the disk beside "default -> s1", as kills leave it, and the links after a run.
# A next key s2 has been made; (name, target) are links, a name alone is a file to remove.
KILLED = {
    "made": ([], {"default": "s2", "default.former": "s1"}),
    "activating": ([("default.former", "s1")], {"default": "s2", "default.former": "s1"}),
    "before the other hosts": ([("default.unsynced", "")], {"default": "s2",
                                                            "default.former": "s1"}),
    "withdrawing": ([("default.former", "s0")], {"default": "s2", "default.former": "s1"}),
}


@pytest.mark.parametrize("name", KILLED)
def test_goes_on_after_a_kill(host, name):
    left, links = KILLED[name]
    make_next(host)
    for link, target in left:
        path = host.keys / ONE / link
        path.symlink_to(target) if target else path.touch()
    host.clock.advance(9 * DAY)
    host.due()
    assert host.links(ONE) == links
    assert files(host) == sorted({*links, "s1", "s2"})
    assert host.due() == []


def shared_key(host):
    """The key of another domain, as doc/many-domains links it."""
    (host.keys / TWO).mkdir()
    (host.keys / TWO / "s1").symlink_to(host.keys / ONE / "s1")
    (host.keys / TWO / "default").symlink_to("s1")


def shared_directory(host):
    (host.keys / TWO).symlink_to(ONE)


def shared_link(host):
    """It would sign with the next key of ONE, by its own selector, as soon as ONE does."""
    (host.keys / TWO).mkdir()
    (host.keys / TWO / "default").symlink_to(f"../{ONE}/default")


def pattern_without_domain(host):
    host.environment["DKSIGN"] += f":{host.keys}/{ONE}/default"


def unreadable(host):
    (host.keys / TWO).mkdir()
    (host.keys / TWO / "default").write_text("no key\n")


# What is said of TWO, whose key is old; nothing where the run merely waits.
LEFT_ALONE = {shared_key: "which others have, too: change it by hand", shared_directory: "",
              unreadable: f"FAIL {TWO}: "}


@pytest.mark.parametrize("prepare", LEFT_ALONE, ids=lambda f: f.__name__)
def test_left_alone(host, prepare):
    """Nothing is changed that would change for others, too; nor what is no key."""
    prepare(host)
    before = tree(host.keys / TWO)
    host.clock.advance(200 * DAY)
    output = host.run("rotate", "--due", "--group", GROUP).stdout
    assert tree(host.keys / TWO) == before
    assert LEFT_ALONE[prepare] in output and bool(LEFT_ALONE[prepare]) == bool(output)


@pytest.mark.parametrize("prepare", [shared_directory, shared_link, pattern_without_domain],
                         ids=lambda f: f.__name__)
def test_links_that_others_sign_by_stay(host, prepare):
    prepare(host)
    make_next(host)
    host.clock.advance(200 * DAY)
    host.run("rotate", "--due", "--group", GROUP)
    assert host.links(ONE) == {"default": "s1", "default.next": "s2"}
    assert "would not be signed either" in host.refused("remove", ONE)


def test_a_key_that_others_use_stays(host):
    """Its record, too: an alias of the other domain names it."""
    shared_key(host)
    host.clock.advance(200 * DAY)
    host.due()
    host.clock.advance(9 * DAY)
    assert host.due() == []
    assert S1 in host.published() and {"s1", "default.former"} < set(files(host))
    (host.keys / TWO / "default").unlink()
    assert host.due() == [f"done {ONE}: {S1} and its key have been withdrawn"]


def test_the_work_grows_with_the_number_of_keys(host, monkeypatch):
    """Whether others use a key is found without a look at all keys for each of them."""
    settings = Settings(host.environment, str(host.control))
    (host.keys / ONE / "default").rename(host.keys / ONE / "default.unused")
    looks, counts = [], []

    def counted(look):
        return lambda *arguments, **options: looks.append(1) or look(*arguments, **options)

    for name in "stat", "lstat":
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    for begin, number in (1, 10), (10, 80):
        for each in range(begin, number):
            shutil.copytree(host.keys / ONE, host.keys / f"d{each}.example", symlinks=True)
        run = due.Run(settings, None, GROUP)
        looks.clear()
        places = [place for domain in key_places.domains(run.patterns, due.SUFFIXES)
                  for place in run.own_places(domain)]
        assert len([item for items in run.each(places, run.finished) for item in items]
                   ) == number
        counts.append(len(looks))
    assert counts[1] < 10 * counts[0], counts


def test_each_type_by_itself(host):
    host.environment["DKSIGN"] += f":{host.keys}/%/ed25519"
    host.succeed("keygen", ONE, "--type", "ed25519", "--selector", "e1", "--group", GROUP)
    host.due()
    host.clock.advance(181 * DAY)
    host.due()
    links = host.links(ONE)
    assert (links["default.former"], links["ed25519.former"]) == ("s1", "e1")
    assert links["default"].startswith("s20") and links["ed25519"].startswith("ed20")


def test_two_keys_of_a_type_in_two_directories(host):
    """Their selectors differ: the record of the one would take the place of the other's."""
    host.environment["DKSIGN"] += f":{host.directory}/more/%/default"
    (host.directory / "more").mkdir()
    host.succeed("keygen", ONE, "--selector", "t1", "--group", GROUP)
    host.due()
    host.clock.advance(181 * DAY)
    host.due()
    selectors = [os.readlink(host.directory / name / ONE / "default") for name in ("keys", "more")]
    assert len({*selectors, "s1", "t1"}) == 4
    assert {f"{selector}._domainkey.{ONE}" for selector in selectors} < set(host.published())


@pytest.mark.parametrize("name, value", [
    ("DKROTATE", "0"), ("DKROTATE", "6 months"), ("DKSYNC", "rsync"), ("DKSYNC", "run:rsync"),
    ("DKPUBLISH", "dns"), ("DKSIGN", "keys/%/default"), ("DKSIGN", "/k/%")])
def test_invalid_settings(host, name, value):
    host.environment[name] = value
    assert name in host.refused("rotate", "--due", "--group", GROUP)
