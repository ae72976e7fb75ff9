# SPDX-License-Identifier: MIT
"""Checks that the packages for verifying and for DNS look-ups are installed and new enough."""

import re

from .. import packages

REMEDY = "run ./install.sh --verify"

LEAST = {"dkimpy": "1.1.4", "dnspython": "2.3", "cryptography": "38"}   # as in requirements.txt


def version(package):
    """Returns the version of an installed package (str), or None."""
    import importlib.metadata       # 25 ms, more than most verbs take
    packages.add_site_packages()
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def flaw(package, found):
    """Returns the fault of a package of LEAST (str), "" if there is none.  found: its version()"""
    if found is None:
        return "is not installed"
    if numbers(found) < numbers(LEAST[package]):
        return f"{found} is too old: it must be {LEAST[package]} or later"
    return ""


def numbers(text):
    """Returns the numbers in a version, for comparison; list of int."""
    return [int(digits) for digits in re.findall(r"\d+", text)]


def flaws():
    """Returns the faults of all packages of LEAST as one str, "" if there are none."""
    found = {package: flaw(package, version(package)) for package in LEAST}
    return "; ".join(f"{package} {text}" for package, text in found.items() if text)
