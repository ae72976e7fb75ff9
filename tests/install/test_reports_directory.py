# SPDX-License-Identifier: MIT
"""The directory that install.sh makes for the reports of qmail-dk reports add."""

import subprocess

import pytest

from lib.admin import report_verbs
from tests.support import rspawn

# install.sh's function, with a stand-in for the user alias, whom this host may not have.
SCRIPT = """
set -eu
PREFIX=$1 qmail=$2 who=$3 alias=$4 dry_run=$5
prefix=$PREFIX staging=$PREFIX/staging directories= unfinished=
step() { echo "==> $*"; }
fail() { echo "$*"; exit 1; }
planned() { step "$*"; [ -z "$dry_run" ]; }
. "$6/install/prefix.sh"
. "$6/install/tree.sh"
id() {
	case $* in
	-u) echo $who ;;
	-gn\\ alias) echo nofiles ;;
	alias) [ -n "$alias" ] ;;
	esac
}
chown() { echo "chown $*"; }
REPORTS=$PREFIX/lib/qmail-dk
make_reports_directory
remove_unfinished
"""


@pytest.fixture
def make(tmp_path):
    """-> (the directory, function that runs make_reports_directory and returns its output)."""
    def run(qmail="/var/qmail", who=0, alias="yes", dry_run=""):
        return subprocess.run(
            ["sh", "-c", SCRIPT, "sh", tmp_path, qmail, str(who), alias, dry_run, rspawn.CHECKOUT],
            capture_output=True, text=True, check=True).stdout

    return tmp_path / "lib" / "qmail-dk", run


def test_it_belongs_to_alias_alone(make, tmp_path):
    directory, run = make
    assert run() == (f"==> Make {directory}, for the reports that the user alias gets\n"
                     f"chown alias:nofiles {directory}\n")
    assert directory.stat().st_mode & 0o777 == 0o700
    # uninstall removes it, if it is empty.
    assert f"directory {directory}\n" in (tmp_path / "made").read_text()


def test_one_that_is_there_stays_as_it_is(make):
    directory, run = make
    directory.mkdir(parents=True)
    directory.chmod(0o750)
    assert run() == "" and directory.stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("otherwise", [
    {"qmail": "/var/other"}, {"who": 1000}, {"alias": ""}], ids=lambda value: next(iter(value)))
def test_not_for_others(make, otherwise):
    directory, run = make
    assert run(**otherwise) == "" and not directory.parent.exists()


def test_only_shown(make):
    directory, run = make
    assert run(dry_run="yes").startswith("==> Make ") and not directory.parent.exists()


def test_the_command_looks_there():
    place = (rspawn.CHECKOUT / "install" / "tree.sh").read_text().partition("REPORTS=")[2]
    assert report_verbs.DATABASE == f"{place.split()[0]}/reports.sqlite"
