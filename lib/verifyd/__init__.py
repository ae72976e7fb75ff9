# SPDX-License-Identifier: MIT
"""The resident verifier: a server that verifies for the programs that handle one message each."""
