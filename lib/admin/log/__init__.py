# SPDX-License-Identifier: MIT
"""Our programs' lines in the log: found, counted and shown."""
