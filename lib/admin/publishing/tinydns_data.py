# SPDX-License-Identifier: MIT
"""Publishing by the data file of tinydns: it is replaced as a whole, and compiled by make."""

import contextlib
import os
import stat

from ...errors import PublishTrouble, RequestTrouble
from ...settings import without_waiting
from .. import key_storage
from . import command
from .tinydns_lines import Conflict, with_records, without_records

MAKEFILES = ("GNUmakefile", "makefile", "Makefile")
COMPILED = "data.cdb"
UMASK = 0o022           # of make: tinydns, another user, must be able to read COMPILED
A_SECOND = 10**9        # nanoseconds


class TinydnsData:
    """The publisher of DKPUBLISH=tinydns:FILE.  path: of the file

    If make fails, the entries stay in the file: taking them out could lose what
    somebody has edited meanwhile, tinydns still has all that it had, and the next
    call runs make again.
    """

    by_itself = True

    def __init__(self, path):
        self.path = path
        self.directory = os.path.dirname(path)

    def add(self, wanted):
        """Adds Records (list) to the file, or none of them.  Raises PublishTrouble."""
        return self.change(with_records, wanted)

    def remove(self, unwanted):
        """Removes Records (list) from the file, or none of them.  Raises PublishTrouble."""
        return self.change(without_records, unwanted)

    def change(self, edited, entries):
        """Replaces the content by edited(content, entries), then runs make.

        That runs without a change, too: another process may have been killed before it.
        """
        builder = self.builder()
        target = os.path.realpath(self.path)    # a link stays, and leads to the new file
        try:
            with key_storage.lock(os.path.dirname(target)) as directory:
                key_storage.clean(directory)
                while not self.is_replaced(target, directory, edited, entries):
                    pass
                # make keeps the lock if this process is killed.
                failed = command.run(builder, self.directory, [directory], umask=UMASK)
        except Conflict as conflict:
            raise PublishTrouble(f"{self.path}: {conflict}") from conflict
        except RequestTrouble as trouble:
            raise PublishTrouble(f"{trouble}; remedy: try again") from trouble
        except OSError as error:
            raise PublishTrouble(f"{self.path}: {error.strerror}, so DKPUBLISH could not change "
                                 "it; remedy: see that root can write there") from error
        if failed:
            raise PublishTrouble(f"{self.path} is changed, but {builder[0]} failed in "
                                 f"{self.directory}: {failed}; remedy: correct that, and run it")
        return ""

    def builder(self):
        """Returns the command that compiles the file, list of str.  Raises PublishTrouble."""
        if any(os.path.exists(os.path.join(self.directory, name)) for name in MAKEFILES):
            program = command.find("make")
            if program is None:
                raise PublishTrouble("DKPUBLISH needs make, which is not in PATH; remedy: "
                                     "install it")
            return [program]
        program = command.find("tinydns-data")
        if os.path.basename(self.path) == "data" and program:
            return [program]
        raise PublishTrouble(f"{self.directory} has no Makefile, so no change of {self.path} would "
                             "get into the DNS; remedy: make one as tinydns-conf does, or correct "
                             "DKPUBLISH")

    def is_replaced(self, target, directory, edited, entries):
        """Edits the file.  Returns False if somebody else changed it at the same time.

        target: its path without links; directory: descriptor of its directory, locked
        Raises Conflict, PublishTrouble, OSError.
        """
        with open(target, "rb", opener=without_waiting) as file:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise PublishTrouble(f"{target} is not a file; remedy: correct DKPUBLISH")
            old = file.read()
            new = edited(old, entries)
            if new == old:
                return True
            name = key_storage.TEMPORARY + os.urandom(8).hex()
            try:
                self.write(name, directory, new, file.fileno())
                if identity(os.stat(target)) != identity(state):
                    return False
                os.rename(name, target, src_dir_fd=directory)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=directory)
        os.fsync(directory)
        return True

    def write(self, name, directory, content, like):
        """Writes a new file with the owner, group, mode and attributes of an open one.

        directory, like: descriptors.  Raises OSError.
        """
        state = os.fstat(like)
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600,
                     dir_fd=directory)
        with open(fd, "wb") as file:
            file.write(content)
            file.flush()
            new = os.fstat(fd)
            if (new.st_uid, new.st_gid) != (state.st_uid, state.st_gid):
                os.chown(fd, state.st_uid, state.st_gid)
            os.chmod(fd, stat.S_IMODE(state.st_mode))
            for attribute in os.listxattr(like) if hasattr(os, "listxattr") else ():
                os.setxattr(fd, attribute, os.getxattr(like, attribute))    # access lists
            os.fsync(fd)
            self.age_compiled(new.st_mtime_ns)

    def age_compiled(self, time):
        """Makes the compiled file older than a time (nanoseconds), so that make makes it anew.

        A clock that ticks 100 times a second gives two quick changes the same time.
        """
        path = os.path.join(self.directory, COMPILED)
        with contextlib.suppress(FileNotFoundError):
            state = os.stat(path)
            if state.st_mtime_ns >= time:
                os.utime(path, ns=(state.st_atime_ns, time - A_SECOND))


def identity(state):
    """Returns what tells a version of a file from others.  state: os.stat_result"""
    return state.st_ino, state.st_size, state.st_mtime_ns
