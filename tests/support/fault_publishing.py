# SPDX-License-Identifier: MIT
"""The publisher for tinydns as a subject of the fault sweep.

Whatever fails, and wherever it is killed, the data file is the old or the new one, as
a whole, with its mode; tinydns' data is that of one of them; and the next run succeeds
as if nothing had happened.
"""

import os
import stat
import subprocess
import sys

from tests.support import rspawn
from tests.support.fault_sweep import Subject

NAME = "s1._domainkey.example.com"
OWN = b"# own lines\n.example.com:127.0.0.1:a\n'_domainkey.example.com:o=~:60\n" * 200
WITH = OWN + b"'s1._domainkey.example.com:v=DKIM1; p=AB:3600:::qmail-dk\n"
MODE = 0o640

# argv: the checkout, the data file, add or remove
PUBLISHER = """
import sys
sys.path.insert(0, sys.argv[1])
from lib.admin.publishing import choice, record
from lib.errors import PublishTrouble
from lib.settings import Settings
publisher = choice.publisher(Settings({"DKPUBLISH": "tinydns:" + sys.argv[2]}))
try:
    getattr(publisher, sys.argv[3])([record.Record(%r, 3600, "v=DKIM1; p=AB")])
except (PublishTrouble, OSError) as trouble:
    sys.exit(str(trouble))
""" % NAME

# place -> content before and after
CONTENTS = {"add": (OWN, WITH), "remove": (WITH, OWN), "add again": (WITH, WITH)}


class TinydnsPublisher(Subject):
    """The publisher, which changes a data file and runs make."""

    places = tuple(CONTENTS)

    def __init__(self, directory):
        super().__init__(directory)
        self.directory = directory / "root"
        self.directory.mkdir()
        self.data = self.directory / "data"
        self.first = dict.fromkeys(self.places, f'"{self.directory}/GNUmakefile"')
        (self.directory / "Makefile").write_text("data.cdb: data\n\ttinydns-data\n")

    def run(self, where, options):
        """options: None runs it without strace."""
        for path in self.directory.iterdir():
            if path.name != "Makefile":
                path.unlink()
        self.data.write_bytes(CONTENTS[where][0])
        self.data.chmod(MODE)
        subprocess.run(["tinydns-data"], cwd=self.directory, check=True)
        return self.again(where, self.strace(options) if options is not None else ())

    def again(self, where, command=()):
        return subprocess.run(
            [*command, sys.executable, "-IS", "-c", PUBLISHER, str(rspawn.CHECKOUT),
             str(self.data), where.split()[0]], capture_output=True, text=True)

    def judge(self, fault):
        done = self.run(fault.where, fault.injection)
        found = self.flaw(fault.where, CONTENTS[fault.where], done.returncode == 0)
        if not found:
            again = self.again(fault.where)
            found = (again.returncode and f"the next run: {again}"
                     or self.flaw(fault.where, CONTENTS[fault.where][1:], True))
            left = sorted(os.listdir(self.directory))
            if not found and left != ["Makefile", "data", "data.cdb"]:
                found = f"the next run left {left}"
        if found:
            return f"wrong: {found}; {done}"
        return "done" if done.returncode == 0 else (
            "killed" if done.returncode < 0 else "refused")

    def flaw(self, where, contents, is_done):
        """Returns what is wrong, or None.

        contents: that the file may have; is_done: whether tinydns must have the new one
        """
        state = self.data.lstat()
        if not stat.S_ISREG(state.st_mode) or stat.S_IMODE(state.st_mode) != MODE:
            return f"the mode is {state.st_mode:o}"
        content = self.data.read_bytes()
        if content not in contents:
            return f"the file has {len(content)} bytes, ending in {content[-200:]}"
        said = subprocess.run(["tinydns-get", "txt", NAME], cwd=self.directory,
                              capture_output=True, text=True)
        has_record, has_zone = "p=AB" in said.stdout, "authoritative" in said.stdout
        if not has_zone:
            return f"tinydns has {said}"
        after = CONTENTS[where][1]
        if is_done and (content != after or has_record != (after is WITH)):
            return f"it is not done: {content[-200:]}, {said}"
        return None
