# SPDX-License-Identifier: MIT
"""The checkout that the tests belong to."""

import pathlib
import shutil

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent.parent


def copy_parts(parts, directory):
    """Copies those of the parts (paths) that there are into a directory, which it makes."""
    for part in parts:
        source, copy = CHECKOUT / part, directory / part
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, copy)
