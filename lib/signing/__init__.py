# SPDX-License-Identifier: MIT
"""Signs an outgoing message."""
