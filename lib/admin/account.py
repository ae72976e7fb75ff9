# SPDX-License-Identifier: MIT
"""The account that qmail-remote runs as, and access to files with an account's rights."""

import contextlib
import os
import pwd
from typing import NamedTuple

from ..settings import QMAIL


class Account(NamedTuple):
    """The numbers of a user and a group."""
    user: int
    group: int

    @property
    def name(self):
        try:
            return pwd.getpwuid(self.user).pw_name
        except KeyError:
            return f"user {self.user}"


def signers_account(qmail=QMAIL):
    """Returns the Account of qmailr, who owns queue/lock/tcpto, or None if that can't be examined.

    qmail: its home
    """
    try:
        state = os.stat(qmail + "/queue/lock/tcpto")
    except OSError:
        return None
    return Account(state.st_uid, state.st_gid)


@contextlib.contextmanager
def eyes_of(account):
    """A context in which files are opened with the rights of an Account.

    Raises PermissionError if this process may not take them.
    """
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


@contextlib.contextmanager
def signers_eyes():
    """A context in which files are opened with qmail-remote's rights if possible; gives whether.

    It is possible for root and qmailr, if qmail is installed.
    """
    account = signers_account()
    if account is None or os.geteuid() not in (0, account.user):
        yield False
        return
    with eyes_of(account):
        yield True
