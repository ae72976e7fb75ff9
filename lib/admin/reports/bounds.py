# SPDX-License-Identifier: MIT
"""The limits within which reports are read: anybody can send one.

They are far above what receivers send, and keep a process below 64 MiB of memory and
within some seconds of CPU.
"""

LARGEST_INPUT = 48 * 1024 * 1024    # bytes of a message or a file
LARGEST_XML = 64 * 1024 * 1024      # bytes of the XML in it, unpacked
CHUNK = 64 * 1024                   # bytes that are read, or unpacked, at a time

LONGEST_HEADER = 256 * 1024         # bytes, of a message or a part
MOST_PARTS = 100                    # of a message
MOST_MULTIPARTS = 8                 # within each other

DEEPEST = 32                        # elements within each other
MOST_ELEMENTS = 4_000_000
MOST_NAMES = 1000                   # different names of elements and attributes
LONGEST_TOKEN = 256 * 1024          # bytes of a tag, a comment or a processing instruction
LONGEST_TEXT = 255                  # characters in an element that counts

MOST_RECORDS = 100_000
MOST_SIGNATURES = 100               # of a record (RFC 9990 section 3.1.3)
MOST_MESSAGES = 10 ** 10            # that a report counts


class Refused(Exception):
    """Something is no report, or beyond a limit; the text says why, without words from it."""


class NotAReport(Refused):
    """Something is of another kind, such as a page in HTML; a part of a message may be."""


class Budget:
    """Counts bytes up to a limit.  left: int; words: what to say when it is exceeded"""

    def __init__(self, most, words):
        self.left = most
        self.words = f"{words} more than {most >> 20} MiB"

    def limit(self, pieces):
        """Yields pieces (bytes) as long as all of them are within the limit.  Raises Refused."""
        for piece in pieces:
            self.left -= len(piece)
            if self.left < 0:
                raise Refused(self.words)
            yield piece
