# SPDX-License-Identifier: MIT
"""Stores private keys, beside other processes and after killed ones.

A private key never loses its name and is never overwritten.  It gets its owner,
group and mode before its content, and all of its content before its name; so does
a directory.  Deliveries look at both all the time, and would defer mail if they
could not read one.  A process that changes a directory of keys holds its lock; a
killed one leaves no lock.
"""

import contextlib
import errno
import fcntl
import os
import stat
import time

from ..errors import KeyTrouble, RequestTrouble
from ..signing import key_files

KEY_MODE = 0o640
DIRECTORY_MODE = 0o750
PARENT_MODE = 0o755         # of directories that all domains share, as /etc/domainkeys

# Prefix of the names of incomplete files and directories; no selector begins with a dot.
TEMPORARY = ".qmail-dk-new."

LONGEST_WAIT = 60           # seconds to wait for the lock
PAUSE = 0.02
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

# Errors of file systems that have no locks (NFS needs a file open for writing), and of
# those that have no files without a name or can't give them one.
NO_LOCKS = (errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
NO_NAMELESS_FILES = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT, errno.ENOSYS,
                     errno.EXDEV, errno.EPERM)


def is_there(path):
    """Returns whether a name exists, or may: its directory is closed to us, or lost.

    os.path's functions return False for other errors too, and a caller would then act
    wrongly, as if nothing were there.  Raises OSError.
    """
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        try:
            key_files.refuse_dangling_directory(os.fsencode(path))
        except KeyTrouble:
            return True
        return False
    except PermissionError:
        pass
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
    return True


def is_link(path):
    """Returns whether a path is a link.  Raises OSError, also if nothing is there."""
    return stat.S_ISLNK(os.lstat(path).st_mode)


def is_same(path, other):
    """Returns whether both paths lead to one file; False if one leads nowhere.  Raises OSError."""
    found = identity(path)
    return found is not None and found == identity(other)


def identity(path):
    """Returns (device, inode) of the file that a path leads to, None if it leads nowhere.

    Raises OSError.
    """
    try:
        state = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return None
    return state.st_dev, state.st_ino


def links_of(path):
    """Yields a path, and each path that a link there leads to."""
    for _ in range(key_files.MOST_LINKS):
        yield path
        if not os.path.islink(path):
            break
        path = os.path.join(os.path.dirname(path), os.readlink(path))


@contextlib.contextmanager
def lock(directory):
    """Locks a directory of keys while the context lasts, and yields its descriptor.

    Raises RequestTrouble if another process holds the lock for too long, OSError.
    """
    fd = open_locked(directory)
    try:
        yield fd
    finally:
        os.close(fd)


def open_locked(directory):
    """Returns the descriptor of a directory, locked.  Raises RequestTrouble, OSError."""
    until = time.monotonic() + LONGEST_WAIT
    while True:
        fd = os.open(directory, DIRECTORY)
        try:
            while not try_lock(fd):
                if time.monotonic() > until:
                    raise RequestTrouble(f"another qmail-dk is at work in {directory}")
                time.sleep(PAUSE)
            if os.path.samestat(os.fstat(fd), os.stat(directory)):
                return fd       # else another has taken its place
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def try_lock(fd):
    """Locks a descriptor.  Returns False if another process has the lock.  Raises OSError.

    Returns True, without a lock, on a file system that has none.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return True


def unlock(fd):
    """Ends the lock of a descriptor, also for the processes that have inherited it."""
    with contextlib.suppress(OSError):      # the file system has none
        fcntl.flock(fd, fcntl.LOCK_UN)


@contextlib.contextmanager
def directory_for(place, group_id):
    """Locks the directory of a key_places.Place, and yields its descriptor.

    Makes the directory if it is missing, and removes it again if the context fails;
    fixes one that is closed to the group.  FileNotFoundError means that another
    process has removed it.  Raises RequestTrouble, OSError.
    """
    with contextlib.ExitStack() as undo:
        make_directories(place, group_id, undo)
        with lock(place.directory) as fd:
            mend(fd, place.directory, group_id)
            clean(fd)
            yield fd
        undo.pop_all()


def make_directories(place, group_id, undo):
    """Makes the directory of a Place and those above it.  undo: ExitStack that removes them

    Those that all domains share are open to everybody.  Raises RequestTrouble, OSError.
    """
    shared = os.path.dirname(place.pattern.partition("%")[0])
    missing = []
    directory = place.directory
    while not is_there(directory):
        missing.append(directory)
        directory = os.path.dirname(directory)
    for directory in enclosing(place.directory, shared):
        if directory not in missing:
            require_way(directory, group_id)
    for directory in reversed(missing):
        own = len(directory) > len(shared)
        if make_directory(directory, group_id if own else -1,
                          DIRECTORY_MODE if own else PARENT_MODE):
            undo.callback(remove_if_empty, directory)
            flush(os.path.dirname(directory))


def enclosing(directory, shared):
    """Yields the directories above one, up to the one that all domains share."""
    while len(directory) > len(shared):
        directory = os.path.dirname(directory)
        yield directory


def make_directory(directory, group_id, mode):
    """Makes a directory.  Returns False if another process has done so before.

    It is complete before it gets its name.  group_id: -1 leaves the group as it is
    """
    parent = os.path.dirname(directory)
    remove_leftovers(parent)
    temporary = os.path.join(parent, TEMPORARY + os.urandom(8).hex())
    os.mkdir(temporary, 0o700)
    try:
        with lock(temporary) as fd:     # so that no process takes it for a leftover
            give(fd, group_id, mode)
            os.rename(temporary, directory)
    except OSError as error:
        remove_if_empty(temporary)
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise
        return False
    except BaseException:
        remove_if_empty(temporary)
        raise
    return True


def remove_leftovers(parent):
    """Removes the incomplete directories of killed processes: nobody holds their locks."""
    for name in os.listdir(parent):
        if name.startswith(TEMPORARY):
            path = os.path.join(parent, name)
            with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
                fd = os.open(path, DIRECTORY | os.O_NOFOLLOW)
                stack.callback(os.close, fd)
                if try_lock(fd):
                    os.rmdir(path)


def flush(directory):
    """Writes the names in a directory to the disk.  Raises OSError."""
    fd = os.open(directory, DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove_if_empty(directory):
    with contextlib.suppress(OSError):
        os.rmdir(directory)


def require_way(directory, group_id):
    """Requires that the group can go through a directory above a domain's.

    Opens one that is ours and empty: an older version left it when it was killed.
    Raises RequestTrouble, OSError.
    """
    state = os.stat(directory)
    if lets_through(state, group_id):
        return
    if state.st_uid == os.geteuid() and not os.listdir(directory):
        os.chmod(directory, PARENT_MODE)
        return
    raise RequestTrouble(f"{directory}: the group that is to read keys can't go through it, so all "
                         f"mail of all domains is deferred; remedy: chmod a+x {directory}")


def mend(fd, directory, group_id):
    """Lets the group into the directory of a domain.

    Raises RequestTrouble, also if others could change the key; OSError.
    """
    state = os.fstat(fd)
    if state.st_uid not in (0, os.geteuid()):
        raise RequestTrouble(f"{directory} belongs to user number {state.st_uid}, who could change "
                             f"the key; remedy: chown root {directory}")
    if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise RequestTrouble(f"{directory}: others than its owner could change the key; "
                             f"remedy: chmod go-w {directory}")
    if not lets_through(state, group_id):
        give(fd, group_id, stat.S_IMODE(state.st_mode) | DIRECTORY_MODE)


def lets_through(state, group_id):
    """Returns whether members of a group can open files in a directory.  state: os.stat_result"""
    if state.st_gid == group_id:
        return bool(state.st_mode & stat.S_IXGRP)
    return bool(state.st_mode & stat.S_IXOTH)


def clean(directory):
    """Removes the temporary names of killed processes.  directory: its descriptor, locked

    A process holds the lock while it has such a name.  A key that already has its own
    name loses only the temporary one; any other key was never shown to anybody.
    """
    for name in os.listdir(directory):
        if name.startswith(TEMPORARY):
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=directory)


def write_key(directory, name, pem, group_id):
    """Writes a key file.  Raises FileExistsError, RequestTrouble, OSError.

    directory: descriptor, locked; name: str; pem: bytes
    """
    try:
        fd = os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=directory)
        with open(fd, "wb") as file:
            fill(file, pem, group_id)
            os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=directory)
    except AttributeError:      # this system has no O_TMPFILE
        write_key_by_other_name(directory, name, pem, group_id)
    except OSError as error:
        if error.errno not in NO_NAMELESS_FILES:
            raise
        write_key_by_other_name(directory, name, pem, group_id)
    os.fsync(directory)


def write_key_by_other_name(directory, name, pem, group_id):
    """As write_key(), through a temporary name, which clean() removes after a kill."""
    temporary = TEMPORARY + os.urandom(8).hex()
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600,
                 dir_fd=directory)
    try:
        with open(fd, "wb") as file:
            fill(file, pem, group_id)
        os.link(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    finally:
        os.unlink(temporary, dir_fd=directory)


def fill(file, pem, group_id):
    """Sets a new file's group and mode, then writes it.  Raises RequestTrouble, OSError."""
    give(file.fileno(), group_id, KEY_MODE)
    file.write(pem)
    file.flush()
    os.fsync(file.fileno())


def give(fd, group_id, mode):
    """Sets a descriptor's group, then its mode, the safe order.  Raises RequestTrouble, OSError."""
    try:
        os.chown(fd, -1, group_id)
    except PermissionError:
        raise RequestTrouble("you are not in that group, so you can't give a key to it") from None
    os.chmod(fd, mode)
