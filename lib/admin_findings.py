# SPDX-License-Identifier: MIT
"""What a check finds: one line each, with the remedy where something is wrong."""

import json
from typing import NamedTuple

OK, WARN, FAIL = LEVELS = ("ok", "warn", "FAIL")

COLOURS = {OK: "\033[32m", WARN: "\033[33m", FAIL: "\033[1;31m"}
PLAIN = "\033[0m"


class Finding(NamedTuple):
    """level: of LEVELS; subject: what was looked at; remedy: "" where none is needed."""
    level: str
    subject: str
    text: str
    remedy: str = ""


def as_line(finding, colour):
    """A finding as text.  colour: whether the terminal shows some."""
    level = f"{finding.level:<4}"
    if colour:
        level = COLOURS[finding.level] + level + PLAIN
    remedy = f"; remedy: {finding.remedy}" if finding.remedy else ""
    return f"{level} {finding.subject}: {finding.text}{remedy}"


def as_json(findings):
    return json.dumps([finding._asdict() for finding in findings], indent=1)


def exit_status(findings):
    """0: all is well; 1: with warnings; 2: something fails."""
    return max((LEVELS.index(finding.level) for finding in findings), default=0)


def failures(findings):
    return [finding for finding in findings if finding.level == FAIL]
