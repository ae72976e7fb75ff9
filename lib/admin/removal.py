# SPDX-License-Identifier: MIT
"""Ends signing as a domain, in an order that suits the mail in transit.

The links get other names, each by one rename: default becomes default.removed, and
default.next becomes default.unused.  So a delivery finds the key, or none.  The
records and files stay until all mail has arrived; rotate --due takes them away then.
"""

import contextlib
import os

from ..errors import CryptoTrouble, KeyTrouble, RequestTrouble
from . import key_places, key_storage, rotation
from .key_places import FORMER, LEAVING, NEXT, REMOVED, UNUSED
from .key_storage import is_same, is_there


def stop(domain, patterns, directories, hosts):
    """Ends signing as a domain on this host.  Returns the Places that had keys, a list.

    patterns: DKSIGN; directories: of key_places.by_directory()
    hosts: distribution.Distribution, which is told of it, and whose settle() the caller
    calls next
    Wherever this is interrupted, another call continues.  Raises RequestTrouble, OSError.
    """
    with key_places.undisturbed(domain, patterns):
        found = [place for place in key_places.own_places(domain, patterns)
                 if is_there(place.path) or is_there(place.path + NEXT)]
        if not found:
            raise RequestTrouble(
                f"the keys of {domain} have been removed; qmail-dk rotate {domain} --retire says "
                "what is left to do" if is_removed(domain, patterns)
                else f"{domain} has no key in a directory of its own by DKSIGN ({patterns})")
        others = key_places.same_directory(domain, patterns, directories)
        if others:
            raise RequestTrouble(f"{', '.join(others)} would not be signed either, by the same "
                                 f"links as {domain}; remedy: give each a directory of its own")
        names = {place: free_name(place) for place in found}
        # Of two signatures, many verifiers know only RSA's: that ends last.
        for place in sorted(found, key=is_of_rsa):
            hosts.announce(place)
            take_away(place, names[place])
        return found


def free_name(place):
    """Returns the suffix that a Place's key gets.  Raises RequestTrouble if there is none."""
    if is_there(place.path + NEXT) and is_there(place.path + UNUSED):
        raise RequestTrouble(f"{place.path}{UNUSED} exists; first run qmail-dk rotate --due "
                             f"{place.domain}, which withdraws it")
    for suffix in REMOVED, FORMER:
        if not is_there(place.path + suffix) or is_same(place.path + suffix, place.path):
            return suffix
    raise RequestTrouble(f"{place.path}{REMOVED} and {place.path}{FORMER} exist: mail that these "
                         f"keys signed may be in transit; remedy: mv {place.path} "
                         f"{place.path}.old, and withdraw its record in a week")


def take_away(place, suffix):
    """Renames the links of a Place.  suffix: that its key gets.  Raises OSError."""
    for other in (NEXT, *LEAVING):          # a second name of the key that signs
        if is_same(place.path + other, place.path):
            os.unlink(place.path + other)
    if is_there(place.path + NEXT):         # first: nothing is to sign after the other
        os.rename(place.path + NEXT, place.path + UNUSED)
    if is_there(place.path):
        rotation.touch(place.path)          # not every file system does that in a rename
        os.rename(place.path, place.path + suffix)
    key_storage.flush(place.directory)


def is_of_rsa(place):
    """Returns whether a Place's key is an RSA key, or can't be used."""
    with contextlib.suppress(KeyTrouble, CryptoTrouble):
        key = place.key() or place.key(NEXT)
        return key is None or key.private_key.algorithm == "rsa"
    return True


def is_removed(domain, patterns):
    """Returns whether a domain has keys that signed once, and none that signs or will sign."""
    places = key_places.places(domain, patterns)
    return (any(os.path.lexists(place.path + suffix) for place in places for suffix in LEAVING)
            and not any(is_there(place.path + suffix) for place in places
                        for suffix in ("", NEXT)))


def left(domain, patterns):
    """Returns [(key_places.Place, rotation.Former)] of a domain's keys that do not sign any more.

    patterns: DKSIGN.  Raises RequestTrouble, KeyTrouble.
    """
    return [(place, rotation.former_key(place, suffix))
            for place in key_places.own_places(domain, patterns)
            for suffix in rotation.leaving(place)]
