# SPDX-License-Identifier: MIT
"""Adds the reports in messages and files to the database."""

import contextlib
import itertools
import os
import stat
import time

from ...mail import address
from ..findings import counted
from . import aggregate, packing
from .bounds import LARGEST_INPUT, LARGEST_XML, Budget, NotAReport, Refused
from .mail_parts import LONGEST_LINE, Parts
from .store import Duplicate

BUFFER = 64 * 1024          # bytes
MBOX = b"From "             # how a file of several messages begins (RFC 4155)
FOR_PEOPLE = b"text/html"   # a part that may look like XML, and is none
TEXT = b"text/plain"        # a part that may begin with "<" without being XML
NAMED = 5                   # domains that are named


class Other(Exception):
    """The report is about a domain that is not accepted."""


class Intake:
    """Adds reports, and counts what becomes of them.

    store: store.Store; domains: set of bytes, accepted with those below them
    added, messages, duplicates: numbers of reports and of messages that they count
    others: {domain: number of reports that are not kept}
    """

    def __init__(self, store, domains):
        self.store = store
        self.domains = domains
        self.added = self.messages = self.duplicates = 0
        self.others = {}

    def take(self, file):
        """Adds the reports in a file (binary, with a buffer).  Returns whether there are any.

        Raises Refused, StoreTrouble, OSError.
        """
        size = Budget(LARGEST_INPUT, "an input of")
        unpacked = Budget(LARGEST_XML, "XML of")
        start = file.read(packing.LONGEST_START)
        if start.startswith(MBOX):
            raise Refused("an mbox; remedy: put its messages into a Maildir")
        if packing.is_document(start):
            pieces = itertools.chain([start], iter(lambda: file.read(BUFFER), b""))
            return self.take_document(size.limit(pieces), unpacked)
        found = False
        for kind, content in Parts(size.limit(lines(start, file))):
            try:
                found |= kind != FOR_PEOPLE and self.take_document(content, unpacked)
            except NotAReport:
                continue
            except Refused:
                if kind != TEXT:
                    raise
        return found

    def take_document(self, pieces, unpacked):
        """Adds the report in the pieces (bytes) of a document.  Returns whether there is one.

        unpacked: Budget for its XML
        """
        xml = packing.document(pieces)
        if xml is None:
            return False
        try:
            self.add(unpacked.limit(xml))
        except Duplicate:
            self.duplicates += 1
        except Other:
            pass        # begin() has counted it
        return True

    def add(self, xml):
        """Adds a report.  xml: its pieces (bytes)"""
        with contextlib.ExitStack() as stack:
            def begin(report):
                if not self.accepts(report.domain):
                    self.others[report.domain] = self.others.get(report.domain, 0) + 1
                    raise Other
                return stack.enter_context(self.store.addition(report)).count

            reader = aggregate.Reader(begin, time.time())
            reader.read(xml)
        self.added += 1
        self.messages += reader.messages

    def accepts(self, domain):
        """Returns whether reports on a domain (str) are kept: it or one above is accepted."""
        return not self.domains.isdisjoint(address.with_parents(domain.encode()))

    def lines(self):
        """Returns what has become of the reports, list of str."""
        found = [f"{counted(self.added, 'report')} added, of {counted(self.messages, 'message')}"]
        if self.duplicates:
            found.append(f"{counted(self.duplicates, 'report')} had been added before")
        if self.others:
            names = sorted(self.others, key=lambda name: (-self.others[name], name))
            more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
            found.append(f"{counted(sum(self.others.values()), 'report')} not kept, on domains "
                         f"without a key here: {', '.join(names[:NAMED])}{more}; --domain "
                         "accepts one")
        return found


def lines(start, file):
    """Yields the lines of a file, long ones in pieces.  start: the bytes of it that are read"""
    *whole, partial = start.split(b"\n")
    for line in whole:
        yield line + b"\n"
    yield partial + file.readline(LONGEST_LINE)
    yield from iter(lambda: file.readline(LONGEST_LINE), b"")


def files(path):
    """Yields the paths of the regular files at or below a path; of a Maildir, its messages."""
    if not os.path.isdir(path):
        yield path
        return
    for directory, names, below in os.walk(path):
        if "cur" in names and "tmp" in names:
            names.remove("tmp")     # messages that are being delivered
        names.sort()
        for name in sorted(below):
            found = os.path.join(directory, name)
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISREG(os.lstat(found).st_mode):
                    yield found
