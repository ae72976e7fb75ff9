# SPDX-License-Identifier: MIT
"""Where the programs, which run without site, find installed packages."""

import subprocess
import sys
import venv

import pytest

from lib import packages
from tests.support.rspawn import CHECKOUT

VERSION = "python{}.{}".format(*sys.version_info)


# sys.abiflags -> directory below lib, as the site module of such a Python has it; "d" is a
# build for debugging.
@pytest.mark.parametrize("flags, directory", [
    ("", VERSION), ("d", VERSION), ("t", VERSION + "t"), ("td", VERSION + "t")])
def test_directory_of_an_environment(tmp_path, monkeypatch, flags, directory):
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\n")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python3"))
    monkeypatch.setattr(sys, "abiflags", flags)
    monkeypatch.setattr(sys, "path", ["/before"])
    for _ in range(2):      # added once
        packages.add_site_packages()
        assert sys.path == ["/before", f"{tmp_path}/lib/{directory}/site-packages"]


def test_as_site_does(tmp_path):
    """In an environment that this Python has made."""
    venv.create(tmp_path, symlinks=True)
    python = str(tmp_path / "bin" / "python3")

    def last(options, code):
        done = subprocess.run([python, options, "-c", f"import sys\n{code}\nprint(sys.path[-1])"],
                              capture_output=True, text=True, check=True)
        return done.stdout
    assert last("-I", "") == last(
        "-IS", f"sys.path.insert(0, {str(CHECKOUT)!r})\nfrom lib import packages\n"
        "packages.add_site_packages()")
