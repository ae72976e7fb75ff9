# SPDX-License-Identifier: MIT
"""Publishers: each brings records into the DNS, and takes them out, in one way of DKPUBLISH."""
