# SPDX-License-Identifier: MIT
"""qmail-dk check: key files, their directories and the selectors of older tools."""

import os
import shutil
import subprocess

import pytest

from tests.support import signing
from tests.support.administrator import DOMAIN
from tests.support.checked_host import assert_found, host, no_record, replace_key      # noqa: F401


def older_tools_link(host):
    """As sagredo's script made it; that tool took the link's name for the selector."""
    host.key.rename(host.key.with_name("rsa.private_default"))
    (host.keys / DOMAIN / "default").unlink()
    (host.keys / DOMAIN / "default").symlink_to("rsa.private_default")
    host.zone[f"default._domainkey.{DOMAIN}"] = [host.text]
    no_record(host)


def older_tools_selector(host, selector="s2014"):
    """As Joerg Backschues' script made it, with a link by the whole path."""
    host.key.rename(host.key.with_name("rsa.private_" + selector))
    (host.keys / DOMAIN / "default").unlink()
    (host.keys / DOMAIN / "default").symlink_to(host.key.with_name("rsa.private_" + selector))
    host.zone[f"{selector}._domainkey.{DOMAIN}"] = [host.text]
    no_record(host)


def older_tools_selector_in_a_file(host):
    (host.keys / DOMAIN / "selector").write_text("old\n")
    host.zone[f"old._domainkey.{DOMAIN}"] = [host.text]
    no_record(host)


def selector_is_a_directory(host):
    (host.keys / DOMAIN / "selector").mkdir()
    no_record(host)


def world_readable(host):
    host.key.chmod(0o644)


def group_writable(host):
    host.key.chmod(0o660)


def directory_writable(host):
    host.key.parent.chmod(0o777)


def directory_of_all_domains_writable(host):
    host.keys.chmod(0o757)


def moved_away(host, path):
    """To where everybody can write, with a link in its place."""
    elsewhere = host.directory / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o777)
    shutil.move(path, elsewhere)
    path.symlink_to(elsewhere / path.name)


def key_is_a_link(host):
    moved_away(host, host.key)


def directory_is_a_link(host):
    moved_away(host, host.keys / DOMAIN)


def link_in_the_middle(host):
    """From a directory to a link where everybody can write, and on to the key."""
    moved_away(host, host.key)
    middle = host.directory / "elsewhere" / "s1"
    shutil.move(middle, host.directory / "safe")
    middle.symlink_to(host.directory / "safe")


def directory_of_another(host):
    os.chown(host.keys / DOMAIN, 12345, -1)


def directory_of_all_domains_of_another(host):
    os.chown(host.keys, 12345, -1)


def directory_of_all_domains_of_a_group(host):
    os.chown(host.keys, -1, 12345)
    host.keys.chmod(0o775)


FOR_ROOT = (directory_of_another, directory_of_all_domains_of_another,
            directory_of_all_domains_of_a_group)


def garbage(host):
    host.key.write_text("rubbish")


def dangling(host):
    host.key.unlink()


def directory_dangling(host):
    """The disk is not mounted."""
    shutil.rmtree(host.keys / DOMAIN)
    (host.keys / DOMAIN).symlink_to("/nowhere/example.com")


def all_dangling(host):
    shutil.rmtree(host.keys)
    host.keys.symlink_to("/nowhere/keys")


def all_in_a_circle(host):
    shutil.rmtree(host.keys)
    host.keys.symlink_to(host.keys.name)


def directory_emptied(host):
    for path in (host.keys / DOMAIN).iterdir():
        path.unlink()


def no_keys(host):
    shutil.rmtree(host.keys)


def small_key(host):
    replace_key(host, 512)


def weak_key(host):
    replace_key(host, 1024)


def key_for_all_domains(host):
    host.environment["DKSIGN"] = str(host.key)


def key_for_all_domains_lost(host):
    host.environment["DKSIGN"] = f"{host.keys}/%/default:{host.keys}/lost"


def key_for_all_domains_damaged(host):
    host.key.write_text("rubbish")
    host.environment["DKSIGN"] = str(host.key)


def relative_pattern(host):
    host.environment["DKSIGN"] = f"{host.keys}/%/default:keys/%/default"


# What is done to the host -> findings that must be there: (level, words of subject and text).
DAMAGE = {
    older_tools_link: [("FAIL", "rsa.private_default._domainkey.example.com is not in the DNS, but "
                        "default._domainkey.example.com has this key")],
    older_tools_selector: [("FAIL", "but s2014._domainkey.example.com has this key")],
    older_tools_selector_in_a_file: [("FAIL", "but old._domainkey.example.com has this key")],
    selector_is_a_directory: [("FAIL", "s1._domainkey.example.com is not in the DNS: ")],
    world_readable: [("warn", "s1 others can read it")],
    group_writable: [("FAIL", "s1 others than its owner can change it")],
    directory_writable: [("FAIL", "example.com others than its owner can change it")],
    directory_of_all_domains_writable: [("FAIL", "keys others can put other keys there")],
    key_is_a_link: [("FAIL", "elsewhere others than its owner can change it")],
    link_in_the_middle: [("FAIL", "elsewhere others can put other keys there")],
    directory_is_a_link: [("FAIL", "elsewhere others can put other keys there")],
    directory_of_another: [("warn", "keys/example.com belongs to user number 12345")],
    directory_of_all_domains_of_another: [("warn", "keys belongs to user number 12345")],
    directory_of_all_domains_of_a_group: [("warn", "keys group number 12345 can put other keys")],
    garbage: [("FAIL", "s1: neither a PEM"), ("FAIL", "trial example.com deferred")],
    dangling: [("FAIL", "default is a link to nothing"), ("FAIL", "trial example.com deferred")],
    directory_dangling: [("FAIL", "keys/example.com is a link to nothing"),
                         ("FAIL", "trial example.com deferred")],
    all_dangling: [("FAIL", "keys can't be read")],
    all_in_a_circle: [("FAIL", "keys can't be read")],
    directory_emptied: [("warn", "example.com has a directory for keys, but no key by DKSIGN")],
    relative_pattern: [("FAIL", "settings DKSIGN: 'keys/%/default' is not an absolute path")],
    no_keys: [("FAIL", "keys no domain has a key")],
    small_key: [("FAIL", "s1 RSA of 512 bits is too small")],
    weak_key: [("warn", "s1 RSA of 1024 bits")],
    key_for_all_domains_lost: [("FAIL", "keys/lost DKSIGN names it for all domains, and it does "
                                "not exist, so all mail is deferred")],
    key_for_all_domains_damaged: [("FAIL", "s1: neither a PEM"), ("warn", "for all domains")],
    key_for_all_domains: [("warn", "keys DKSIGN names a key for all domains")],
}


@pytest.mark.parametrize("damage", [
    pytest.param(damage, marks=[pytest.mark.root] * (damage in FOR_ROOT)) for damage in DAMAGE],
    ids=lambda f: f.__name__)
def test_damage(host, damage):
    assert_found(host, damage, DAMAGE[damage])


@pytest.mark.parametrize("damage, selector", [
    (older_tools_link, "default"), (older_tools_selector, "s2014"),
    (older_tools_selector_in_a_file, "old")], ids=lambda value: getattr(value, "__name__", value))
def test_older_tools_selector_is_mended(host, damage, selector):
    """By the remedy, literally."""
    damage(host)
    _, found = host.findings()
    (remedy,) = {finding["remedy"] for finding in found if "has this key" in finding["text"]}
    subprocess.run(["/bin/sh", "-euc", remedy], check=True)
    status, found = host.findings()
    if os.geteuid() != 0:
        found = [finding for finding in found if "belongs to user" not in finding["text"]]
    assert (status, found) == (1, [])
    assert f"s={selector} " in host.succeed("why", DOMAIN)


def test_older_tools_selector_of_another_key(host):
    """The remedy stops, and takes nothing away."""
    older_tools_selector_in_a_file(host)
    other = host.key.with_name("old")
    other.write_bytes(signing.key("rsa.pem"))
    _, found = host.findings()
    (remedy,) = {finding["remedy"] for finding in found if "has this key" in finding["text"]}
    assert subprocess.run(["/bin/sh", "-euc", remedy], stderr=subprocess.DEVNULL).returncode
    assert other.read_bytes() == signing.key("rsa.pem") and host.key.exists()
