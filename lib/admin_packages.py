# SPDX-License-Identifier: MIT
"""The packages that verifying and asking the DNS need: whether they are there, and new enough."""

import importlib.metadata
import re

from . import dependencies

REMEDY = "run ./install.sh --verify"

LEAST = {"dkimpy": "1.1.4", "dnspython": "2.3", "cryptography": "38"}   # as in requirements.txt


def version(package):
    """The version of an installed package, str, or None."""
    dependencies.add_site_packages()
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def flaw(package, found):
    """What is wrong with a package of LEAST, str, or "".  found: its version()"""
    if found is None:
        return "is not installed"
    if numbers(found) < numbers(LEAST[package]):
        return f"{found} is too old: it must be {LEAST[package]} or later"
    return ""


def numbers(text):
    """A version as numbers to compare."""
    return [int(digits) for digits in re.findall(r"\d+", text)]


def flaws():
    """What is wrong with all of them, as one str; "" if nothing is."""
    found = {package: flaw(package, version(package)) for package in LEAST}
    return "; ".join(f"{package} {text}" for package, text in found.items() if text)
