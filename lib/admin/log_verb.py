# SPDX-License-Identifier: MIT
"""The verb log of qmail-dk.  What only it needs is imported late."""

import sys
import time

from .findings import visible

LINES = 12              # of each part of the table
LINES_OF_JSON = 1000
SECONDS = 20            # for the names of name servers


def log(options, host):
    """Says from the log what was signed, what was not and why, and who forges.

    Takes the options and the host.Host.  Returns 1 if a file can't be read to its end.
    """
    from ..settings import QMAIL
    from .log import page, reading, show, sources, times
    since = times.since(options.since, time.time())
    if options.paths:
        paths = options.paths
    else:
        from . import start_scripts
        paths = sources.usual(start_scripts.log_directories(QMAIL), since)
    read = reading.Reading(since)
    code = read_all(read, paths, sources)
    if not read.names:
        return code
    if options.names:
        from .log import servers
        read.sums.servers = servers.count(read.sums.undecided, host.settings["DNSCACHEIP"], SECONDS)
    if options.html:
        from . import web_page
        web_page.write(options.html, page.page(read))
    elif options.json:
        print(show.as_json(read, LINES_OF_JSON))
    else:
        print("\n".join(show.table(read, LINES)))
    return code


def read_all(read, paths, sources):
    """Reads the files that paths mean, with a line about each that can't be.  Returns the code.

    read: reading.Reading; sources: the module
    """
    code, seen = 0, set()
    for path in (found for named in paths for found in sources.files(named)):
        try:
            source = sources.opened(path, seen)
            if source:
                read.read(source)
        except sources.Unreadable as reason:
            code = 1
            print(f"qmail-dk: {visible(path)}: {reason}", file=sys.stderr)
    return code
