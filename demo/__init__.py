# SPDX-License-Identifier: MIT
"""The demonstration: one message signed, delivered and verified on one machine.

Its servers listen on the loopback address only, on ports that were free; its
files lie in one directory that goes with it.
"""


class Failure(Exception):
    """The demonstration can't go on, or has not shown what it should; says why."""
