# SPDX-License-Identifier: MIT
"""The architecture: modules import only what stands before them in lib/__init__.py."""

import ast
import pathlib
import re

import pytest

import lib

DIRECTORY = pathlib.Path(lib.__file__).parent
LISTED = [name for line in re.findall(r"^ {2}(?:[a-z]+(?: [a-z]+)? {2,}| {15})(\S.*)$",
                                      lib.__doc__, re.MULTILINE) for name in line.split()]
MODULES = sorted(path.stem for path in DIRECTORY.glob("*.py") if path.stem != "__init__")
DNSPYTHON, DKIMPY = "dns", "dkim"


def imports(module):
    """-> (modules of lib that it imports, packages from outside)."""
    own, others = set(), set()
    for node in ast.walk(ast.parse((DIRECTORY / f"{module}.py").read_text())):
        if isinstance(node, ast.Import):
            others |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.level or node.module == "lib"):
            own |= {node.module} if node.level and node.module else {
                alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            others.add(node.module.partition(".")[0])
    return own & set(MODULES), others


def test_every_module_is_listed_once():
    assert sorted(LISTED) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_imports_only_what_stands_before(module):
    before = LISTED[:LISTED.index(module)]
    assert imports(module)[0] <= set(before)


@pytest.mark.parametrize("package, doors", [
    (DNSPYTHON, {"resolver"}),
    (DKIMPY, {"dkimpy"}),
    ("cryptography", {"crypto_package"}),
    ("_ctypes", {"c_library"}),
])
def test_packages_have_one_door(package, doors):
    assert {module for module in MODULES if package in imports(module)[1]} == doors
