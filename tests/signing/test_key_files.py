# SPDX-License-Identifier: MIT
"""Key files: which are found for a domain, and their selectors."""

import errno
import os
import pathlib
import posix
import subprocess
import sys
import tempfile

import pytest

from lib.errors import KeyTrouble
from lib.signing import key_files
from tests.support import signing
from tests.support.key_trees import ED25519, MESSAGE, RSA, put


def found(patterns, *domains):
    """first_with_key() -> (domain, [(selector, path)]), paths as str."""
    domain, files = key_files.first_with_key([domain.encode() for domain in domains], patterns, {})
    return domain and domain.decode(), [(selector.decode(), os.fsdecode(path))
                                        for selector, path, _, _ in files]


@pytest.fixture
def tree(tmp_path):
    """A DKSIGN tree with one key: example.com/s1.  -> its path, str."""
    put(f"{tmp_path}/example.com/s1")
    return str(tmp_path)


def test_pattern(tree):
    assert found(f"{tree}/%/s1", "example.com") == (
        "example.com", [("s1", f"{tree}/example.com/s1")])


def test_pattern_without_a_key(tree):
    assert found(f"{tree}/%/s1", "example.net") == (None, [])
    assert found(f"{tree}/%/s2", "example.com") == (None, [])
    assert found(f"{tree}/%/s1/deeper", "example.com") == (None, [])


def test_first_domain_with_a_key(tree):
    put(f"{tree}/example.net/s1")
    assert found(f"{tree}/%/s1", "example.org", "example.com", "example.net")[0] == "example.com"


def test_a_domain_is_looked_at_once_for_a_message(tree):
    """Its signatures agree on the key, even if that changes just then."""
    known, consulted = {}, []
    first = key_files.first_with_key([b"example.net", b"example.com"], f"{tree}/%/s1", known,
                                     consulted.append)
    put(f"{tree}/example.com/s1", ED25519)
    put(f"{tree}/example.net/s1", ED25519)
    assert first == key_files.first_with_key([b"example.com"], f"{tree}/%/s1", known,
                                             consulted.append)
    assert key_files.first_with_key([b"example.net"], f"{tree}/%/s1", known) == (None, [])
    assert consulted == [os.fsencode(f"{tree}/{domain}/s1")
                         for domain in ("example.net", "example.com")]


def test_several_patterns(tree):
    put(f"{tree}/example.com/s2", ED25519)
    assert found(f"{tree}/%/s2:{tree}/%/absent::{tree}/%/s1", "example.com") == (
        "example.com", [("s2", f"{tree}/example.com/s2"), ("s1", f"{tree}/example.com/s1")])


def test_one_selector_signs_once(tree):
    put(f"{tree}/other/example.com/s1")
    assert found(f"{tree}/%/s1:{tree}/other/%/s1", "example.com")[1] == [
        ("s1", f"{tree}/example.com/s1")]


def test_percent_twice_and_in_the_name(tree):
    put(f"{tree}/example.com/example.com.key")
    assert found(f"{tree}/%/%.key", "example.com")[1] == [
        ("example.com.key", f"{tree}/example.com/example.com.key")]


def test_domain_too_long_for_a_file_name(tree):
    """No key, and no trouble: anybody can put such a domain in a message."""
    longest = ".".join(["a" * 63] * 3 + ["b" * 57, "com"])
    assert len(longest) == 253
    assert found(f"{tree}/%/s1", longest) == found(f"{tree}/%.private", longest) == (None, [])


def test_relative_path(tree, monkeypatch):
    """Below the directory in which the program runs, and links in there."""
    os.symlink("s1", f"{tree}/example.com/default")
    for directory, pattern in ((tree, "%/default"), (tree, "./%//default"),
                               (f"{tree}/example.com", "default"),
                               (f"{tree}/example.com", "./default")):
        monkeypatch.chdir(directory)
        assert found(pattern, "example.com")[1][0][0] == "s1", pattern


def test_path_without_percent(tree):
    """One key for all domains, as the older tools allowed; it has to be there."""
    assert found(f"{tree}/example.com/s1", "example.net") == (
        "example.net", [("s1", f"{tree}/example.com/s1")])
    with pytest.raises(KeyTrouble, match="does not exist"):
        found(f"{tree}/absent", "example.net")


# Links: (name of the link -> target, selector of the link); T stands for the tree
LINKS = [
    ([("default", "s1")], "default", "s1"),
    ([("default", "./s1")], "default", "s1"),
    ([("default", "../example.com/s1")], "default", "s1"),
    ([("default", "T/example.com/s1")], "default", "s1"),
    ([("default", "next"), ("next", "s1")], "default", "s1"),
    # out of the directory: its own name is the selector
    ([("default", "../example.net/s9")], "default", "default"),
    ([("default", "T/example.net/s9")], "default", "default"),
    ([("default", "next"), ("next", "../example.net/s9")], "default", "next"),
    ([("default", "sub/../../example.net/s9")], "default", "default"),
]


@pytest.mark.parametrize("links, name, selector", LINKS)
def test_links(tree, links, name, selector):
    put(f"{tree}/example.net/s9", ED25519)
    os.mkdir(f"{tree}/example.com/sub")
    for link, target in links:
        os.symlink(target.replace("T/", tree + "/"), f"{tree}/example.com/{link}")
    (_, [(got, _, data, _)]) = key_files.first_with_key([b"example.com"], f"{tree}/%/{name}", {})
    assert got.decode() == selector
    assert data == (RSA if selector == "s1" else ED25519)


def test_domain_directory_that_is_a_link(tree):
    os.symlink("example.com", f"{tree}/example.net")
    assert found(f"{tree}/%/s1", "example.net")[1][0][0] == "s1"


# (links: path, target, below a tree that has example.com/s1), which of them leads nowhere
LOST = {
    "the key": ([("example.com/default", "s2")], "example.com/default"),
    "a chain": ([("example.com/default", "next"), ("example.com/next", "s2")], "example.com/next"),
    "a longer way": ([("example.com/default", "../example.com/s2")], "example.com/default"),
    "another directory": ([("example.com/default", "../example.net/s1")], "example.com/default"),
    "another disk": ([("example.com/default", "/nowhere/s1")], "example.com/default"),
    "below a file": ([("example.com/default", "s1/x")], "example.com/default"),
    "too long a name": ([("example.com/default", "x" * 300)], "example.com/default"),
    "the domain's directory": ([("example.net", "nowhere")], "example.net"),
    "that of all domains": ([("all", "nowhere"), ("example.net", "all/example.net")],
                            "example.net"),
    "in the middle": ([("disk", "/nowhere")], "disk"),
}


@pytest.mark.parametrize("what", LOST)
def test_a_link_to_nothing_is_a_lost_key(tree, what):
    """Not "no key", or all mail would be unsigned, and nobody would be told."""
    links, lost = LOST[what]
    for path, target in links:
        os.symlink(target, f"{tree}/{path}")
    pattern = f"{tree}/disk/keys/%/default" if what == "in the middle" else f"{tree}/%/default"
    with pytest.raises(KeyTrouble, match=f"^{tree}/{lost} is a link to nothing"):
        for domain in "example.com", "example.net":
            found(pattern, domain)


def test_directories_without_a_key(tree):
    """There, empty, or a link to an empty one: that is how a domain has no key."""
    os.mkdir(f"{tree}/example.net")
    os.symlink("example.net", f"{tree}/example.org")
    assert found(f"{tree}/%/s1", "example.net", "example.org") == (None, [])
    assert found(f"{tree}/nowhere/%/deep/s1", "example.com") == (None, [])
    assert found("nowhere/%/s1", "example.com") == found("%", "example.com") == (None, [])


def test_a_key_removed_meanwhile(tree, monkeypatch):
    """As if the delivery had begun a moment later; so qmail-dk remove defers none."""
    def readlink(path, readlink=posix.readlink):
        try:
            return readlink(path)
        finally:
            pathlib.Path(os.fsdecode(path)).unlink(missing_ok=True)
    monkeypatch.setattr(posix, "readlink", readlink)
    assert found(f"{tree}/%/s1", "example.com") == (None, [])


def test_a_link_changed_meanwhile(tree, monkeypatch):
    """Never the selector of one key with the bytes of another."""
    put(f"{tree}/example.com/s2", ED25519)
    default = f"{tree}/example.com/default"
    put(default)

    def readlink(path, readlink=posix.readlink):
        try:
            return readlink(path)
        finally:        # by others, right after it was looked at
            if os.fsdecode(path) == default:
                os.unlink(default)
                os.symlink("s2", default)
    monkeypatch.setattr(posix, "readlink", readlink)
    assert found(f"{tree}/%/default", "example.com") == (
        "example.com", [("s2", f"{tree}/example.com/s2")])


def test_a_link_changed_again_and_again(tree, monkeypatch):
    """It is looked up once more, and not for ever."""
    looked_at = []

    def readlink(path):
        looked_at.append(path)
        raise OSError(errno.EINVAL, "as of a file")
    put(f"{tree}/example.com/s2", ED25519)
    os.symlink("s2", f"{tree}/example.com/default")
    monkeypatch.setattr(posix, "readlink", readlink)
    with pytest.raises(KeyTrouble, match="unable to open"):
        found(f"{tree}/%/default", "example.com")
    assert len(looked_at) == 2


def test_a_link_that_comes_meanwhile(tree, monkeypatch):
    def readlink(path, readlink=posix.readlink):
        try:
            return readlink(path)
        except FileNotFoundError:
            os.symlink("s1", path)
            raise
    monkeypatch.setattr(posix, "readlink", readlink)
    assert found(f"{tree}/%/default", "example.com") == (None, [])
    assert found(f"{tree}/%/default", "example.com")[1][0][0] == "s1"


def test_links_in_a_circle(tree):
    os.symlink("b", f"{tree}/example.com/a")
    os.symlink("a", f"{tree}/example.com/b")
    with pytest.raises(KeyTrouble, match="links"):
        found(f"{tree}/%/a", "example.com")


def test_rotation_is_one_relink(tmp_path):
    """The selector in the signature changes with the link."""
    signer = signing.Signer(tmp_path, signing.EXAMPLE, DKSIGN=f"{tmp_path}/%/default")
    signer.add_key("example.com", "s2026b", RSA)
    for target in ("s2026a", "s2026b"):
        os.symlink(target, f"{tmp_path}/new")
        os.rename(f"{tmp_path}/new", f"{tmp_path}/example.com/default")
        fields = dict(signing.fields(signer.sign(MESSAGE)))
        assert signing.tags(fields["DKIM-Signature"])["s"] == target
        assert signing.tags(fields["DomainKey-Signature"])["s"] == target


@pytest.mark.parametrize("name", ["s 1", "s;1", "s1\n", "s..1", ".s1", "s1.", "a" * 64,
                                  "s\xe4"])
def test_names_that_are_no_selectors(tree, name):
    put(f"{tree}/example.com/{name}")
    with pytest.raises(KeyTrouble, match="selector"):
        found(f"{tree}/%/{name}", "example.com")


def test_directory_in_place_of_a_key(tree):
    os.mkdir(f"{tree}/example.com/dir")
    with pytest.raises(KeyTrouble, match="not a file"):
        found(f"{tree}/%/dir", "example.com")


def test_fifo_in_place_of_a_key(tree):
    os.mkfifo(f"{tree}/example.com/fifo")
    with pytest.raises(KeyTrouble, match="not a file"):
        found(f"{tree}/%/fifo", "example.com")


AS_NOBODY = """
import os, sys
sys.path.insert(0, sys.argv[1])
from lib import settings      # while they can be read
from lib.mail import message
from lib.signing import key_files, outbound
os.setgid(65534); os.setuid(65534)
try:
    key_files.first_with_key([b"example.com"], sys.argv[2], {})
except key_files.KeyTrouble as trouble:
    print(trouble)
"""


@pytest.mark.parametrize("what", ["file", "directory"])
def test_unreadable(what):
    """Neither an unreadable key nor an unsearchable directory is "no key"."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    script = AS_NOBODY
    if os.getuid():
        script = script.replace("os.setgid(65534); os.setuid(65534)", "")
    with tempfile.TemporaryDirectory() as tree:     # pytest's own is closed to nobody
        os.chmod(tree, 0o755)
        put(f"{tree}/example.com/s1", mode=0 if what == "file" else 0o644)
        os.chmod(f"{tree}/example.com", 0o755 if what == "file" else 0)
        output = subprocess.run([sys.executable, "-c", script, root, f"{tree}/%/s1"],
                                stdout=subprocess.PIPE, check=True).stdout.decode()
        os.chmod(f"{tree}/example.com", 0o755)
    assert "Permission denied" in output and "group qmail" in output
    assert f"{tree}/example.com/s1" in output


HOSTILE = [
    "../../etc/passwd", "..", "../example.com", "example.com/../example.com", "/etc", "a/b.com",
    "exam\0ple.com", "example.com\0", ".example.com", "example..com", "example.com/s1",
    "a" * 64 + ".com", ("a" * 60 + ".") * 5 + "com", "%.com", "example.com:/etc/passwd",
    "-.com", "com", "localhost", "\xe4.com", "[1.2.3.4]", "~root.com",
]


@pytest.mark.parametrize("domain", HOSTILE)
@pytest.mark.parametrize("place", ["From", "envelope", "Sender"])
def test_hostile_domains_never_reach_the_file_system(tmp_path, monkeypatch, domain, place):
    """No path with any part of such a domain is looked at, whatever the pattern."""
    signer = signing.Signer(tmp_path / "keys", (), DKSIGN="/nowhere/%/default:/nowhere/%")
    os.mkdir(tmp_path / "keys")
    address = f"x@{domain}".encode("latin-1")
    message = {"From": b"From: <" + address + b">\n", "envelope": b"From: nobody\n",
               "Sender": b"From: nobody\nSender: " + address + b"\n"}[place] + b"\nx\n"
    looked_at = []

    def recording(function):
        def recorded(path, *arguments, **keywords):
            looked_at.append(path)
            return function(path, *arguments, **keywords)
        return recorded
    for name in ("open", "readlink", "stat", "lstat"):
        monkeypatch.setattr(posix, name, recording(getattr(posix, name)))
    sender = address.decode("latin-1") if place == "envelope" else ""
    assert signer.sign(message, sender) == message
    # Of `x@example.com:/etc/passwd` in From: some readers take example.com for the domain.
    part = "etc" if place == "From" and ":" in domain else "nowhere"
    assert [path for path in looked_at if part in os.fsdecode(path)] == []
    # and it would have been seen:
    signer.sign(b"From: x@example.com\n\nx\n")
    assert [path for path in looked_at if b"nowhere" in os.fsencode(path)]
