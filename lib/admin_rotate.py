# SPDX-License-Identifier: MIT
"""Changes a domain's key while its mail is on the way.

  admin_keys.make_next  a new key beside the one that signs; its record is published
  activate              then one rename makes the new key sign
  retire                what to withdraw when all mail signed by the old key has arrived

Each delivery looks at the link once, so it signs with the one key or the other.
"""

import os
import time
from typing import NamedTuple

from . import admin_keys, keys, settings
from .admin_keys import FORMER, NEXT
from .errors import RequestTrouble

QUEUE_LIFETIME = 604800     # seconds, qmail-send's default


class Former(NamedTuple):
    """A key that has been replaced.

    selector: str; replaced: when, seconds since 1970
    files: paths of it, the link first where it has one
    """
    selector: str
    replaced: float
    files: list


def place_to_rotate(domain, patterns, algorithm):
    """The first Place of a domain whose key, or next key, is "rsa" or "ed25519".

    Raises RequestTrouble, KeyTrouble.
    """
    for place in admin_keys.places(domain, patterns):
        if "%" not in place.pattern:
            continue
        key = place.key() or place.key(NEXT)
        if key is not None and key.private_key.algorithm == algorithm:
            return place
    words = "" if algorithm == "rsa" else f" --type {algorithm}"
    raise RequestTrouble(
        f"{domain} has no {algorithm} key; make one: qmail-dk keygen {domain}{words}")


def next_key(place):
    """The keys.SigningKey that is to sign next.  Raises RequestTrouble, KeyTrouble."""
    key = place.key(NEXT)
    if key is None:
        raise RequestTrouble("there is no next key; make it: "
                             + admin_keys.rotate_command(place.key()))
    return key


def activate(place):
    """Makes the next key sign, from one delivery to the next.  Raises RequestTrouble, OSError.

    The key that signed stays, as FORMER.  Interrupted anywhere, there is a key
    that signs, and activating again goes on.
    """
    if os.path.lexists(place.path):
        keep_former(place)
    os.rename(place.path + NEXT, place.path)


def keep_former(place):
    """Gives the key that signs its other name.  Raises RequestTrouble, OSError."""
    former = place.path + FORMER
    if os.path.exists(former) and os.path.samefile(former, place.path):
        os.unlink(former)               # of an activation that was interrupted
    if os.path.lexists(former):
        raise RequestTrouble(
            f"{former} exists: the key before this one has not been retired; "
            f"{admin_keys.rotate_command(place.key(), '--retire')} says what is left to do")
    if os.path.islink(place.path):
        os.symlink(os.readlink(place.path), former)
    else:
        os.link(place.path, former)     # the rename takes its first name away


def former_key(place):
    """The Former of a place.  Raises RequestTrouble where there is none."""
    former = place.path + FORMER
    if not os.path.lexists(former):
        raise RequestTrouble(f"there is no former key of {place.domain} to retire")
    selector, path = map(os.fsdecode, keys.resolve(os.fsencode(former))[:2])
    files = [former]
    if path == former:
        selector = place.name           # it was no link to a key beside it
    else:
        files.append(path)
    # Its inode last changed when it was replaced, whether it is a link or a file.
    return Former(selector, os.lstat(former).st_ctime, files)


def others_that_use(former, patterns):
    """The links by which other domains sign with the key of a Former.  patterns: DKSIGN"""
    file = os.path.realpath(former.files[-1])
    return [place.path + suffix
            for domain in admin_keys.domains(patterns)
            for place in admin_keys.places(domain, patterns) for suffix in ("", NEXT)
            if os.path.realpath(place.path + suffix) == file]


def queue_lifetime(control):
    """Seconds that qmail-send keeps a message.  control: qmail's control directory.

    As qmail-send reads it, what is not a number is the default.
    """
    value = settings.first_line(os.path.join(control, "queuelifetime")) or ""
    return int(value) if value.isascii() and value.isdigit() else QUEUE_LIFETIME


def date(seconds):
    """Seconds since 1970 in an administrator's words, local time."""
    return time.strftime("%Y-%m-%d %H:%M %Z", time.localtime(seconds))
