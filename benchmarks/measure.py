# SPDX-License-Identifier: MIT
"""Runs a program a number of times, several at once, and prints what that took.

    python3 -IS measure.py input envelope times at-once program argument ...

Descriptor 0 is the file input; 1 is the file envelope, or "-" for nowhere to write to.

Prints the CPU seconds of all runs (user and system, with the program's own
children), the largest peak resident set in KiB, and seconds by the clock.  This is
a separate process because the kernel attributes the memory that a process held
before execve() to the new program: children never seem smaller than their parent.
It imports only modules built into the interpreter, so it is as small as a bare one.
"""

import posix
import sys
import time

message, envelope, times, at_once, *command = sys.argv[1:]
first = ("/dev/null", posix.O_WRONLY) if envelope == "-" else (envelope, posix.O_RDONLY)
cpu = peak = 0


def start():
    posix.posix_spawn(command[0], command, posix.environ, file_actions=[
        (posix.POSIX_SPAWN_OPEN, 0, message, posix.O_RDONLY, 0),
        (posix.POSIX_SPAWN_OPEN, 1, *first, 0),
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
