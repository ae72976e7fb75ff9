# SPDX-License-Identifier: MIT
"""What all tests need before they start."""

import compileall
import os
import pathlib

import pytest

pytest.register_assert_rewrite("tests.support")

# dkimpy is a judge here, so it is imported whole, before lib/ imports it in part.
try:
    import dkim     # noqa: F401
except ImportError:
    pass            # the tests that need it say so

try:
    import hypothesis
except ImportError:
    pass
else:
    # A busy machine takes its time; what grows too fast is told by growth.py.
    hypothesis.settings.register_profile("without deadline", deadline=None)
    hypothesis.settings.load_profile("without deadline")


def pytest_configure(config):
    """Compiles the programs, as install.sh does.

    Else those that tests start under a limit on the size of files would do it, and
    Python before 3.12.8 leaves files of which only a part was written.
    """
    if not hasattr(config, "workerinput"):
        checkout = pathlib.Path(__file__).resolve().parent.parent
        compileall.compile_dir(checkout / "lib", quiet=2)
        for script in checkout.glob("qmail_*.py"):
            compileall.compile_file(script, quiet=2)


def pytest_collection_modifyitems(items):
    """Skips what is marked with root for others."""
    if os.geteuid() != 0:
        for item in items:
            if item.get_closest_marker("root"):
                item.add_marker(pytest.mark.skip(reason="needs root"))
