# SPDX-License-Identifier: MIT
"""The openspf test suite for RFC 7208, from pyspf's source package on PyPI.

The suite is not part of this project, and a package that is installed does not have it.
"""

import subprocess
import sys
import tarfile

import pytest

from tests.support.spf_zones import Zone

PACKAGE = "pyspf==2.0.14"
MEMBER = "pyspf-2.0.14/test/rfc7208-tests.yml"
SECONDS = 300       # for pip


class Case:
    """address, sender, helo: str; results: list of str, any of which is right; zone: Zone"""

    def __init__(self, case, zone):
        self.address = case["host"]
        self.sender = case["mailfrom"]
        self.helo = case["helo"]
        results = case["result"]
        self.results = results if isinstance(results, list) else [results]
        self.zone = zone


def cases(directory):
    """-> {name: Case}.  Downloads the package into a directory (pathlib.Path), once.

    Skips the test if that is impossible.
    """
    yaml = pytest.importorskip("yaml", reason="needs the Python package pyyaml")
    archives = list(directory.glob("pyspf-*.tar.gz")) or download(directory)
    with tarfile.open(archives[0]) as archive:
        scenarios = list(yaml.safe_load_all(archive.extractfile(MEMBER)))
    found = {}
    for scenario in scenarios:
        zone = Zone({name: list(records(entries))
                     for name, entries in scenario["zonedata"].items()})
        found.update((name, Case(case, zone)) for name, case in scenario["tests"].items())
    return found


def download(directory):
    """-> [the path of the archive]"""
    process = subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps",
         "--no-binary", ":all:", "-d", directory, PACKAGE],
        capture_output=True, text=True, timeout=SECONDS)
    if process.returncode:
        pytest.skip(f"needs the source package of {PACKAGE}, which pip can't download here: "
                    + (process.stderr.strip().splitlines() or [""])[-1])
    return list(directory.glob("pyspf-*.tar.gz"))


def records(entries):
    """Yields the records of a name, for Zone.

    entries: list of {type: data} and "TIMEOUT".  Records of type SPF stand for TXT records
    if there are none.
    """
    has_text = any("TXT" in entry for entry in entries if entry != "TIMEOUT")
    for entry in entries:
        if entry == "TIMEOUT":
            yield entry
            continue
        (kind, data), = entry.items()
        if kind == "MX":
            data = f"{data[0]} {data[1]}"
        if isinstance(data, list):
            data = "".join(data)    # the strings of a TXT record
        if kind != "SPF" and data != "NONE":
            yield f"{kind} {data}"
        elif kind == "SPF" and not has_text:
            yield f"TXT {data}"
