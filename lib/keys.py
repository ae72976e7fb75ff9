# SPDX-License-Identifier: MIT
"""The private keys on disk: which exist for a domain, and their selectors.

DKSIGN names them by patterns separated by ":"; a "%" stands for the signing
domain.  The selector is the basename.  A link inside one directory
(`default -> s2026a`) gives the target's name, so that a key is rotated by one
atomic relink.
"""

import errno
import posix
import stat

from . import process
from .errors import KeyTrouble
from .process import fsdecode, fsencode

LONGEST_KEY_FILE = 65536    # bytes
MOST_LINKS = 8              # a chain longer than that is a loop
# The last: a domain of 253 bytes and what the pattern puts behind it make no name.
NO_SUCH_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)

# A process that signs much keeps its keys loaded, by the bytes of their files,
# as long as it has work: that halves the cost of a signature.
keep_loaded = False
in_use = {}
MOST_IN_USE = 32

SELECTOR = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"


class SigningKey:
    """A key file that exists, and what it signs as.

    domain: the signing domain, d= (bytes); selector: s= (bytes)
    path: the file itself, no link; readable_by_others: bool
    private_key: crypto.PrivateKey
    """

    __slots__ = ("domain", "selector", "path", "readable_by_others", "private_key")

    def __init__(self, domain, selector, path, readable_by_others, private_key):
        self.domain = domain
        self.selector = selector
        self.path = path
        self.readable_by_others = readable_by_others
        self.private_key = private_key


def not_noted(path):
    """What is told of each path before it is looked at; most programs need not know."""


def first_with_key(domains, patterns, known, consulted=not_noted):
    """The key files of the first of domains that has any.

    domains: bytes, each checked by address.is_domain(); patterns: DKSIGN
    known: {domain: its key files}, what was found for the same message before
    consulted: called with each path before it is looked at
    -> (domain, list of (selector, path, file's bytes, mode)), (None, []) if none has.
    Raises KeyTrouble if a file exists but can't be read.
    """
    for domain in domains:
        if domain not in known:
            known[domain] = key_files(domain, patterns, consulted)
        if known[domain]:
            return domain, known[domain]
    return None, []


def key_files(domain, patterns, consulted=not_noted):
    """The key files of one domain, by patterns, each selector once.

    domain: bytes; patterns: str; the result is as in first_with_key().  Raises KeyTrouble.
    """
    found = {}
    for pattern in patterns.split(":"):
        if not pattern:
            continue
        path = fsencode(pattern).replace(b"%", domain)
        selector, path, flags = resolve(path, consulted)
        content = read(path, flags)
        if content is None:
            if "%" not in pattern:
                raise KeyTrouble(f"DKSIGN names {pattern}, which does not exist")
            continue
        if not is_selector(selector):
            raise KeyTrouble(f"{fsdecode(path)}: its name can't be a selector")
        found.setdefault(selector, (selector, path) + content)
    return list(found.values())


def resolve(path, consulted=not_noted):
    """Follows links that stay in their directory -> (selector, path, flags to open it with).

    Any other link is left to open(), and its own name is the selector.  Flags
    are None where there is nothing.  What was no link must still be none when it
    is opened: else the selector would be that of another key.  Raises KeyTrouble.
    """
    for _ in range(MOST_LINKS):
        selector = path.rpartition(b"/")[2]
        consulted(path)
        try:
            target = beside(path, posix.readlink(path))
        except OSError as error:
            if error.errno == errno.EINVAL:
                return selector, path, posix.O_NOFOLLOW
            if error.errno in NO_SUCH_FILE:
                return selector, path, None
            raise unreadable(path, error) from error
        if target is None:
            return selector, path, 0
        path = target
    raise KeyTrouble(f"too many links at {fsdecode(path)}")


def beside(path, target):
    """The path that a link's target stands for, None if it leaves the directory of the link.

    path, target: of the link, bytes
    """
    directory, slash, _ = path.rpartition(b"/")
    if b"/" not in target and target not in (b".", b".."):
        return directory + slash + target
    import os.path      # 2.5 ms, for links that are written in a longer way
    target = os.path.normpath(os.path.join(directory, target))
    return target if os.path.dirname(target) == os.path.dirname(os.path.normpath(path)) else None


def unreadable(path, error):
    """The KeyTrouble for an OSError."""
    return KeyTrouble(f"unable to open {fsdecode(path)}: {error.strerror}; "
                      "it must be readable to group qmail")


def read(path, flags=0):
    """-> (bytes of a key file, its mode), or None where there is no such file.

    flags: of resolve().  Raises KeyTrouble if it can't be read.
    """
    if flags is None:
        return None
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK | flags)
    except OSError as error:
        if error.errno in NO_SUCH_FILE:
            return None
        raise unreadable(path, error) from error
    try:
        mode = posix.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            raise KeyTrouble(f"{fsdecode(path)} is not a file")
        process.keep_memory_private()
        data = posix.read(fd, LONGEST_KEY_FILE)
    except OSError as error:
        raise KeyTrouble(f"unable to read {fsdecode(path)}: {error.strerror}") from error
    finally:
        posix.close(fd)
    return data, mode


def is_selector(name):
    """Whether bytes can be a selector (RFC 6376 section 3.1)."""
    return all(0 < len(label) <= 63 and not label.translate(None, SELECTOR)
               for label in name.split(b"."))


def load(domain, files):
    """The SigningKeys of the files that first_with_key() found.

    Raises KeyTrouble, with the path, if one is no key that can sign.
    """
    from . import crypto    # not before there is a key: it costs 6 ms
    loaded = []
    for selector, path, data, mode in files:
        try:
            private_key = in_use.get(data) or crypto.load_private_key(data)
        except KeyTrouble as trouble:
            raise KeyTrouble(f"{fsdecode(path)}: {trouble}") from trouble
        if keep_loaded:
            if len(in_use) >= MOST_IN_USE:
                in_use.clear()
            in_use[data] = private_key
        loaded.append(SigningKey(domain, selector, path, bool(mode & stat.S_IROTH), private_key))
    return loaded
