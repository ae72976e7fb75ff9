# SPDX-License-Identifier: MIT
"""dkimpy is a judge here, so it is imported whole, before lib/ imports it in part."""

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
