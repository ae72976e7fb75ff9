# SPDX-License-Identifier: MIT
"""The results of checks, one line each, with a remedy if something is wrong.

A function named *_findings() returns a list of Finding, unless it says otherwise.
"""

from typing import NamedTuple

OK, WARN, FAIL = LEVELS = ("ok", "warn", "FAIL")

COLOURS = {OK: "\033[32m", WARN: "\033[33m", FAIL: "\033[1;31m"}
PLAIN = "\033[0m"
MOST_NAMED = 20     # domains in one line


class Finding(NamedTuple):
    """One result; all str.

    level: of LEVELS; subject: what was examined; remedy: "" for none
    domain: whose keys or records it is about, "" for the host
    """
    level: str
    subject: str
    text: str
    remedy: str = ""
    domain: str = ""


def as_line(finding, colour):
    """Returns a finding as a line of text.  colour: whether the terminal shows colours"""
    level = f"{finding.level:<4}"
    if colour:
        level = COLOURS[finding.level] + level + PLAIN
    return f"{level} {as_text(finding)}"


def as_text(finding):
    """Returns a finding as text, without its level."""
    remedy = f"; remedy: {finding.remedy}" if finding.remedy else ""
    return visible(f"{finding.subject}: {finding.text}{remedy}")


def visible(text):
    """Returns text with characters escaped that can't be seen, such as a CR at a path's end."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode()
                   for c in text)


def on_one_line(data, longest=None):
    """Returns bytes from outside as text on one line, cut after `longest` characters."""
    text = data.replace(b"\0", b" ").decode("ascii", "backslashreplace")
    text = visible(" ".join(text.split()))
    return text if longest is None or len(text) <= longest else text[:longest] + "..."


def counted(number, word):
    """Returns a number with a word for what it counts, as in "1,200 reports"."""
    return f"{number:,} {word}" + ("" if number == 1 else "s")


def as_json(findings):
    import json         # most commands print none
    return json.dumps([finding._asdict() for finding in findings], indent=1)


def exit_status(findings):
    """Returns 0 if all is well, 1 if there are warnings, 2 if something fails."""
    return max(map(badness, findings), default=0)


def named(domains):
    """Returns text (str) with the first MOST_NAMED domains, and the number of the others."""
    more = len(domains) - MOST_NAMED
    return ", ".join(domains[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def about(domain, findings):
    """Returns findings with their domain set."""
    return [finding._replace(domain=domain) for finding in findings]


def grouped(findings):
    """Returns [(domain, its findings)], the worst group first, and in each the worst first.

    The host, whose domain is "", comes before the domains that are as well as it is.
    """
    groups = {"": []}
    for finding in findings:
        groups.setdefault(finding.domain, []).append(finding)
    for group in groups.values():
        group.sort(key=badness, reverse=True)       # equal ones keep their order
    return sorted(filter(lambda group: group[1], groups.items()),
                  key=lambda group: exit_status(group[1]), reverse=True)


def badness(finding):
    return LEVELS.index(finding.level)


def counts(findings):
    """Returns how many findings there are of each level, the worst first; str."""
    levels = [finding.level for finding in findings]
    return ", ".join(f"{levels.count(level)} {level}" for level in reversed(LEVELS))


def failures(findings):
    return [finding for finding in findings if finding.level == FAIL]
