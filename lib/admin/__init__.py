# SPDX-License-Identifier: MIT
"""qmail-dk, the administrator's command."""
