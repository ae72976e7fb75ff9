# SPDX-License-Identifier: MIT
"""DMARC aggregate reports: read, summed up in a database, explained and shown."""
