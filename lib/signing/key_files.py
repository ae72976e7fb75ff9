# SPDX-License-Identifier: MIT
"""Finds and loads the private keys of a domain, and their selectors.

DKSIGN has patterns of paths, separated by ":"; "%" stands for the signing domain.
The selector is the basename of the file.  For a link within a directory
(`default -> s2026a`) it is the name of the target, so that replacing the link,
which is atomic, rotates the key.
"""

import _stat as stat       # without the half that is written in Python
import errno
import posix

from .. import process
from ..errors import CryptoTrouble, KeyTrouble
from ..mail import address
from ..process import fsdecode, fsencode

LONGEST_KEY_FILE = 65536    # bytes
MOST_LINKS = 8              # a longer chain is taken for a loop
# ENAMETOOLONG: a domain of 253 bytes with the rest of the pattern is too long for a name.
NO_SUCH_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)

# A resident process keeps loaded keys by the bytes of their files, as long as it has
# work: this halves the cost of a signature.
keep_loaded = False
in_use = {}
MOST_IN_USE = 32


TYPE_CHECKING = False       # type checkers assume True
if TYPE_CHECKING:
    from .. import crypto


class SigningKey:
    """A loaded key file, with the domain and selector that it signs as.

    domain: the signing domain, d= (RFC 6376 section 3.5); selector: s=
    path: of the file itself, no link
    readable_by_others: whether its mode lets all users read it
    """

    __slots__ = ("domain", "selector", "path", "readable_by_others", "private_key")

    def __init__(self, domain: bytes, selector: bytes, path: bytes, readable_by_others: bool,
                 private_key: "crypto.PrivateKey"):
        self.domain = domain
        self.selector = selector
        self.path = path
        self.readable_by_others = readable_by_others
        self.private_key = private_key

    def sign(self, hash_name, digest):
        """Returns the signature of a digest, as PrivateKey.sign().  Raises CryptoTrouble."""
        try:
            return self.private_key.sign(hash_name, digest)
        except CryptoTrouble as trouble:
            raise CryptoTrouble(f"{fsdecode(self.path)}: {trouble}") from trouble


def not_noted(path):
    """The default for consulted: ignores the path."""


def first_with_key(domains, patterns, known, consulted=not_noted):
    """Returns the first of the domains that has key files, and these files.

    domains: iterable of bytes, each checked by address.is_domain()
    patterns: as settings.key_patterns() returns them, str
    known: {domain: its key files} found for the same message before; is extended
    consulted: function, called with each path before it is looked at
    Returns (domain, list of (selector, path, file's bytes, mode)), or (None, []).
    Raises KeyTrouble if a file exists but can't be read or used.
    """
    for domain in domains:
        if domain not in known:
            known[domain] = key_files(domain, patterns, consulted)
        if known[domain]:
            return domain, known[domain]
    return None, []


def key_files(domain, patterns, consulted=not_noted):
    """Returns the key files of one domain (bytes), each selector once.

    The list and the other arguments are as in first_with_key().  Raises KeyTrouble.
    """
    found = {}
    for pattern in patterns.split(":"):
        if not pattern:
            continue
        path = fsencode(pattern).replace(b"%", domain)
        selector, path, content = look_up(path, consulted)
        if content is None:
            if "%" not in pattern:
                raise KeyTrouble(f"DKSIGN names {pattern}, which does not exist")
            continue
        if not address.are_labels(selector):        # RFC 6376 section 3.1
            raise KeyTrouble(f"{fsdecode(path)}: its name can't be a selector")
        found.setdefault(selector, (selector, path) + content)
    return list(found.values())


def look_up(path, consulted):
    """Returns (selector, path of the file, (its bytes, its mode) or None).  Raises KeyTrouble.

    If the file has become a link between resolve() and read(), or has gone, the name
    now stands for another key, or for none, and is looked up again.
    """
    try:
        selector, file, flags = resolve(path, consulted)
        return selector, file, read(file, flags)
    except KeyTrouble as trouble:
        if getattr(trouble.__cause__, "errno", None) not in (errno.ELOOP, errno.ENOENT):
            raise
    selector, file, flags = resolve(path, consulted)
    return selector, file, read(file, flags)


def resolve(path, consulted=not_noted):
    """Follows links within their directory.  Returns (selector, path, flags for open()).

    open() follows any other link, whose own name is the selector.  Flags are None if
    nothing is there, O_NOFOLLOW if path was no link: one that has replaced it would
    lead to another key than the selector's.  Raises KeyTrouble, also for a link to
    nothing, since that is a lost key.
    """
    link = None     # the link that led to path
    for _ in range(MOST_LINKS + 1):     # one more, for the target of the last link
        selector = path.rpartition(b"/")[2]
        consulted(path)
        try:
            target = beside(path, posix.readlink(path))
        except OSError as error:
            if error.errno == errno.EINVAL:
                return selector, path, posix.O_NOFOLLOW
            if error.errno not in NO_SUCH_FILE:
                raise unreadable(path, error) from error
            if link is not None:
                raise dangling(link) from error
            refuse_dangling_directory(path)
            return selector, path, None
        if target is None:
            return selector, path, 0
        link, path = path, target
    raise KeyTrouble(f"too many links at {fsdecode(path)}")


def beside(path, target):
    """Returns the path of a link's target, None if it leaves the directory of the link.

    path, target: of the link, bytes
    """
    directory, slash, _ = path.rpartition(b"/")
    if b"/" not in target and target not in (b".", b".."):
        return directory + slash + target
    import os.path      # 2.5 ms, only for targets that are not a plain name
    target = os.path.normpath(os.path.join(directory, target))
    return target if os.path.dirname(target) == os.path.dirname(os.path.normpath(path)) else None


def refuse_dangling_directory(path):
    """Raises KeyTrouble if a directory above a missing path is a link to nothing.

    Then the disk with the keys is not mounted, or only partly restored.
    """
    directory = path.rpartition(b"/")[0]
    while directory:
        try:
            posix.stat(directory)
            return
        except OSError as error:
            if process.is_link(directory):
                raise dangling(directory) from error
        directory = directory.rpartition(b"/")[0]


def dangling(link):
    """Returns the KeyTrouble for a link (bytes) to nothing."""
    return KeyTrouble(f"{fsdecode(link)} is a link to nothing; restore what it leads to, "
                      "or remove it if that is not to sign")


def unreadable(path, error):
    """Returns the KeyTrouble for a path (bytes) and the OSError of opening it."""
    return KeyTrouble(f"unable to open {fsdecode(path)}: {error.strerror}; "
                      "it must be readable to group qmail")


def read(path, flags=0):
    """Returns (bytes of a key file, its mode), or None if flags is None.

    flags: as resolve() returns them.  Raises KeyTrouble if the file can't be read.
    """
    if flags is None:
        return None
    try:
        # O_NONBLOCK, because opening a FIFO would wait for a writer.
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK | flags)
    except OSError as error:
        if error.errno in NO_SUCH_FILE and not flags:
            raise dangling(path) from error
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


def load(domain, files):
    """Loads key files, as first_with_key() returns them.  Returns a list of SigningKeys.

    Raises KeyTrouble, with the path, if one is no key that can sign, and CryptoTrouble.
    """
    from .. import crypto      # only once there is a key, since it costs 6 ms
    loaded = []
    for selector, path, data, mode in files:
        try:
            private_key = in_use.get(data) or crypto.load_private_key(data)
        except KeyTrouble as trouble:
            raise KeyTrouble(f"{fsdecode(path)}: {trouble}") from trouble
        if keep_loaded:
            if data not in in_use and len(in_use) >= MOST_IN_USE:
                in_use.clear()
            in_use[data] = private_key
        loaded.append(SigningKey(domain, selector, path, bool(mode & stat.S_IROTH), private_key))
    return loaded
