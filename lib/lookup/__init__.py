# SPDX-License-Identifier: MIT
"""Looks up TXT records in the DNS, within a time limit."""
