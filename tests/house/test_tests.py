# SPDX-License-Identifier: MIT
"""The tests' own files: short, sharing what they share by tests/support, loaded once each."""

import ast
import collections
import pathlib
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parent.parent
FILES = sorted(TESTS.rglob("*.py"))
MOST_LINES = 400

each = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TESTS)))


@each
def test_no_file_is_too_long_to_see_its_subject(path):
    assert len(path.read_text().splitlines()) <= MOST_LINES


def imported(path):
    """The modules and names that a file imports, in dots."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@each
def test_nothing_is_imported_from_a_test_file(path):
    """What two of them use is in tests/support."""
    files = {".".join(file.relative_to(TESTS.parent).with_suffix("").parts)
             for file in FILES if file.name.startswith("test_")}
    assert not [name for name in imported(path)
                if name in files or name.rpartition(".")[0] in files]


def test_no_module_is_loaded_twice():
    """As it would be by two names, with two of each class and each table."""
    loaded = collections.Counter(
        module.__file__ for name, module in list(sys.modules.items())
        if name != "__main__" and str(getattr(module, "__file__", None)).startswith(f"{TESTS}/"))
    assert not [path for path, count in loaded.items() if count > 1]


@each
def test_only_packages_from_outside_may_be_missing(path):
    """A module of ours that is not found would skip its tests for ever, and nobody would see."""
    ours = {file.stem for file in FILES}
    wanted = {node.args[0].value for node in ast.walk(ast.parse(path.read_text()))
              if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "importorskip"
              and isinstance(node.args[0], ast.Constant)}
    assert not wanted & ours
