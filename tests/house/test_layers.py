# SPDX-License-Identifier: MIT
"""The architecture: what a wing of lib/ may import, and one door for each package."""

import ast
import importlib.machinery
import pathlib

import pytest

import lib

DIRECTORY = pathlib.Path(lib.__file__).parent
FILES = {str(path.relative_to(DIRECTORY).with_suffix("")): path
         for path in sorted(DIRECTORY.rglob("*.py"))}

GROUND = ""
SHARED = {"mail", "crypto", "lookup", "qmail", GROUND}
MAY_IMPORT = {
    "mail": set(),
    "crypto": {GROUND},
    "lookup": {"mail", GROUND},
    "qmail": {GROUND},
    "signing": SHARED,
    "verifying": SHARED,
    "rspawn": SHARED | {"signing"},
    "verifyd": SHARED | {"verifying"},
    "admin": SHARED | {"signing", "verifying", "admin/log", "admin/publishing", "admin/reports"},
    "admin/log": SHARED | {"admin"},
    "admin/publishing": SHARED | {"admin"},
    "admin/reports": SHARED | {"admin"},
    GROUND: set(),
}
DOORS = {
    "qmail_dk": SHARED | {"admin"},
    "qmail_rspawn": SHARED | {"rspawn"},
    "qmail_dk_verifyd": SHARED | {"verifyd"},
}
PACKAGES = {
    "dns": {"admin/publishing/update_message"},
    "dkim": {"verifying/dkimpy"},
    "cryptography": {"crypto/package"},
    "_ctypes": {"c_library"},
    "xml": {"admin/reports/aggregate"},
    "sqlite3": {"admin/reports/store"},
}


def imports(name):
    """-> (names of FILES that the file imports, packages from outside)."""
    path, own, others = FILES[name], set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            others |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (
                node.level or node.module.split(".")[0] == "lib"):
            own |= {file_of(directory_of(path, node), node.module, alias.name)
                    for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            others.add(node.module.partition(".")[0])
    return own - {"__init__"}, others


def directory_of(path, node):
    """Where an import starts: its dots say."""
    return path.parents[node.level - 1] if node.level else DIRECTORY.parent


def file_of(directory, module, name):
    """The name in FILES of what is imported: a module, or the one that has the name."""
    place = directory.joinpath(*(module or "").split("."))
    for path in (place / f"{name}.py", place / name / "__init__.py", place.with_suffix(".py"),
                 place / "__init__.py"):
        if path in FILES.values():
            return str(path.relative_to(DIRECTORY).with_suffix(""))
    raise AssertionError(f"{module} {name} is not in lib/")


def wing(name):
    return name.rpartition("/")[0]


@pytest.mark.parametrize("name", FILES)
def test_a_wing_imports_what_it_may(name):
    may = DOORS.get(name) or MAY_IMPORT[wing(name)] | {wing(name)}
    assert {wing(other) for other in imports(name)[0]} <= may


def test_there_are_no_cycles():
    """A module that imports late is imported late, but not by what it imports."""
    left = {name: imports(name)[0] - {name} for name in FILES}
    while left:
        done = {name for name, others in left.items() if not others & set(left)}
        assert done, f"import each other: {sorted(left)}"
        left = {name: others for name, others in left.items() if name not in done}


@pytest.mark.parametrize("package, files", PACKAGES.items())
def test_packages_have_one_door(package, files):
    assert {name for name in FILES if package in imports(name)[1]} == files


@pytest.mark.parametrize("name", FILES)
def test_a_module_is_found_as_importlib_finds_it(name):
    name = "lib." + name.removesuffix("/__init__").replace("/", ".")
    if name == "lib.__init__":
        return      # the one that Python itself finds
    ours = lib.Modules.find_spec(name)
    place = DIRECTORY.joinpath(*name.split(".")[1:-1])
    theirs = importlib.machinery.PathFinder.find_spec(name, [str(place)])
    for attribute in ("name", "origin", "cached", "has_location", "submodule_search_locations"):
        assert getattr(ours, attribute) == getattr(theirs, attribute)
    assert type(ours.loader) is type(theirs.loader) and vars(ours.loader) == vars(theirs.loader)


def test_a_module_that_is_missing():
    assert lib.Modules.find_spec("library.of") is None
    with pytest.raises(ModuleNotFoundError, match="lib.signing.nothing"):
        importlib.import_module("lib.signing.nothing")
    with pytest.raises(ImportError, match="nothing"):
        from lib.signing import nothing     # noqa: F401
