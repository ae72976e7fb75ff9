# SPDX-License-Identifier: MIT
"""A few races of install.sh; tests/races runs many, and with pauses by strace."""

import random

import pytest

from tests.support import install_races
from tests.support.install_driver import directory, host    # noqa: F401


@pytest.mark.slow
@pytest.mark.parametrize("name", install_races.PAIRS)
def test_two_at_once(directory, name):
    """Unpaused, or stopped at any instant."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    races = install_races.Races(directory, *chance.choice(install_races.HOSTS[:3]))
    pauses = chance.choice(("none", "stop"))
    assert races.race(name, pauses, chance) == [], f"seed {seed}, {pauses}"


# What another install.sh does at the instant at which ours looks into the prefix.
MEANWHILE = {
    "it makes its lock": ("", 'touch "$lock"'),
    "it has failed, and removes its lock": ("lock", 'find "$@"; rm "$lock"; exit'),
}


@pytest.mark.parametrize("before, meanwhile", MEANWHILE.values(), ids=MEANWHILE)
def test_another_at_the_prefix(host, before, meanwhile):
    lock = host.prefix / "qmail-dk.lock"
    host.prefix.mkdir(parents=True)
    if before:
        lock.touch()
    once = host.directory / "once"
    assert host.with_tool("find", f"""
        lock={lock}
        case $1 in {host.prefix}/.) if mkdir {once} 2>/dev/null; then {meanwhile}; fi ;; esac
    """) == once
    host.install("--sign")
    assert once.exists() and host.status()[0] == 0


def test_wrong_ends_are_seen(directory):
    """Of the judge: a file that is not as it should be, an exit code that is not true."""
    races = install_races.Races(directory, *install_races.HOSTS[0])
    races.restore("installed")
    command = races.pairs["uninstalls"][1]
    done = [races.run(command), races.run(command)]
    assert [code for code, *_ in done] == [0, 1]
    state = races.state()
    assert races.flaws_of_end("uninstalls", done, state) == []
    races.restore("clean")
    spoilt = {**state, "qmail/bin/qmail-remote": None}
    assert "qmail/bin/qmail-remote" in races.flaws_of_end("uninstalls", done, spoilt)[0]
    assert races.flaws_of_end("uninstalls", done[::-1], state) == []
    assert races.flaws_of_end("uninstalls", [done[0]] * 2, state)
    races.host.remote.unlink()
    assert races.flaws_of_status()
