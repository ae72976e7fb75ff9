# SPDX-License-Identifier: MIT
"""dkimpy is a judge here, so it is imported whole, before lib/ imports it in part."""

try:
    import dkim     # noqa: F401
except ImportError:
    pass            # the tests that need it say so
