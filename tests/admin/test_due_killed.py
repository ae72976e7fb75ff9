# SPDX-License-Identifier: MIT
"""qmail-dk rotate --due, killed before each call that changes a file or a name; then run again."""

import os
import re
import shutil
import signal
import time

import pytest

from tests.support import fault_sweep
from tests.support.administrator import GROUP
from tests.support.due import DAY, due_host

ONE, TWO, THREE = DOMAINS = "example.com", "example.net", "example.org"

# System calls, each of which is counted by itself; "?" where another machine has others.
CHANGES = ("?rename,?renameat,?renameat2", "?unlink,?unlinkat", "?symlink,?symlinkat",
           "?link,?linkat", "?utimensat", "?chmod,?fchmodat", "?mkdir,?mkdirat", "?rmdir", "fsync")


def prepare(host):
    """One domain whose key is due, one that also has a former key, and a removed one."""
    host.environment["DKSYNC"] = "run:/bin/true"
    host.succeed("keygen", *DOMAINS, "--selector", "s1", "--group", GROUP)
    host.due()
    host.succeed("rotate", TWO, "--selector", "s2", "--group", GROUP)
    host.due()
    host.succeed("remove", THREE)
    shutil.copytree(host.directory, host.directory.with_name("kept"), symlinks=True)


def restore(host):
    """Half a year later, when nothing has happened since."""
    kept = host.directory.with_name("kept")
    shutil.rmtree(host.keys)
    shutil.copytree(kept / "keys", host.keys, symlinks=True)
    for name in "a.json", "b.json":
        shutil.copy(kept / name, host.directory / name)
    host.clock.advance(200 * DAY)


def is_done(host):
    """Whether each domain has a new key and no other, and the removed one nothing.

    Its empty directory may stay, if that was the last step: qmail-dk check names it.
    """
    return not list((host.keys / THREE).glob("*")) and all(
        list(host.links(domain)) == ["default"]
        and host.links(domain)["default"] not in ("s1", "s2") for domain in (ONE, TWO))


def assert_all_is_done(host):
    assert is_done(host)
    assert host.published() == host.published("b") == sorted([
        *(f"_domainkey.{domain}" for domain in DOMAINS),
        *(f"{host.links(domain)['default']}._domainkey.{domain}" for domain in (ONE, TWO))])
    for domain in ONE, TWO:
        key = host.links(domain)["default"]
        others = set(os.listdir(host.keys / domain)) - {"default", key}
        # Where it was killed between a key and its link, nobody has seen that key.
        assert re.fullmatch(r"s20\d{6}b?", key) and others <= {key.rstrip("b")}


def ends_in_2038():
    """Whether a time_t has 32 bits here."""
    try:
        time.localtime(2 ** 31)
    except OverflowError:
        return True
    return False


@pytest.mark.slow
@pytest.mark.skipif(not fault_sweep.can_trace(), reason="strace is missing or not allowed")
@pytest.mark.skipif(ends_in_2038(), reason="the clock passes 2038, which a time_t of 32 bits can't")
def test_killed_before_each_change(tmp_path):
    directory = tmp_path / "host"
    directory.mkdir()
    with due_host(directory, *DOMAINS) as host:
        prepare(host)
        kills = 0
        for calls in CHANGES:
            number = 1
            while is_killed(host, calls, number):
                number += 1
                kills += 1
        assert kills > 20


def is_killed(host, calls, number):
    """Has a run killed before a call, and others go on.  Returns False if it made none."""
    restore(host)
    done = host.run("rotate", "--due", "--group", GROUP, "--bits", "1024", command=[
        "strace", "-qq", "-o", "/dev/null", "-e", f"inject={calls}:signal=KILL:when={number}"])
    assert done.returncode in (0, -signal.SIGKILL), done
    for domain in ONE, TWO:
        assert (host.keys / domain / "default").is_file()
    for _ in range(4):      # a former key's time may begin anew, if DKSYNC is called again
        host.due("--bits", "1024")
        if is_done(host):
            break
        host.clock.advance(9 * DAY)
    assert_all_is_done(host)
    return done.returncode != 0
