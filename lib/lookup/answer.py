# SPDX-License-Identifier: MIT
"""The result of a DNS lookup."""

# The start of a reason: the answer was too long for a datagram, and TCP does not work.
CUT = "the answer is cut short, and it can't be asked over TCP"


class TxtAnswer:
    """The result of a TXT look-up.

    status: "found", "none" (no such name, or no TXT record there) or "temporary"
    texts: list of bytes, one for each record, its strings joined
    reason: str for "none" and "temporary", such as "NXDOMAIN", "timeout", "SERVFAIL"
    seconds: int, how long the answer may be cached; 0: not at all
    """

    __slots__ = ("status", "texts", "reason", "seconds")

    def __init__(self, status: str, texts: "tuple[bytes, ...] | list[bytes]" = (), reason: str = "",
                 seconds: int = 0):
        self.status = status
        self.texts = list(texts)
        self.reason = reason
        self.seconds = seconds
