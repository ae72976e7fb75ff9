# SPDX-License-Identifier: MIT
"""Finds the keys of a domain, and makes new ones.

A key is in the directory that a pattern of DKSIGN names, in a file named by its
selector; the pattern's own name is a link to this file:

    /etc/domainkeys/example.com/s20260101
    /etc/domainkeys/example.com/default -> s20260101

More links name keys that do not sign yet, or not any more: rotation.py has the table.
"""

import contextlib
import grp
import os
import re
import stat
import time
from typing import NamedTuple

from .. import crypto
from ..errors import KeyTrouble, RequestTrouble
from ..mail import address
from ..signing import key_files
from . import key_storage
from .key_storage import is_link, is_same, is_there

GROUP = "qmail"             # of qmailr, the user that the signer runs as

PREFIXES = {"rsa": "s", "ed25519": "ed"}    # of a selector, before the date
RSA_BITS = (1024, 4096)     # that all verifiers accept (RFC 8301 section 3.2)

NEXT = ".next"
FORMER = ".former"
REMOVED = ".removed"
UNUSED = ".unused"
LEAVING = (FORMER, REMOVED, UNUSED)     # of keys that do not sign any more
OF_KEYS = ("", NEXT, *LEAVING)
UNSYNCED = ".unsynced"      # of a file that is there as long as DKSYNC is due: distribution.py

ATTEMPTS = 10               # to make a directory that other processes also make and remove
WEEK = 604800               # seconds


class Place(NamedTuple):
    """The place of a domain's key by one pattern of DKSIGN; both str."""
    domain: str
    pattern: str

    @property
    def path(self):
        return self.pattern.replace("%", self.domain)

    @property
    def directory(self):
        return os.path.dirname(self.path)

    @property
    def name(self):
        return os.path.basename(self.path)

    @property
    def lacks_key(self):
        """True if the domain has a directory of its own, but no key in it: that may be lost."""
        return ("%" in os.path.dirname(self.pattern) and os.path.isdir(self.directory)
                and not is_there(self.path))

    def key(self, suffix=""):
        """Returns the key_files.SigningKey there, None if there is none.

        suffix: of OF_KEYS.  Raises KeyTrouble, CryptoTrouble.
        """
        found = key_files.key_files(self.domain.encode(), self.pattern + suffix)
        if not found:
            return None
        (key,) = key_files.load(self.domain.encode(), found)
        if key.selector == os.fsencode(self.name + suffix):
            key.selector = os.fsencode(self.name)   # the name it has while it signs
        return key


def checked_domain(text):
    """Returns a domain that an administrator wrote, str in lower case.  Raises RequestTrouble.

    International names are not converted: their A-labels depend on the version of
    IDNA, and a wrong one may be somebody else's domain.
    """
    domain = text.lower().rstrip(".")
    if not domain.isascii():
        raise RequestTrouble(f"{text!r}: write an international domain with its A-labels (xn--...)")
    if not address.is_domain(domain.encode()):
        raise RequestTrouble(f"{text!r} is not a domain name")
    return domain


def places(domain, patterns):
    """Returns the Places of a domain's keys.  patterns: DKSIGN"""
    return [Place(domain, pattern) for pattern in patterns.split(":") if pattern]


def own_places(domain, patterns):
    """Returns the Places of a domain by patterns that give each domain a directory of its own."""
    return [place for place in places(domain, patterns) if has_directory(place.pattern)]


def has_directory(pattern):
    """Returns whether a pattern gives each domain a directory of its own."""
    return (os.path.isabs(pattern) and "%" in os.path.dirname(pattern)
            and "%" not in os.path.basename(pattern))


def no_directory(patterns):
    """Returns what is wrong with DKSIGN if no pattern has_directory(), str."""
    return (f"DKSIGN ({patterns}) gives no directory of its own to each domain, "
            "as /etc/domainkeys/%/default does")


def by_directory(patterns):
    """Returns {real path of a directory: those whose keys change with the links there, a set}.

    They are domains, by a link to the directory or to a link in it, and patterns without
    "%", str.
    """
    found = {}
    existing = list(existing_places(patterns))
    for place in existing:
        if has_directory(place.pattern):
            found.setdefault(os.path.realpath(place.directory), set()).add(place.domain)
    for_all = [Place(pattern, pattern) for pattern in patterns.split(":") if "%" not in pattern]
    names = {os.path.basename(pattern) for pattern in patterns.split(":")}
    for place in existing + for_all:
        for path in key_storage.links_of(place.path):
            directory = os.path.realpath(os.path.dirname(path))
            if os.path.basename(path) in names and directory in found:
                found[directory].add(place.domain)
    return found


def same_directory(domain, patterns, directories):
    """Returns those but a domain whose keys change with the links in its directory.

    directories: of by_directory().  A sorted list of str.
    """
    own = {os.path.realpath(place.directory) for place in own_places(domain, patterns)}
    return sorted(set().union(*(directories.get(directory, ()) for directory in own)) - {domain})


@contextlib.contextmanager
def undisturbed(domain, patterns):
    """Keeps other qmail-dk processes from changing a domain's keys.  patterns: DKSIGN

    Otherwise a key could move from one name to another between two looks at them.
    Raises RequestTrouble, OSError.
    """
    directories = {os.path.realpath(place.directory) for place in places(domain, patterns)
                   if "%" in os.path.dirname(place.pattern)}
    with contextlib.ExitStack() as stack:
        for directory in sorted(directories):
            # A directory that is missing or closed to this user can't be locked.
            with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                stack.enter_context(key_storage.lock(directory))
        yield


def make_next(choose, domain, patterns, algorithm, bits, selector=None, group=None):
    """Makes the key that will sign next.  Returns (its SigningKey, whether its file existed).

    choose: function that returns the domain's Place for the key, or raises; called
    again when the directory is locked, so that nothing can change any more
    patterns: DKSIGN; algorithm: "rsa" or "ed25519"; bits: size of an RSA modulus
    selector: str, or None for one with the date; group: name, or None for GROUP
    Raises RequestTrouble, KeyTrouble, CryptoTrouble, OSError.
    """
    with undisturbed(domain, patterns):
        place = choose()
    group_id = owning_group(group)
    if selector is not None:
        require_file_name(place, selector, patterns)
    pem = new_key(algorithm, bits)
    for attempt in range(ATTEMPTS):
        try:
            with key_storage.directory_for(place, group_id) as directory:
                require_same(choose(), place)
                if is_there(place.path + NEXT):
                    raise RequestTrouble(waiting(place))
                name = left_by_a_killed_run(place, patterns, algorithm, bits, selector, group_id)
                found = name is not None
                if not found:
                    name = selector or dated_selector(algorithm, file_names(domain, patterns))
                    write_next(place, name, pem, group_id, directory)
                if name != place.name:
                    try:
                        os.symlink(name, os.path.basename(place.path + NEXT), dir_fd=directory)
                    except OSError:     # no room is left
                        if not found:
                            os.unlink(name, dir_fd=directory)
                        raise
                os.fsync(directory)
                return place.key(NEXT), found
        except FileNotFoundError:       # another process has removed the empty directory
            if attempt == ATTEMPTS - 1:
                raise


def require_same(place, chosen):
    """Raises RequestTrouble if another command has changed the choice of a Place meanwhile."""
    if place != chosen:
        raise RequestTrouble(f"the keys of {chosen.domain} have been changed meanwhile; try again")


def write_next(place, selector, pem, group_id, directory):
    """Writes the file of a key that must not sign yet.  directory: its descriptor, locked

    Raises RequestTrouble, OSError.
    """
    # Under the pattern's own name, it would sign at once.
    name = selector if selector != place.name else os.path.basename(place.path + NEXT)
    if is_there(os.path.join(place.directory, selector)):
        raise RequestTrouble(f"{place.directory}/{selector} exists already; "
                             "--selector gives another name")
    key_storage.write_key(directory, name, pem, group_id)


def left_by_a_killed_run(place, patterns, algorithm, bits, selector, group_id):
    """Returns the name of a key, as keygen makes it, that got no link; None if there is none.

    Without a selector, it returns only a key of the last WEEK for a domain that does
    not sign yet: somebody may have removed the link of an older one on purpose.
    """
    names = [selector]
    if selector is None and not is_there(place.path):
        names = [name for name in sorted(os.listdir(place.directory), reverse=True)
                 if re.fullmatch(PREFIXES[algorithm] + r"\d{8}[b-z]?", name)
                 and os.lstat(os.path.join(place.directory, name)).st_mtime > time.time() - WEEK]
    for name in filter(None, names):
        path = os.path.join(place.directory, name)
        if name == place.name or not is_there(path) or is_link(path):
            continue
        state = os.stat(path)
        if not stat.S_ISREG(state.st_mode) or (
                (state.st_uid, state.st_gid, stat.S_IMODE(state.st_mode))
                != (os.geteuid(), group_id, key_storage.KEY_MODE)):
            continue
        with contextlib.suppress(KeyTrouble), open(path, "rb") as file:
            key = crypto.load_private_key(file.read(key_files.LONGEST_KEY_FILE))
            if (key.algorithm == algorithm and (algorithm != "rsa" or key.bits == bits)
                    and (state.st_dev, state.st_ino) not in used_files(patterns)):
                return name
    return None


def used_files(patterns):
    """Returns key_storage.identity() of the files with keys of all domains, a set.

    patterns: DKSIGN
    """
    found = set()
    for domain in domains(patterns, OF_KEYS):
        for place in places(domain, patterns):
            for suffix in OF_KEYS:
                with contextlib.suppress(OSError):
                    found.add(key_storage.identity(place.path + suffix))
    return found - {None}


def waiting(place):
    """Returns why a Place whose next key waits can't get another, str.  Raises KeyTrouble."""
    path = place.path + NEXT
    if is_link(path) and not is_same(path, path):
        return f"{path} is a link to nothing; remedy: rm {path}"
    key = place.key(NEXT)
    return (f"{path} exists already; qmail-dk dns {place.domain} prints its record, "
            f"{rotate_command(key, '--activate')} makes it sign")


def rotate_command(key, *options):
    """Returns the command that rotates a key_files.SigningKey, with --type if it needs that."""
    algorithm = key.private_key.algorithm
    words = ["qmail-dk rotate", key.domain.decode(), *options]
    return " ".join(words + ([] if algorithm == "rsa" else ["--type", algorithm]))


def free_place(domain, patterns, algorithm):
    """Returns the first Place without a key.

    domain: of checked_domain(); patterns: DKSIGN; algorithm: "rsa" or "ed25519"
    Raises RequestTrouble if there is none, or if a next key of that algorithm waits.
    """
    taken = []
    for place in own_places(domain, patterns):
        if is_there(place.path):
            taken.append(place.path)
        elif is_there(place.path + NEXT):
            if (not is_same(place.path + NEXT, place.path + NEXT)
                    or place.key(NEXT).private_key.algorithm == algorithm):
                raise RequestTrouble(waiting(place))
            taken.append(place.path + NEXT)
        else:
            return place
    if not taken:
        raise RequestTrouble(no_directory(patterns))
    raise RequestTrouble(
        f"{' and '.join(taken)} exists already; to change it: qmail-dk rotate {domain}; to have a "
        f"second key sign beside it, add a pattern to DKSIGN, such as "
        f"{patterns}:{os.path.dirname(patterns.split(':')[0])}/{algorithm}")


def checked_selector(selector):
    """Returns the selector if it can be a file's name.  Raises RequestTrouble."""
    if not address.are_labels(os.fsencode(selector)):
        raise RequestTrouble(f"{selector!r} is not a selector: letters, digits, hyphens, dots")
    return selector


def require_file_name(place, selector, patterns):
    """Raises RequestTrouble for a selector whose file would be mistaken for another."""
    checked_selector(selector)
    others = [other.name for other in places(place.domain, patterns)
              if other.directory == place.directory and other.name != place.name]
    if selector.lower().endswith((NEXT, *LEAVING, UNSYNCED)):
        raise RequestTrouble(f"{selector!r} ends as the links do that tell keys from each other; "
                             "--selector gives another name")
    if selector in others:
        raise RequestTrouble(f"{selector!r} would sign at once, since DKSIGN names it; "
                             "--selector gives another name")


def file_names(domain, patterns):
    """Returns the names in all directories of a domain: all its selectors are in one zone."""
    found = set()
    for place in own_places(domain, patterns):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            found.update(os.listdir(place.directory))
    return found


def dated_selector(algorithm, taken):
    """Returns a selector for a key made today.  taken: names of the domain's files

    It follows all of these, since the record of a removed key may still be in the DNS.
    Raises RequestTrouble if no letter is left.
    """
    today = PREFIXES[algorithm] + time.strftime("%Y%m%d")
    used = max((name[len(today):] for name in taken
                if re.fullmatch(today + "[b-z]?", name)), default=None)
    if used is None:
        return today
    if used == "z":
        raise RequestTrouble(f"{today}z exists already; --selector gives another name")
    return today + (chr(ord(used) + 1) if used else "b")


def owning_group(name):
    """Returns the number of the group that may read keys.  Raises RequestTrouble."""
    if name is None and os.geteuid() != 0:
        raise RequestTrouble(f"only root can give a key to group {GROUP}; "
                             "--group names another that you are in")
    try:
        return grp.getgrnam(name or GROUP).gr_gid
    except KeyError:
        raise RequestTrouble(f"there is no group {name or GROUP}; --group names another") from None


def new_key(algorithm, bits):
    """Returns the bytes of a new key file.  Raises RequestTrouble, CryptoTrouble."""
    if algorithm == "rsa" and not RSA_BITS[0] <= bits <= RSA_BITS[1]:
        raise RequestTrouble(f"{bits} bits: verifiers need not take RSA keys but of "
                             f"{RSA_BITS[0]} to {RSA_BITS[1]} (RFC 8301)")
    return crypto.generate_private_key(algorithm, bits)


def domains(patterns, suffixes=("", NEXT)):
    """Returns all domains that have a key, sorted list of str.  patterns: DKSIGN

    suffixes: those that make it one
    """
    return sorted({place.domain for place in existing_places(patterns)
                   if any(is_there(place.path + suffix) for suffix in suffixes)})


def keyless(patterns):
    """Returns the domains with a directory but no key, sorted list of str.  patterns: DKSIGN"""
    return sorted({place.domain for place in existing_places(patterns) if place.lacks_key}
                  - set(domains(patterns)))


def existing_places(patterns):
    """Yields each Place for which a file or directory named by its domain exists."""
    for pattern in patterns.split(":"):
        before, percent, after = pattern.partition("%")
        if not percent:
            continue
        parent, prefix = os.path.split(before)
        suffix = after.split("/")[0]
        for name in os.listdir(parent) if os.path.isdir(parent) else ():
            domain = name[len(prefix):len(name) - len(suffix)]
            if prefix + domain + suffix == name and address.is_domain(os.fsencode(domain)):
                yield Place(domain, pattern)
