# SPDX-License-Identifier: MIT
"""A TXT record, as publishers take it."""

from typing import NamedTuple


class Record(NamedTuple):
    """A TXT record of a key or a policy.

    name: without the final dot, as records.key_name() makes it; ttl: seconds
    text: whole, each character a byte (latin-1)
    """
    name: str
    ttl: int
    text: str
