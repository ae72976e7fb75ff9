# SPDX-License-Identifier: MIT
"""tests/run on machines that lack something: what it says, and what it leaves."""

import os
import sys

import pytest

from tests.support import newcomer

PARTS = ("tests/run", "install/environment.sh", "requirements.txt", "demo/requirements.txt",
         "tests/requirements.txt", "tests/fuzz/requirements.txt")

# install: stands for what would be downloaded.  There is no yash, and no way to opendmarc.
APT_GET = """#!/bin/sh
echo "$*" >>"$TMPDIR/asked"
case $* in *--simulate*yash* | *--simulate*opendmarc*) exit 100 ;; esac
case $* in "install -y"*) exit "$CODE" ;; esac
"""


@pytest.fixture
def copy(tmp_path):
    """Of an ordinary user."""
    copy = newcomer.Copy(tmp_path, PARTS, "the checkout")
    copy.add_program("id", "#!/bin/sh\necho 1000\n")
    return copy


def run(copy, *arguments):
    return copy.run(*arguments, program="tests/run")


def half_made(copy):
    """As `python3 -m venv` leaves it where Debian's python3-venv is missing."""
    (copy.directory / ".venv" / "bin").mkdir(parents=True)
    (copy.directory / ".venv" / "bin" / "python").symlink_to(copy.bin / "python3")


@pytest.mark.parametrize("before", [lambda copy: None, half_made], ids=["nothing", "half_made"])
def test_no_ensurepip(copy, before):
    copy.add_program("python3", newcomer.INCOMPLETE_PYTHON)
    before(copy)
    there = (copy.directory / ".venv").exists()
    result = run(copy)
    assert result.returncode == 1
    assert result.stderr == ("tests/run: python3 can't make private environments: part of it is "
                             "missing; remedy on Debian and Ubuntu: apt-get install python3-venv\n")
    assert (copy.directory / ".venv").exists() == there


@pytest.mark.slow
def test_no_index(copy):
    copy.environment["PYTHON"] = os.path.realpath(sys.executable)
    result = run(copy)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith(
        "tests/run: the packages can't be installed, see above; remedy: ")
    assert not (copy.directory / ".venv").exists()


def test_no_index_but_an_environment(copy):
    copy.use_our_environment()
    result = run(copy, "--version")
    assert result.returncode == 0 and "pytest" in result.stdout + result.stderr


@pytest.mark.parametrize("code", [0, 100])
def test_packages_of_the_distribution(copy, code):
    """Those that there are, at once; then the tests are run, whatever came of it."""
    copy.use_our_environment()
    for name, text in {"id": "#!/bin/sh\necho 0\n", "apt-get": APT_GET,
                       "dpkg": '#!/bin/sh\n[ "$2" = strace ]\n'}.items():
        copy.add_program(name, text)
    copy.add_tool("tail")
    copy.environment["CODE"] = str(code)
    result = run(copy, "--version")
    assert result.returncode == 0 and "pytest" in result.stdout + result.stderr
    asked = (copy.temporary / "asked").read_text().splitlines()
    installed = [line.split() for line in asked if line.startswith("install -y")]
    assert len(installed) == 1
    assert {"mksh", "valgrind"} <= set(installed[0])
    assert not {"strace", "yash", "opendmarc"} & set(installed[0])
    for name in "yash", "opendmarc":
        assert f"tests/run: apt-get knows no way to install {name}; " in result.stderr
    assert ("tests/run: apt-get could not install them" in result.stderr) == bool(code)


@pytest.mark.parametrize("name", ["admin's", 'the "new" one', "1:2", "a\\b"])
def test_a_name_that_the_tests_cannot_quote(tmp_path, name):
    result = run(newcomer.Copy(tmp_path, PARTS, name))
    assert result.returncode == 1 and not (tmp_path / name / ".venv").exists()
    assert result.stderr.startswith("tests/run: no quote, colon or backslash may be in the name ")
    assert "remedy: " in result.stderr and result.stderr.count("\n") == 1
