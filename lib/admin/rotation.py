# SPDX-License-Identifier: MIT
"""Changes a domain's key while its mail is in transit.

  key_places.make_next  makes a new key beside the one that signs; its record is published
  activate              makes the new key sign, by one rename
  former_key            finds the one before it, whose record stays until all mail that it
                        signed has arrived

The state of a key is the name of the link to it, here with DKSIGN's own name default:

  default.next      is to sign, once the DNS has its record: many receivers refuse mail
                    whose key can't be found.  activate() makes it default
  default           signs.  activate() makes it default.former, removal.stop() default.removed
  default.former    signed before.  needed_until() says when its record and file may go
  default.removed   signed until the domain was removed.  They go by the same rule
  default.unused    was default.next when the domain was removed.  They may go at once
  default.unsynced  is a file, there while other hosts lack the last change: distribution.py

When a key stopped signing is the inode change time of its link, or of its file where that
has the name itself.  If default.former leads to the key of default, a kill interrupted
activate(): that key still signs, and the next activate() goes on.

Each delivery looks at the link once, so it signs with either the old key or the new one.
due.py takes these steps for all domains, key_verbs.py one by one; removal.py ends with
the last of them.
"""

import contextlib
import os
import re
import stat
import time
from typing import NamedTuple

from .. import settings
from ..errors import RequestTrouble
from ..signing import key_files
from . import key_places, key_storage, records
from .key_places import FORMER, LEAVING, NEXT, OF_KEYS, UNUSED
from .key_storage import is_link, is_same, is_there
from .log import times

QUEUE_LIFETIME = 604800     # seconds, qmail-send's default
MOST_DIGITS = 20            # of an unsigned long
LONGEST_LIFETIME = 2**31 - 1    # seconds: qmail-send has it in an int
DAY = 86400                 # seconds

# Seconds that a record stays beyond the lifetime of the queue: clocks differ, and mail
# that is deferred for the last time then is not delivered at that moment.
MARGIN = DAY


class Former(NamedTuple):
    """A key that has been replaced, or was removed with its domain.

    selector: str; replaced: when, seconds since 1970 (float)
    files: its paths (list of str), the link first if it has one
    """
    selector: str
    replaced: float
    files: list


def made(key):
    """Returns when a SigningKey was made, seconds since 1970: the date in its selector says so.

    Without one, or if that is in the future, it is when its file was last modified.
    """
    date = re.fullmatch(r"\D*(\d{8})[a-z]?", key.selector.decode())
    with contextlib.suppress(ValueError, OverflowError):
        when = time.mktime(time.strptime(date[1], "%Y%m%d")) if date else time.time() + 1
        if when <= time.time():
            return when
    return os.stat(key.path).st_mtime


def place_to_rotate(domain, patterns, algorithm):
    """Returns the first Place of a domain whose key, else next key, has the algorithm.

    algorithm: "rsa" or "ed25519"; patterns: DKSIGN.  Raises RequestTrouble, KeyTrouble.
    """
    for place in key_places.places(domain, patterns):
        if "%" not in place.pattern:
            continue
        key = place.key() or place.key(NEXT)
        if key is not None and key.private_key.algorithm == algorithm:
            return place
    words = "" if algorithm == "rsa" else f" --type {algorithm}"
    raise RequestTrouble(
        f"{domain} has no {algorithm} key; make one: qmail-dk keygen {domain}{words}")


def next_key(place):
    """Returns the key_files.SigningKey that will sign next.  Raises RequestTrouble, KeyTrouble."""
    key = place.key(NEXT)
    if key is None:
        signs = place.key()
        raise RequestTrouble(f"there is no next key of {place.domain}; make it: "
                             + (key_places.rotate_command(signs) if signs
                                else f"qmail-dk keygen {place.domain}"))
    return key


def activate(place, checked, announce):
    """Makes the next key sign, from one delivery to the next.  Returns its SigningKey.

    checked: its key_files.SigningKey, as the caller has checked it
    announce: function that is called with the Place before its links change
    The old key stays, as FORMER.  Wherever this is interrupted, a key signs, and
    another call continues.  Raises RequestTrouble, KeyTrouble, OSError.
    """
    with key_storage.lock(place.directory) as directory:
        key = place.key(NEXT)
        if key is None:
            raise RequestTrouble(f"{place.path}{NEXT} has gone: another qmail-dk made it sign")
        if (key.selector, key.path) != (checked.selector, checked.path):
            raise RequestTrouble(f"{place.path}{NEXT} has been changed meanwhile; try again")
        announce(place)
        if is_there(place.path):
            keep_former(place, key)
        os.rename(place.path + NEXT, place.path)
        os.fsync(directory)
        return place.key()


def keep_former(place, key):
    """Gives the key that signs its FORMER name.  key: key_files.SigningKey that will sign

    This removes no name of it, and the rename over its first name leaves it the
    other.  Raises RequestTrouble, OSError.
    """
    former, following = place.path + FORMER, place.path + NEXT
    if is_same(place.path, following):
        raise RequestTrouble(f"{following} is the key that signs already; "
                             f"remedy: rm {following}")
    if is_same(former, place.path):
        touch(former)               # an activation was interrupted
    elif is_there(former):
        raise RequestTrouble(
            f"{former} exists: the key before this one has not been retired; "
            f"{key_places.rotate_command(key, '--retire')} says what is left to do")
    elif is_link(place.path):
        os.symlink(os.readlink(place.path), former)
    else:
        os.link(place.path, former)


def touch(path):
    """Sets the inode change time of a link or a key to now, the time of its replacement."""
    if is_link(path):
        os.utime(path, follow_symlinks=False)
    else:
        os.chmod(path, stat.S_IMODE(os.stat(path).st_mode))     # the key keeps its mtime, its age


def former_key(place, suffix=FORMER):
    """Returns the Former of a Place.  Raises RequestTrouble if it has none or it still signs.

    suffix: of LEAVING.  Raises KeyTrouble for a link to nothing.
    """
    former = place.path + suffix
    if not os.path.lexists(former):
        raise RequestTrouble(f"there is no former key of {place.domain} to retire")
    if is_same(former, place.path):
        raise RequestTrouble(f"{former} is the key that signs, so nothing of it can be withdrawn; "
                             f"go on with qmail-dk rotate {place.domain} --activate")
    selector, path = map(os.fsdecode, key_files.resolve(os.fsencode(former))[:2])
    files = [former]
    if path == former:
        selector = place.name           # it was no link to a key beside it
    else:
        files.append(path)
    # Its inode last changed when it was replaced, whether it is a link or a file.
    replaced = os.lstat(former).st_ctime
    if suffix == FORMER:
        with contextlib.suppress(OSError):      # else by a clock that was slow, as after a boot
            replaced = max(replaced, os.stat(place.path).st_mtime)
    return Former(selector, replaced, files)


def leaving(place):
    """Returns the suffixes of the keys of a Place that do not sign any more, list of str.

    Without FORMER while an activation is interrupted: it is the key that signs.
    """
    return [suffix for suffix in LEAVING if os.path.lexists(place.path + suffix)
            and not is_same(place.path + suffix, place.path)]


def needed_until(former, control):
    """Returns when a Former's record can be withdrawn, seconds since 1970.

    control: path of the directory.  A key that was never used is needed no more.
    """
    if former.files[0].endswith(UNUSED):
        return former.replaced
    return former.replaced + queue_lifetime(control) + records.TTL + MARGIN


def paths_by_file(patterns, suffixes):
    """Returns by which paths each file with a key is used, in the order of domains.

    patterns: DKSIGN; suffixes: of the paths
    Returns {key_storage.identity() of the file: {path: None}}.  Raises OSError.
    """
    found = {}
    for domain in key_places.domains(patterns, OF_KEYS):
        for place in key_places.places(domain, patterns):
            for path in [place.path + suffix for suffix in suffixes]:
                file = key_storage.identity(path) if os.path.lexists(path) else None
                if file:
                    found.setdefault(file, {})[path] = None
    return found


def others_that_use(former, paths):
    """Returns those paths that lead to a Former's key, too, list of str.  Raises OSError.

    paths: of paths_by_file(), which looks at the keys of all domains
    """
    return [path for path in paths.get(key_storage.identity(former.files[-1]), ())
            if path not in former.files]


def queue_lifetime(control):
    """Returns the seconds that qmail-send keeps a message.  control: path of the directory

    As in qmail-send, the digits at the start of the line count, and without them the
    default.  Raises SettingTrouble.
    """
    line = settings.read(os.path.join(control, "queuelifetime"),
                         lambda file: file.readline(MOST_DIGITS)) or ""
    digits = line[:len(line) - len(line.lstrip("0123456789"))]
    return min(int(digits), LONGEST_LIFETIME) if digits else QUEUE_LIFETIME


def date(seconds):
    """Returns seconds since 1970 as date and local time, str."""
    return times.shown(seconds, "%Y-%m-%d %H:%M %Z")
