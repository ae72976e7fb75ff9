# SPDX-License-Identifier: MIT
"""The demonstration: a message is signed, delivered and verified on one machine.

Its servers listen only on the loopback address, on free ports; its files are in one
directory, which is removed at the end.
"""


class Failure(Exception):
    """The demonstration can't go on or has failed; the text says why."""
