# SPDX-License-Identifier: MIT
import pytest

pytest.importorskip("sqlite3", reason="needs a Python that was built with SQLite")
