# SPDX-License-Identifier: MIT
"""Runs one program and writes what it and all its descendants used.

    python3 -IS tree.py file program argument ...

Written to file: CPU seconds, of those processes as well that outlive the one
that started them.  Linux only.
"""

import ctypes
import os
import resource
import sys

PR_SET_CHILD_SUBREAPER = 36

file, *command = sys.argv[1:]
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
os.posix_spawn(command[0], command, os.environ)
os.close(0)
os.close(1)
try:
    while True:
        os.wait()
except ChildProcessError:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(file, "w", encoding="ascii") as output:
    output.write(str(used.ru_utime + used.ru_stime))
