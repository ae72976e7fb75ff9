# SPDX-License-Identifier: MIT
"""Verifies one message on its way in."""
