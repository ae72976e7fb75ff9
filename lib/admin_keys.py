# SPDX-License-Identifier: MIT
"""Where a domain's keys are, and how a new one gets there.

A key lies in the directory that a pattern of DKSIGN names, in a file named by
its selector; the pattern's own name is a link to it:

    /etc/domainkeys/example.com/s20260101
    /etc/domainkeys/example.com/default -> s20260101

Two more links tell other keys from it: default.next is to sign, once its record
is in the DNS, for mail whose key can't be found is refused by many;
default.former has signed.
"""

import contextlib
import grp
import os
import time
from typing import NamedTuple

from . import address, crypto, keys
from .errors import RequestTrouble

GROUP = "qmail"             # qmailr's, the user whose eyes the signer has
KEY_MODE = 0o640
DIRECTORY_MODE = 0o750
PARENT_MODE = 0o755         # of /etc/domainkeys itself

PREFIXES = {"rsa": "s", "ed25519": "ed"}    # of a selector, before the date
RSA_BITS = (1024, 4096)     # what all verifiers take (RFC 8301 section 3.2)

NEXT = ".next"
FORMER = ".former"


class Place(NamedTuple):
    """Where the key of a domain is by one pattern; both str."""
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

    def key(self, suffix=""):
        """The keys.SigningKey there, None if there is none.  Raises KeyTrouble.

        suffix: NEXT or FORMER for the others
        """
        found = keys.key_files(self.domain.encode(), self.pattern + suffix)
        if not found:
            return None
        (key,) = keys.load(self.domain.encode(), found)
        if key.selector == os.fsencode(self.name + suffix):
            key.selector = os.fsencode(self.name)   # it has that name while it signs
        return key


def checked_domain(text):
    """A domain as an administrator writes it -> str in lower case.  Raises RequestTrouble.

    International names are not converted: which A-label belongs to one depends
    on the version of IDNA, and the wrong one may be somebody else's domain.
    """
    domain = text.lower().rstrip(".")
    if not domain.isascii():
        raise RequestTrouble(f"{text!r}: write an international domain with its A-labels (xn--...)")
    if not address.is_domain(domain.encode()):
        raise RequestTrouble(f"{text!r} is not a domain name")
    return domain


def places(domain, patterns):
    """The Places of a domain's keys.  patterns: DKSIGN"""
    return [Place(domain, pattern) for pattern in patterns.split(":") if pattern]


def make_next(place, algorithm, bits, selector, group):
    """Makes the key that is to sign next -> its SigningKey.  Raises RequestTrouble, OSError.

    algorithm: "rsa" or "ed25519"; bits: of RSA
    selector: str, or None for one with the date; group: name, or None for GROUP
    """
    if os.path.lexists(place.path + NEXT):
        raise RequestTrouble(waiting(place))
    selector = checked_selector(selector or dated_selector(algorithm))
    group_id = owning_group(group)
    pem = new_key(algorithm, bits)
    if selector == place.name and not os.path.lexists(place.path):
        write_key(place, selector + NEXT, pem, group_id)    # it would sign by its own name
        return place.key(NEXT)
    path = write_key(place, selector, pem, group_id)
    try:
        os.symlink(selector, place.path + NEXT)
    except OSError:
        os.unlink(path)
        raise
    return place.key(NEXT)


def waiting(place):
    """What hinders another key of a Place: one that is to sign next."""
    path = place.path + NEXT
    if not os.path.exists(path):
        return f"{path} is a link to nothing; remedy: rm {path}"
    key = place.key(NEXT)
    return (f"{path} exists already; qmail-dk dns {place.domain} prints its record, "
            f"{rotate_command(key, '--activate')} makes it sign")


def rotate_command(key, *options):
    """The command that changes a key (keys.SigningKey), with the type where it has to be told."""
    algorithm = key.private_key.algorithm
    words = ["qmail-dk rotate", key.domain.decode(), *options]
    return " ".join(words + ([] if algorithm == "rsa" else ["--type", algorithm]))


def free_place(domain, patterns, algorithm):
    """The first Place without a key.  Raises RequestTrouble where there is none.

    domain: of checked_domain(); patterns: DKSIGN
    """
    taken = []
    for place in places(domain, patterns):
        if (not os.path.isabs(place.pattern) or "%" not in os.path.dirname(place.pattern)
                or "%" in os.path.basename(place.pattern)):
            continue
        if os.path.lexists(place.path):
            taken.append(place.path)
        elif os.path.lexists(place.path + NEXT):
            key = place.key(NEXT)
            if key is None or key.private_key.algorithm == algorithm:
                raise RequestTrouble(waiting(place))
            taken.append(place.path + NEXT)
        else:
            return place
    if not taken:
        raise RequestTrouble(f"DKSIGN ({patterns}) gives no directory of its own to each domain, "
                             "as /etc/domainkeys/%/default does")
    raise RequestTrouble(
        f"{' and '.join(taken)} exists already; to change it: qmail-dk rotate {domain}; to have a "
        f"second key sign beside it, add a pattern to DKSIGN, such as "
        f"{patterns}:{os.path.dirname(patterns.split(':')[0])}/{algorithm}")


def checked_selector(selector):
    """The selector, if it is one that can be a file's name.  Raises RequestTrouble."""
    if not keys.is_selector(os.fsencode(selector)):
        raise RequestTrouble(f"{selector!r} is not a selector: letters, digits, hyphens, dots")
    return selector


def dated_selector(algorithm):
    """A selector for a key made today."""
    return PREFIXES[algorithm] + time.strftime("%Y%m%d")


def owning_group(name):
    """The number of the group that is to read keys.  Raises RequestTrouble."""
    if name is None and os.geteuid() != 0:
        raise RequestTrouble(f"only root can give a key to group {GROUP}; "
                             "--group names another that you are in")
    try:
        return grp.getgrnam(name or GROUP).gr_gid
    except KeyError:
        raise RequestTrouble(f"there is no group {name or GROUP}; --group names another") from None


def new_key(algorithm, bits):
    """The bytes of a new key file.  Raises RequestTrouble, CryptoTrouble."""
    if algorithm == "rsa" and not RSA_BITS[0] <= bits <= RSA_BITS[1]:
        raise RequestTrouble(f"{bits} bits: verifiers need not take RSA keys but of "
                             f"{RSA_BITS[0]} to {RSA_BITS[1]} (RFC 8301)")
    return crypto.generate_private_key(algorithm, bits)


def write_key(place, selector, pem, group_id):
    """Writes a key file -> its path.  Raises RequestTrouble, OSError.

    It has its owner, group and mode before it has content, and its content
    before it has its name.  Nothing is ever overwritten, nothing left behind.
    """
    path = os.path.join(place.directory, selector)
    with contextlib.ExitStack() as undo:
        make_directories(place, group_id, undo)
        temporary = os.path.join(place.directory, "." + os.urandom(8).hex())
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(fd, "wb") as file:
                give_to_group(fd, group_id, KEY_MODE)
                file.write(pem)
                file.flush()
                os.fsync(fd)
            os.link(temporary, path)
        except FileExistsError:
            raise RequestTrouble(f"{path} exists already; --selector gives another name") from None
        finally:
            os.unlink(temporary)
        undo.pop_all()
    return path


def make_directories(place, group_id, undo):
    """Makes the directory of a Place, and those above it; undo: ExitStack that removes them.

    Those that all domains share are open to everybody.
    """
    shared = os.path.dirname(place.pattern.partition("%")[0])
    missing = []
    directory = place.directory
    while not os.path.isdir(directory):
        missing.append(directory)
        directory = os.path.dirname(directory)
    for directory in reversed(missing):
        os.mkdir(directory, 0o700)
        undo.callback(os.rmdir, directory)
        if len(directory) > len(shared):
            give_to_group(directory, group_id, DIRECTORY_MODE)
        else:
            os.chmod(directory, PARENT_MODE)


def give_to_group(file, group_id, mode):
    """Sets group and mode of a path or descriptor, in the safe order.  Raises RequestTrouble."""
    try:
        os.chown(file, -1, group_id)
    except PermissionError:
        raise RequestTrouble("you are not in that group, so you can't give a key to it") from None
    os.chmod(file, mode)


def domains(patterns):
    """All domains that have a key, sorted; str.  patterns: DKSIGN"""
    found = set()
    for pattern in patterns.split(":"):
        before, percent, after = pattern.partition("%")
        if not percent:
            continue
        parent, prefix = os.path.split(before)
        suffix = after.split("/")[0]
        for name in os.listdir(parent) if os.path.isdir(parent) else ():
            domain = name[len(prefix):len(name) - len(suffix)]
            if (prefix + domain + suffix == name and address.is_domain(os.fsencode(domain))
                    and any(is_there(pattern.replace("%", domain) + ending)
                            for ending in ("", NEXT))):
                found.add(domain)
    return sorted(found)


def is_there(path):
    """Whether a directory has a name, or may have: it can't be looked into."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:
        pass
    return True
