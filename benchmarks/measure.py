# SPDX-License-Identifier: MIT
"""Runs one program and prints what it used.

    python3 -IS measure.py input program argument ...

Printed: CPU seconds (user and system, the program's own children included) and
peak resident set in KiB.  It is a process of its own because the kernel counts
what a process held before execve() as the new program's: a parent's size is
the least that its children seem to have.  This one imports only what the
interpreter has built in, so it is as small as a bare one.
"""

import posix
import sys

message, *command = sys.argv[1:]
started = posix.posix_spawn(command[0], command, posix.environ, file_actions=[
    (posix.POSIX_SPAWN_OPEN, 0, message, posix.O_RDONLY, 0),
    (posix.POSIX_SPAWN_OPEN, 1, "/dev/null", posix.O_WRONLY, 0),
    (posix.POSIX_SPAWN_OPEN, 2, "/dev/null", posix.O_WRONLY, 0)])
_, status, usage = posix.wait4(started, 0)
if status:
    sys.exit(f"{command[0]}: wait status {status}")
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
