# SPDX-License-Identifier: MIT
"""Measures qmail-dk reports beside parsedmarc: the same mailed reports, of both forms.

parsedmarc must be in PATH, best from an environment of its own.  It is asked to print
nothing, and to ask nobody.
"""

import glob
import os
import shutil
import subprocess
import sys

from figures import Figures, Row, Section
from programs import BARE, Program, command, of_one_run, run
from scratch import CHECKOUT

sys.path.append(CHECKOUT)
from tests.support import aggregate_reports

ADDED, SHOWN, PAGE, PEER = ("reports add", "reports", "reports --html", "parsedmarc, silent")
DOMAINS = ("example.com", "example.net")
MANY = 100_000          # records
RECORDS = 250           # of a report


def title(records):
    """Returns the title of the section."""
    return f"reports, {records:,} records"


def section(scratch, records, runs):
    """Returns the Section.  scratch: scratch.Scratch; records: number of all of them"""
    directory, database = f"{scratch.directory}/reports", f"{scratch.directory}/reports.sqlite"
    os.mkdir(directory)
    for name, message in aggregate_reports.many(-(-records // RECORDS), min(RECORDS, records),
                                                DOMAINS):
        with open(f"{directory}/{name}", "wb") as file:
            file.write(message)
    ours = [scratch.python, "-IS", "-X", "utf8", f"{scratch.directory}/installed/lib/qmail_dk.py",
            "reports"]
    at = ["--database", database]
    page = f"{scratch.directory}/reports.html"
    programs = [
        program(ADDED, [*ours, "add", *at, *(f"--domain={domain}" for domain in DOMAINS),
                        directory]),
        program(SHOWN, [*ours, *at]), program(PAGE, [*ours, *at, "--html", page]),
        program(PEER, command(shutil.which("parsedmarc"), [
            "--offline", "--silent", *sorted(glob.glob(f"{directory}/*"))]), False)]
    rows = [row(one, runs, scratch.python, database) for one in programs]
    size = os.path.getsize(page) / 10 ** 6
    return Section(title(records), [
        one._replace(remark=f"{size:.2f} MB") if one.name == PAGE else one for one in rows])


def program(name, words, ours=True):
    """Returns a Program that reads nothing."""
    return Program(name, ours, words, "/dev/null", dict(os.environ), {})


def row(one, runs, python, database):
    """Returns the Row of a Program.  Reports are added to a new database each time."""
    if not one.command:
        return Row(one.name, one.ours, None, None, "not installed here")
    samples = []
    for _ in range(runs):
        if one.name == ADDED:
            for path in glob.glob(f"{database}*"):
                os.unlink(path)
        try:
            samples.append(of_one_run(run(one, 1, python)))
        except subprocess.CalledProcessError:
            return Row(one.name, one.ours, None, None, "does not work here")
    return Row(one.name, one.ours, Figures.of(samples), BARE)
