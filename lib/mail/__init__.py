# SPDX-License-Identifier: MIT
"""A message and its parts: header, body, addresses, tag lists.  Imports nothing else of lib."""
