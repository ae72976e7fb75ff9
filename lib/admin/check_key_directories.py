# SPDX-License-Identifier: MIT
"""Checks the directories of keys: access, keys without a link, old keys, domains without a key."""

import contextlib
import os
import stat
import time

from .. import crypto
from ..errors import KeyTrouble, RequestTrouble, SettingTrouble
from ..mail import address
from ..settings import without_waiting
from ..signing import key_files
from . import check_permissions, key_places, key_storage, records, removal, rotation
from .findings import FAIL, OK, WARN, Finding

OLD = 400                   # days: more than twice what doc/changing-keys advises
MOST_NAMED = 20             # domains in one line
OF_ME = "locals", "bouncehost"      # control files for which me stands in


def way_findings(settings):
    """Checks that the signer can reach the directories that the keys of all domains share.

    If not, it can't know whether a domain has a key, and defers all mail.
    Raises SettingTrouble.
    """
    found = []
    for pattern in settings.key_patterns().split(":"):
        shared = os.path.dirname(pattern.partition("%")[0])
        closed = check_permissions.closed_directory(os.path.join(shared, "name"))
        if "%" in pattern and closed:
            found.append(Finding(FAIL, closed, "qmail-remote's user can't go there, so all mail of "
                                 "all domains is deferred", f"chmod a+x {closed}"))
    return found


def closed_findings(place):
    """Checks that the signer can look for the key of a key_places.Place that has none."""
    closed = check_permissions.closed_directory(place.path)
    if not closed:
        return []
    return [Finding(FAIL, closed, "qmail-remote's user can't go there, so the mail of "
                    f"{place.domain} is deferred",
                    f"chgrp qmail {closed} && chmod g+x {closed}, or remove it")]


def unnamed_findings(settings, domains=None):
    """Finds private keys in domains' own directories that no link leads to.

    A killed command, an editor or a copy leaves such files.
    domains: list of str, None for all.  Raises SettingTrouble.
    """
    patterns = settings.key_patterns()
    directories = {place.directory: place for place in key_places.existing_places(patterns)
                   if "%" in os.path.dirname(place.pattern)
                   and (domains is None or place.domain in domains)}
    used = key_places.used_files(patterns)
    return [Finding(WARN, path, "holds a private key, and no link leads to it",
                    f"rm {path} if nothing needs it; else see doc/dns, Keys without a link")
            for directory in sorted(directories) for path in private_keys(directory)
            if identity(path) not in used]


def directory_name_findings(settings):
    """Finds keys in directories whose names no message's domain has.  Raises SettingTrouble."""
    found = []
    for pattern in settings.key_patterns().split(":"):
        parent, _, rest = pattern.partition("%/")
        for name in os.listdir(parent) if rest and os.path.isdir(parent) else ():
            path = os.path.join(parent, name, rest)
            if not address.is_domain(os.fsencode(name)) and os.path.exists(path):
                found.append(Finding(
                    WARN, path, f"signs nothing: no mail has {name!r} for its domain",
                    "let the directory have the domain's name: in lower case, without a final "
                    "dot, with xn-- for letters beyond ASCII"))
    return found


def private_keys(directory):
    """Returns the paths of the files in a directory that hold a private key, sorted by name."""
    found = []
    with contextlib.suppress(OSError):      # it can't be read
        for name in sorted(os.listdir(directory)):
            path = os.path.join(directory, name)
            with contextlib.suppress(OSError):
                if stat.S_ISREG(os.lstat(path).st_mode) and holds_private_key(path):
                    found.append(path)
    return found


def holds_private_key(path):
    """Returns whether a file holds a private key, which may be damaged.  Raises OSError."""
    with open(path, "rb") as file:
        content = file.read(key_files.LONGEST_KEY_FILE)
    if b"PRIVATE KEY-----" in content:
        return True
    try:
        crypto.ed25519_seed(content)
    except KeyTrouble:
        return False
    return True


def identity(path):
    """Returns the key_storage.identity() of a file, None if it can't be looked at."""
    with contextlib.suppress(OSError):
        return key_storage.identity(path)
    return None


def age_findings(key):
    """Checks the age of a key_files.SigningKey."""
    path = os.fsdecode(key.path)
    days = int((time.time() - rotation.made(key)) // rotation.DAY)
    if days > OLD:
        return [Finding(WARN, path, f"is {days} days old; advised is a new key twice a year or so",
                        key_places.rotate_command(key))]
    if days < 0:
        return [Finding(WARN, path, "is of the future, by the date of its file, so rotate --due "
                        "does not change it", f"touch {path}, once the clock is right")]
    return [Finding(OK, path, f"is {days} days old")]


def former_findings(place, key, settings):
    """Returns (Findings on when a former key's record can go, whether it is still needed).

    place: key_places.Place; key: key_files.SigningKey
    """
    try:
        former = rotation.former_key(place)
    except RequestTrouble as trouble:
        return [Finding(WARN, place.path + key_places.FORMER, str(trouble),
                        key_places.rotate_command(key, "--activate"))], False
    until = rotation.needed_until(former, settings.control)
    name = records.key_name(former.selector, place.domain)
    if until < time.time():
        return [Finding(WARN, former.files[0], f"has not been needed since "
                        f"{rotation.date(until)}, nor has its record {name}",
                        f"do what {key_places.rotate_command(key, '--retire')} says")], False
    return [Finding(OK, former.files[0], f"its record {name} must stay until "
                    f"{rotation.date(until)}; then it is to be withdrawn")], True


def removed_findings(domain, settings):
    """Finds the keys of a domain that qmail-dk remove has ended.  Raises SettingTrouble.

    None if a key signs, or will sign.
    """
    patterns = settings.key_patterns()
    if not removal.is_removed(domain, patterns):
        return []
    try:
        left = removal.left(domain, patterns)
    except KeyTrouble as trouble:
        return [Finding(WARN, domain, str(trouble), f"qmail-dk rotate --due {domain}")]
    found = []
    for place, former in left:
        name = records.key_name(former.selector, place.domain)
        until = rotation.needed_until(former, settings.control)
        text = f"has been removed on {rotation.date(former.replaced)}; its record {name} "
        found.append(Finding(OK, domain, f"{text}stays until {rotation.date(until)}")
                     if time.time() < until else
                     Finding(WARN, domain, f"{text}is not needed since {rotation.date(until)}",
                             f"qmail-dk rotate --due {domain}"))
    return found


def expiry_findings(settings):
    """Checks that signatures do not expire while mail waits in a queue (DKIMEXPIRE)."""
    with contextlib.suppress(SettingTrouble):       # check_installation reports it
        seconds = settings.seconds("DKIMEXPIRE")
        if seconds is None:
            return []
        if seconds < rotation.QUEUE_LIFETIME:
            return [Finding(WARN, "DKIMEXPIRE", f"signatures expire after {seconds} seconds: mail "
                            "that waits longer in others' queues, as it may for a week, arrives "
                            "with one that counts no more",
                            f"make it {rotation.QUEUE_LIFETIME} or more, or take it out")]
        days = seconds // rotation.DAY
        return [Finding(OK, "DKIMEXPIRE", f"signatures expire after {days} days")]
    return []


def hosted_findings(settings):
    """Gives one Finding that lists the hosted domains without a key.  Raises SettingTrouble."""
    patterns = settings.key_patterns()
    if not all("%" in pattern for pattern in patterns.split(":")):
        return []               # that pattern's key signs for every domain
    without = sorted(domain for domain in hosted(settings.control) if not has_key(domain, patterns))
    if not without:
        return []
    named = ", ".join(without[:MOST_NAMED])
    more = f" and {len(without) - MOST_NAMED} more" if len(without) > MOST_NAMED else ""
    return [Finding(WARN, "hosted domains", f"no key signs the mail of {named}{more}",
                    "qmail-dk keygen DOMAIN for each that mail is sent from; nothing for others")]


def has_key(domain, patterns):
    """Returns whether a domain or a parent has a key that signs or will sign.  patterns: DKSIGN"""
    parts = domain.split(".")
    return any(key_places.is_there(place.path) or key_places.is_there(place.path + key_places.NEXT)
               for start in range(len(parts) - 1)
               for place in key_places.places(".".join(parts[start:]), patterns))


def hosted(control):
    """Returns the domains in qmail's locals, bouncehost, rcpthosts and virtualdomains; set of str.

    control: the directory of these files.  Where there is no locals or no bouncehost, me counts
    instead (qmail-send(8)); where there is an empty one, it does not.
    """
    found = set()
    for name in "locals", "bouncehost", "rcpthosts", "virtualdomains":
        missing = not os.path.lexists(os.path.join(control, name))
        for line in lines(control, "me" if missing and name in OF_ME else name):
            domain = line.partition(":")[0].rpartition("@")[2].strip().lower().lstrip(".")
            with contextlib.suppress(RequestTrouble):
                found.add(key_places.checked_domain(domain))
    return found


def lines(control, name):
    """Returns a control file's lines but comments and blank ones, [] if it can't be read."""
    try:
        with open(os.path.join(control, name), encoding="utf-8", errors="surrogateescape",
                  opener=without_waiting) as file:
            return [line for line in file.read().split("\n") if line.strip() and line[0] != "#"]
    except OSError:
        return []
