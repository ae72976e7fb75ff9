# SPDX-License-Identifier: MIT
"""The verbs of qmail-dk about what receivers report.

Each takes the options and the host.Host, and returns the exit code.  What only they
need is imported late.
"""

import contextlib
import os
import sys
import time

from ..errors import RequestTrouble, SettingTrouble
from .findings import visible

INPUT = "-"
DATABASE = "/var/lib/qmail-dk/reports.sqlite"
DAYS = 30
MOST_DAYS = 36500
LINES, LINES_OF_ONE = 12, 60    # of each part of the table; if one domain is asked for
LINES_OF_JSON = 1000            # senders
SECONDS = 20            # for the names of all hosts together


def reports_add(options, host):
    """Adds DMARC reports in mail or files to the database.

    Returns 1 if a file that was named is no good; 0 for whatever is on standard input,
    because qmail would bounce it.
    """
    from .reports import adding, bounds, store
    code = 0
    with contextlib.closing(store.Store(options.database, True)) as opened:
        intake = adding.Intake(opened, accepted(options, host.settings))
        for path in (found for named in options.paths or [INPUT] for found in adding.files(named)):
            try:
                with open(path if options.paths else 0, "rb") as file:
                    if not intake.take(file) and path in (options.paths or [INPUT]):
                        raise bounds.Refused("there is no aggregate report in it")
            except bounds.Refused as reason:
                code = 1 if options.paths else 0
                name = visible(path) if options.paths else "standard input"
                print(f"qmail-dk: {name}: nothing added: {reason}", file=sys.stderr)
    print("\n".join(intake.lines()))
    return code


def accepted(options, settings):
    """Returns the domains whose reports are kept, set of bytes.

    They are those of --domain and those that DKSIGN gives a directory or a key to: the
    user who adds reports need not be able to see the keys.  Raises SettingTrouble if
    there are none: then it is more likely that he can't see them than that all reports
    are to be dropped.
    """
    from . import key_places
    found = {key_places.checked_domain(domain) for domain in options.domain}
    patterns = settings.key_patterns()
    with contextlib.suppress(PermissionError):
        found |= {place.domain for place in key_places.existing_places(patterns)}
    if not found:
        raise SettingTrouble(f"this user sees no domain that has a key by DKSIGN ({patterns}); "
                             "remedy: name the domains by --domain")
    return {domain.encode() for domain in found}


def reports(options, host):
    """Shows what receivers say in DMARC reports, and what it means."""
    from .reports import store
    if not 1 <= options.days <= MOST_DAYS:
        raise RequestTrouble(f"--days is a number from 1 to {MOST_DAYS}")
    only = None
    if options.domain:
        from . import key_places
        only = key_places.checked_domain(options.domain)
    if not is_there(options.database):
        print("no reports have been added; doc/reports says how they get here")
        return 0
    with contextlib.closing(store.Store(options.database, False)) as opened:
        show_reports(opened, only, options, host)
    return 0


def show_reports(opened, only, options, host):
    """Shows an open store.Store as a table, JSON or a page.  only: domain, str, or None"""
    from .reports import causes, show, summary
    most = LINES_OF_JSON if options.json else LINES_OF_ONE if only or options.html else LINES
    seen = summary.summary(opened, options.days, int(time.time()) // 86400, most, only)
    found = causes.findings(opened, seen)
    names = {}
    if options.names:
        from ..lookup import host_names
        from .reports import page
        names = host_names.names(page.addresses(seen), host.settings["DNSCACHEIP"], SECONDS)
    if options.html:
        from . import web_page
        from .reports import page
        web_page.write(options.html, page.page(opened, seen, found, names))
    elif options.json:
        print(show.as_json(seen, found, names))
    else:
        print("\n".join(show.table(seen, found, names, most, sys.stdout.isatty())))


def is_there(path):
    """Returns whether a file exists, or may: its directory may be closed to us."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return False
    except PermissionError:
        pass
    return True
