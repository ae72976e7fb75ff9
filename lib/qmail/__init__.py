# SPDX-License-Identifier: MIT
"""qmail's contracts: qmail-remote, qmail-queue, qmail-rspawn and their descriptors."""
