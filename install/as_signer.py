# SPDX-License-Identifier: MIT
"""Runs a command as qmail-remote's user: as_signer.py QMAIL COMMAND [ARGUMENT]...

The user is told by a file that qmail's installation gives to it.  Whoever is
not root runs the command as himself.
"""

import os
import sys

if os.geteuid() == 0:
    state = os.stat(sys.argv[1] + "/queue/lock/tcpto")
    os.setgroups([])
    os.setgid(state.st_gid)
    os.setuid(state.st_uid)
os.chdir("/")
os.execv(sys.argv[2], sys.argv[2:])
