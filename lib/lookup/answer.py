# SPDX-License-Identifier: MIT
"""The result of a DNS lookup."""

# The start of a reason: the answer was too long for a datagram, and TCP does not work.
CUT = "the answer is cut short, and it can't be asked over TCP"


class Answer:
    """The result of a look-up of the records of one name and type.

    status: "found", "none" (no such name, or no such record there) or "temporary"
    values: list, one for each record: of a TXT record its strings joined (bytes), of A and
    AAAA the address (4 or 16 bytes), of PTR and NS a name (bytes, lower case, no final dot
    but that of the root alone), of MX (preference, int; name)
    reason: str for "none" and "temporary", such as "NXDOMAIN", "timeout", "SERVFAIL"
    seconds: int, how long the answer may be cached; 0: not at all
    """

    __slots__ = ("status", "values", "reason", "seconds")

    def __init__(self, status: str, values: "tuple | list" = (), reason: str = "",
                 seconds: int = 0):
        self.status = status
        self.values = list(values)
        self.reason = reason
        self.seconds = seconds


def weight(values):
    """Returns the bytes of an Answer's values, and 64 for each: a measure of what they cost."""
    return sum(64 + len(value[1] if isinstance(value, tuple) else value) for value in values)
