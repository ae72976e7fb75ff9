# SPDX-License-Identifier: MIT
"""A clock for qmail-dk that a test puts forward, also for the times of files.

A file says which real time is which time of the clock, a line of two numbers for each
time that it was set; the clock runs between them.  Programs with this module see all
times so, including those in os.stat(): an inode keeps the change time that it had on
the clock.  So nothing in the program under test needs to know of it.
"""

import os
import time

# qmail-dk with the clock of a file.
PROGRAM = """
import sys
sys.path.insert(0, {checkout!r})
from tests.support.clock import Clock
Clock({path!r}).install()
sys.path.insert(0, {prefix!r})
from lib import qmail_dk
{more}
sys.exit(qmail_dk.main(sys.argv[1:]))
"""

REAL = {name: getattr(time, name) for name in ("time", "localtime", "strftime")}
STAT = {name: getattr(os, name) for name in ("stat", "lstat", "fstat")}
TIMES = ("st_mtime", "st_ctime")


class Clock:
    """The clock that a file keeps.  path: of the file, which need not exist yet"""

    def __init__(self, path):
        self.path = str(path)
        self.settings = []
        if os.path.exists(self.path):
            with open(self.path, encoding="ascii") as file:
                self.settings = [tuple(map(float, line.split())) for line in file]

    def at(self, real):
        """Returns the clock's time at a real time, both seconds since 1970."""
        for since, shown in reversed(self.settings):
            if since <= real:
                return shown + real - since
        return real

    def now(self):
        return self.at(REAL["time"]())

    def advance(self, seconds):
        """Puts the clock forward."""
        now = REAL["time"]()
        self.settings.append((now, self.at(now) + seconds))
        with open(self.path, "a", encoding="ascii") as file:
            file.write(f"{now!r} {self.settings[-1][1]!r}\n")

    def give(self, admin, prefix, more=""):
        """Lets the commands of an Administrator see the clock's time.

        prefix: directory of the code; more: lines of Python to run before the command
        """
        program = admin.directory / "program.py"
        program.write_text(PROGRAM.format(
            checkout=os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
            path=self.path, prefix=str(prefix), more=more))
        admin.command.write_text(admin.command.read_text().replace(
            f"{prefix}/lib/qmail_dk.py", str(program)))

    def install(self):
        """Makes this process see the clock's time."""
        time.time = self.now
        time.localtime = lambda seconds=None: REAL["localtime"](
            self.now() if seconds is None else seconds)
        time.strftime = lambda form, when=None: REAL["strftime"](form, when or time.localtime())
        for name, function in STAT.items():
            setattr(os, name, lambda *arguments, function=function, **options: self.shifted(
                function(*arguments, **options)))

    def shifted(self, state):
        """Returns an os.stat_result with the times that the clock had."""
        kind, (values, others) = state.__reduce__()
        return kind(values, {**others, **{name: self.at(others[name]) for name in TIMES}})
