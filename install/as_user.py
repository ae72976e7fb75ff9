# SPDX-License-Identifier: MIT
"""Runs a command as another user: as_user.py USER COMMAND [ARGUMENT]...

USER is a name, or the path of a file that the user owns: the user of qmail-remote
is known by a file that qmail's installation gives to it.  Without root's rights,
the command runs as the calling user.
"""

import os
import pwd
import sys

if os.geteuid() == 0:
    if sys.argv[1].startswith("/"):
        state = os.stat(sys.argv[1])
        user, group = state.st_uid, state.st_gid
    else:
        entry = pwd.getpwnam(sys.argv[1])
        user, group = entry.pw_uid, entry.pw_gid
    os.setgroups([])        # as tcpserver and qmail-start do
    os.setgid(group)
    os.setuid(user)
os.chdir("/")
try:
    os.execv(sys.argv[2], sys.argv[2:])
except PermissionError as error:
    sys.exit(f"{sys.argv[2]} can't be run: {error.strerror}; remedy: see who may enter its "
             "directories, and that its file system is not mounted noexec")
except OSError as error:
    sys.exit(f"{sys.argv[2]} can't be run: {error.strerror}")
