# SPDX-License-Identifier: MIT
"""Runs one program so many times, some of them at once, and prints what that took.

    python3 -IS measure.py input times at-once program argument ...

Printed: CPU seconds of all runs (user and system, the program's own children
included), the largest peak resident set in KiB, seconds by the clock.  It is a
process of its own because the kernel counts what a process held before
execve() as the new program's: a parent's size is the least that its children
seem to have.  This one imports only what the interpreter has built in, so it is
as small as a bare one.
"""

import posix
import sys
import time

message, times, at_once, *command = sys.argv[1:]
cpu = peak = 0


def start():
    posix.posix_spawn(command[0], command, posix.environ, file_actions=[
        (posix.POSIX_SPAWN_OPEN, 0, message, posix.O_RDONLY, 0),
        (posix.POSIX_SPAWN_OPEN, 1, "/dev/null", posix.O_WRONLY, 0),
        (posix.POSIX_SPAWN_OPEN, 2, "/dev/null", posix.O_WRONLY, 0)])


def wait():
    global cpu, peak
    _, status, usage = posix.wait3(0)
    if status:
        sys.exit(f"{command[0]}: wait status {status}")
    cpu += usage.ru_utime + usage.ru_stime
    peak = max(peak, usage.ru_maxrss)


started = time.monotonic()
for number in range(int(times)):
    if number >= int(at_once):
        wait()
    start()
for _ in range(min(int(times), int(at_once))):
    wait()
print(cpu, peak, time.monotonic() - started)
