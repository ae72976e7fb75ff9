# SPDX-License-Identifier: MIT
"""SECURITY names tests and fuzz targets that exist."""

import re

from tests.support import rspawn


def test_security_names_tests_that_exist():
    text = (rspawn.CHECKOUT / "SECURITY").read_text()
    files = set(re.findall(r"\b[a-z/]+/test_\w+\.py", text))
    assert len(files) > 10
    sources = {name: (rspawn.CHECKOUT / "tests" / name).read_text() for name in files}
    for name, function in re.findall(r"\b([a-z/]+/test_\w+\.py) (test_\w+)", text):
        assert f"def {function}(" in sources[name]
    targets = (rspawn.CHECKOUT / "tests/fuzz/targets.py").read_text()
    for target in re.findall(r'"([a-z_]+)"', text):
        assert f'"{target}": ' in targets
