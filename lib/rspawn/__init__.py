# SPDX-License-Identifier: MIT
"""The resident signer: qmail-rspawn and its signing processes."""
