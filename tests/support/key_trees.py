# SPDX-License-Identifier: MIT
"""Key files in a directory for each domain, as the pattern of DKSIGN finds them."""

import os

from tests.support import signing

MESSAGE = b"From: alice@example.com\n\nx\n"
RSA = signing.key("rsa.pem")
ED25519 = signing.key("ed25519.pem")


def put(path, data=RSA, mode=0o640):
    """Writes a key file, and makes its directories."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, mode)
