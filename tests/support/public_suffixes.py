# SPDX-License-Identifier: MIT
"""The Public Suffix List, and organizational domains by it."""

import os

import pytest

PUBLIC_SUFFIX_LIST = "/usr/share/publicsuffix/public_suffix_list.dat"


def suffixes():
    """The rules of the list's ICANN section."""
    if not os.path.exists(PUBLIC_SUFFIX_LIST):
        pytest.skip("needs the Debian package publicsuffix")
    with open(PUBLIC_SUFFIX_LIST, encoding="utf-8") as file:
        section = file.read().partition("BEGIN ICANN DOMAINS")[2].partition("END ICANN")[0]
    return {line for line in section.splitlines() if line and not line.startswith("//")}


def organizational_domain(domain, rules):
    """One label more than the longest rule, by the list's own algorithm."""
    labels = domain.split(".")
    for start in range(len(labels)):
        name, parent = ".".join(labels[start:]), ".".join(["*"] + labels[start + 1:])
        if "!" + name in rules:
            return name
        if name in rules or parent in rules:
            return ".".join(labels[max(start - 1, 0):])
    return ".".join(labels[-2:])
