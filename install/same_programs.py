# SPDX-License-Identifier: MIT
"""Compares the programs of a release with those of a checkout.

usage: same_programs.py DIRECTORY DIRECTORY

Exits 0 if both have the same files with the same bytes, 1 if not.  Compiled files and
what is beside PARTS do not count.
"""

import pathlib
import sys

PARTS = "qmail_remote_dk.py", "qmail_qfilter_verify.py", "lib", "man"


def programs(directory):
    """Returns {relative path: content (bytes)} for the programs in a directory (path, str)."""
    found = {}
    for part in PARTS:
        place = pathlib.Path(directory, part)
        for file in (place, *place.rglob("*")):
            if file.is_file() and file.suffix != ".pyc":
                found[file.relative_to(directory)] = file.read_bytes()
    return found


if __name__ == "__main__":
    sys.exit(programs(sys.argv[1]) != programs(sys.argv[2]))
