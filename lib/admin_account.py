# SPDX-License-Identifier: MIT
"""Who qmail-remote runs as, and files as seen by such an account."""

import contextlib
import os
import pwd
from typing import NamedTuple

from .settings import QMAIL


class Account(NamedTuple):
    """Who qmail-remote runs as: numbers of user and group."""
    user: int
    group: int

    @property
    def name(self):
        try:
            return pwd.getpwuid(self.user).pw_name
        except KeyError:
            return f"user {self.user}"


def signers_account(qmail=QMAIL):
    """The Account of qmailr, told by a file that qmail's installation gives to it; or None."""
    try:
        state = os.stat(qmail + "/queue/lock/tcpto")
    except OSError:
        return None
    return Account(state.st_uid, state.st_gid)


@contextlib.contextmanager
def eyes_of(account):
    """Files are opened as by an Account.  Raises PermissionError if that can't be."""
    if account.user == os.geteuid():
        yield
        return
    groups = os.getgroups()
    os.setgroups([account.group])
    os.setegid(account.group)
    os.seteuid(account.user)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
