# SPDX-License-Identifier: MIT
"""Keys and directories that killed runs, older versions and other users have left."""

import errno
import os
import stat
import time

import pytest

from lib.admin import key_places, key_storage
from lib.errors import RequestTrouble
from tests.support import fault_keys
from tests.support.administrator import (      # noqa: F401
    DOMAIN, GROUP, admin, make_next, records, tree,
)


def contents(admin):
    return fault_keys.private_keys(admin.keys)


def test_what_was_checked_is_activated(admin):
    """Another key has taken the place of the one whose record was looked for."""
    from lib.admin import rotation
    admin.keygen("s1")
    make_next(admin, "--selector", "s2")
    place = key_places.Place(DOMAIN, admin.environment["DKSIGN"])
    checked = place.key(key_places.NEXT)
    (admin.keys / DOMAIN / "default.next").unlink()
    with pytest.raises(RequestTrouble, match="has gone"):
        rotation.activate(place, checked, print)
    make_next(admin, "--selector", "s3")
    with pytest.raises(RequestTrouble, match="has been changed"):
        rotation.activate(place, checked, print)


def test_no_key_is_left_without_room_for_its_link(admin, monkeypatch):
    """Else each run of rotate --due leaves another one on a full disk."""
    admin.keygen("s1")
    place = key_places.Place(DOMAIN, admin.environment["DKSIGN"])
    before = tree(admin.keys)

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "symlink", full)
    with pytest.raises(OSError, match="No space left"):
        key_places.make_next(lambda: place, DOMAIN, place.pattern, "rsa", 1024, group=GROUP)
    assert tree(admin.keys) == before


def test_key_of_an_older_version_by_a_links_name(admin):
    """keygen --selector default.former was possible, and activation removed that file."""
    admin.keygen("s1")
    directory = admin.keys / DOMAIN
    (directory / "s1").rename(directory / "default.former")
    (directory / "default").unlink()
    (directory / "default").symlink_to("default.former")
    make_next(admin, "--selector", "s2")
    before = contents(admin)
    admin.succeed("rotate", DOMAIN, "--activate", "--force")
    assert contents(admin) == before


def test_next_key_that_signs_already(admin):
    admin.keygen("s1")
    (admin.keys / DOMAIN / "default.next").symlink_to("s1")
    assert "is the key that signs already" in admin.refused(
        "rotate", DOMAIN, "--activate", "--force")


def test_former_key_that_signs_is_not_retired(admin):
    """As when an activation was killed between its two steps."""
    admin.keygen("s1")
    make_next(admin, "--selector", "s2")
    (admin.keys / DOMAIN / "default.former").symlink_to("s1")
    line = admin.refused("rotate", DOMAIN, "--retire")
    assert "is the key that signs" in line and f"rotate {DOMAIN} --activate" in line
    admin.succeed("rotate", DOMAIN, "--activate", "--force")
    assert "s1._domainkey" in admin.succeed("rotate", DOMAIN, "--retire")


def test_several_keys_of_one_day(admin):
    """The key of the day was stolen on that day."""
    admin.succeed("keygen", DOMAIN, "--group", GROUP)
    seen = []
    for number in range(3):
        admin.succeed("rotate", DOMAIN, "--activate", "--force")
        seen.append(os.readlink(admin.keys / DOMAIN / "default"))
        if number:
            for path in admin.succeed("rotate", DOMAIN, "--retire").partition("rm ")[2].split():
                os.unlink(path)
        make_next(admin)
    today = seen[0]
    # The name of one that has gone is not used again: its record may still be in the DNS.
    assert seen == [today, today + "b", today + "c"]
    assert key_places.dated_selector("rsa", [today, today + "y"]) == today + "z"
    with pytest.raises(RequestTrouble, match="z exists already"):
        key_places.dated_selector("rsa", [today + "z"])


def test_selector_that_would_sign_at_once(admin):
    admin.keygen("s1")
    admin.environment["DKSIGN"] += f":{admin.keys}/%/ed25519"
    line = admin.refused("rotate", DOMAIN, "--selector", "ed25519", "--group", GROUP)
    assert "would sign at once" in line


def lose_the_link(admin, *arguments):
    """As a kill of keygen leaves it -> what keygen printed."""
    output = admin.succeed("keygen", DOMAIN, "--group", GROUP, *arguments)
    (admin.keys / DOMAIN / "default.next").unlink()
    return output


def test_key_without_a_link_is_taken_up(admin):
    made = lose_the_link(admin)
    output = admin.succeed("keygen", DOMAIN, "--group", GROUP)
    assert "was there, and nothing named it" in output
    assert records(output) == records(made) and len(os.listdir(admin.keys / DOMAIN)) == 2


def test_key_without_a_link_is_taken_up_by_name(admin):
    made = lose_the_link(admin, "--selector", "x1")
    output = admin.succeed("keygen", DOMAIN, "--group", GROUP, "--selector", "x1")
    assert records(output) == records(made)


def older(admin, path):
    os.utime(path, (time.time() - 30 * 86400,) * 2)


def open_to_others(admin, path):
    path.chmod(0o644)


def in_use_elsewhere(admin, path):
    other = admin.keys / "customer.example"
    other.mkdir()
    (other / "default").symlink_to(path)


def damaged(admin, path):
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize("change", [older, open_to_others, in_use_elsewhere, damaged],
                         ids=lambda f: f.__name__)
def test_key_without_a_link_that_is_not_taken_up(admin, change):
    lose_the_link(admin)
    (path,) = (admin.keys / DOMAIN).iterdir()
    change(admin, path)
    output = admin.succeed("keygen", DOMAIN, "--group", GROUP)
    assert "nothing named it" not in output
    assert os.readlink(admin.keys / DOMAIN / "default.next") == path.name + "b"


def test_key_of_another_size_is_not_taken_up(admin):
    lose_the_link(admin)
    output = admin.succeed("keygen", DOMAIN, "--group", GROUP, "--bits", "1024")
    assert "nothing named it" not in output


def closed(directory):
    directory.chmod(0o700)
    directory.parent.chmod(0o755)


def open_to_all(directory):
    directory.chmod(0o755)


def writable(directory):
    directory.chmod(0o770)


def another_users(directory):
    os.chown(directory, 12345, -1)


def closed_parent(directory):
    directory.parent.chmod(0o700)


# What is wrong with a directory that is there -> words of the refusal, or the mode afterwards.
DIRECTORIES = {closed: 0o750, open_to_all: 0o755, writable: "remedy: chmod go-w",
               another_users: "remedy: chown root", closed_parent: "remedy: chmod a+x"}


@pytest.mark.root
@pytest.mark.parametrize("change", DIRECTORIES, ids=lambda f: f.__name__)
def test_directory_that_is_there(admin, change):
    admin.environment["DKSIGN"] = f"{admin.keys}/%/default"
    directory = admin.keys / DOMAIN
    directory.mkdir(parents=True, mode=0o755)
    change(directory)
    arguments = ("keygen", DOMAIN, "--selector", "s1", "--group", "nogroup")
    if isinstance(DIRECTORIES[change], str):
        assert DIRECTORIES[change] in admin.refused(*arguments)
        return
    admin.succeed(*arguments)
    assert stat.S_IMODE(directory.stat().st_mode) == DIRECTORIES[change]
    if change == closed:
        assert directory.stat().st_gid == (directory / "s1").stat().st_gid


@pytest.mark.root
def test_directory_for_all_domains_of_a_killed_run(admin):
    """By an older version: empty, and nobody else can go there."""
    admin.keys.mkdir(mode=0o700)
    admin.succeed("keygen", DOMAIN, "--group", "nogroup")
    assert stat.S_IMODE(admin.keys.stat().st_mode) == 0o755


def test_leftovers_are_removed(admin):
    """Of runs that were killed; what a run that is at work has made is not touched."""
    admin.keys.mkdir(mode=0o755)
    left, in_use = (admin.keys / (key_storage.TEMPORARY + name) for name in "ab")
    left.mkdir()
    in_use.mkdir()
    with key_storage.lock(in_use):
        admin.make_key("s1")
    assert not left.exists() and in_use.exists()
    (admin.keys / DOMAIN / (key_storage.TEMPORARY + "c")).write_bytes(b"half a key")
    admin.succeed("rotate", DOMAIN, "--activate", "--force")
    make_next(admin, "--selector", "s2")
    assert sorted(os.listdir(admin.keys / DOMAIN)) == ["default", "default.next", "s1", "s2"]


def test_without_nameless_files(tmp_path, monkeypatch):
    """On a file system, or a system, that has none."""
    group = os.getgid()
    for number, spoil in enumerate((
            lambda: monkeypatch.delattr(os, "O_TMPFILE"),
            lambda: monkeypatch.setattr(os, "link", refuses_proc(os.link)))):
        with monkeypatch.context():
            spoil()
            with key_storage.lock(tmp_path) as fd:
                key_storage.write_key(fd, f"s{number}", b"key", group)
                with pytest.raises(FileExistsError):
                    key_storage.write_key(fd, f"s{number}", b"other", group)
        monkeypatch.undo()
        assert (tmp_path / f"s{number}").read_bytes() == b"key"
        assert stat.S_IMODE((tmp_path / f"s{number}").stat().st_mode) == 0o640
    assert sorted(os.listdir(tmp_path)) == ["s0", "s1"]


def refuses_proc(link):
    """os.link() as without /proc."""
    def without_proc(source, *arguments, **options):
        return link(str(source).replace("/proc/", "/no-proc/"), *arguments, **options)
    return without_proc


def test_directory_that_vanishes(admin, monkeypatch, tmp_path):
    """Another process removed it, for its own key could not be written: this one begins again."""
    monkeypatch.setattr(key_places, "owning_group", lambda name: os.getgid())
    lock, removed = key_storage.open_locked, []

    def locked(directory):
        fd = lock(directory)
        if not removed and str(directory).endswith(DOMAIN):
            removed.append(os.rmdir(directory))
        return fd

    monkeypatch.setattr(key_storage, "open_locked", locked)
    patterns = f"{tmp_path}/of-all/%/default"
    place = key_places.Place(DOMAIN, patterns)
    key, found = key_places.make_next(lambda: place, DOMAIN, patterns, "ed25519", 0)
    assert removed and not found and os.path.exists(key.path)


def test_nothing_is_left_where_nothing_was_made(admin):
    """A selector that can't be used, no room: tried again and again, no directory stays."""
    before = tree(admin.directory)
    admin.refused("keygen", DOMAIN, "--selector", "default.next", "--group", GROUP)
    assert tree(admin.directory) == before
