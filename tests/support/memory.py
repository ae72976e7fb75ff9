# SPDX-License-Identifier: MIT
"""The most memory that a program has, and the limit that our pages advise."""

import sys

ADVISED = 150_000_000 if "t" in sys.abiflags else 100_000_000   # of softlimit -m, bytes

# Runs a command, and writes the most memory that it had, in KiB, to a file: FILE COMMAND...
MEASURED = """
import os, sys
process = os.fork()
if not process:
    os.execv(sys.argv[2], sys.argv[2:])
_, status, usage = os.wait4(process, 0)
with open(sys.argv[1], "w") as file:
    file.write(str(usage.ru_maxrss))
os._exit(os.waitstatus_to_exitcode(status))
"""
