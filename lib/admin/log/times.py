# SPDX-License-Identifier: MIT
"""Reads the times in logs, and that of --since."""

import datetime
import re
import time

from ...errors import RequestTrouble

TAI64 = 2 ** 62 + 10    # the label of 1970, as multilog counts: without leap seconds since
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
END = 253402300800      # of the year 9999: what is after it no calendar shows
MONTHS = {name: number for number, name in enumerate(
    b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}
DAY = 86400
AHEAD = DAY             # seconds by which a time without a year may be after the file's
MOST_KNOWN = 10000      # minutes

DATE = re.compile(rb"(\d{4})-(\d\d)-(\d\d)([T _])(\d\d):(\d\d):(\d\d)(?:[.,]\d{1,9})?"
                  rb"(Z|([+-])(\d\d):?(\d\d))?")
CLASSIC = re.compile(rb"([A-Z][a-z]{2}) ([ \d]\d) (\d\d):(\d\d):(\d\d)")

UNITS = {"h": 3600, "d": 86400}
HOW = ("--since is a number of hours or days, as 24h or 7d, or a date or a time, as 2026-01-31 or "
       "2026-01-31T18:00")


class Clock:
    """Reads the times in a file.

    written: when it was last changed, seconds since 1970: syslog's times have no year, so
    that of the last one is the file's
    """

    def __init__(self, written):
        self.written = written
        self.known = {}         # {text without its seconds: seconds since 1970}

    def seconds(self, text):
        """Returns the seconds since 1970 (int) of a time in bytes, None if it is none."""
        if text[:1] == b"@":
            seconds = int(text[1:17], 16) - TAI64
            return seconds if 0 <= seconds < END else None
        if not text:
            return None
        if text[:1].isdigit():
            return self.by_minute(text, text[:16] + text[19:].lstrip(b".,0123456789"),
                                  text[17:19], dated)
        return self.by_minute(text, text[:12], text[13:15], self.undated)

    def compared(self, start, since):
        """Returns how a time is to `since` by its start: 1 if not before, -1 if before, else 0.

        start: the day and the hour or the minute, or the first digits of a label of TAI64
        """
        if start[:1] == b"@":
            digits = 17 - len(start)
            first = (int(start[1:], 16) << 4 * digits) - TAI64
            if not 0 <= first < END:
                return 0
            until = first + (1 << 4 * digits)
        else:
            first = self.seconds(start + (b"00" if start[-1:] == b":" else b":00:00"))
            if first is None:
                return 0
            # With a year, the zone is still to come.
            slack, until = (DAY, first + 3600) if start[:1].isdigit() else (0, first + 60)
            first, until = first - slack, until + slack
        return 1 if first >= since else -1 if until < since else 0

    def by_minute(self, text, minute, seconds, read):
        """Returns read(text), which is called once for each minute.

        minute: the text without what is in it; seconds: these digits of it (bytes)
        """
        start = self.known.get(minute)
        if start is None or not seconds.isdigit():
            found = read(text)
            if found is None:
                return None
            if len(self.known) > MOST_KNOWN:
                self.known.clear()
            start = self.known[minute] = found - int(seconds)
        return start + int(seconds)

    def undated(self, text):
        """Returns the seconds since 1970 of a time without a year, None if it is none."""
        found = CLASSIC.fullmatch(text)
        if not found or found[1] not in MONTHS:
            return None
        numbers = MONTHS[found[1]], *map(int, found.groups()[1:])
        year = time.localtime(self.written).tm_year
        seconds = local(year, *numbers)
        if seconds is None or seconds > self.written + AHEAD:
            seconds = local(year - 1, *numbers)
        return seconds


def dated(text):
    """Returns the seconds since 1970 of a time with a year, None if it is none."""
    found = DATE.fullmatch(text)
    if not found:
        return None
    year, month, day, hour, minute, second = (int(found[group]) for group in (1, 2, 3, 5, 6, 7))
    if not found[8] and found[4] != b"_":           # tai64nlocal; svlogd writes UTC
        return local(year, month, day, hour, minute, second)
    try:
        seconds = int(datetime.datetime(year, month, day, hour, minute, min(second, 59),
                                        tzinfo=datetime.timezone.utc).timestamp())
    except ValueError:
        return None
    ahead = int(found[10]) * 3600 + int(found[11]) * 60 if found[9] else 0
    return seconds - (ahead if found[9] == b"+" else -ahead)


def local(year, month, day, hour, minute, second):
    """Returns the seconds since 1970 of a local time, None if there is none."""
    try:
        datetime.datetime(year, month, day, hour, minute, min(second, 59))
        return int(time.mktime((year, month, day, hour, minute, second, 0, 0, -1)))
    except (ValueError, OverflowError):
        return None


def since(text, now):
    """Returns the seconds since 1970 that an argument of --since means, None for None.

    now: seconds since 1970, before which there is nothing.  Raises RequestTrouble.
    """
    if text is None:
        return None
    if text[-1:] in UNITS and text[:-1].isascii() and text[:-1].isdigit() and len(text) < 8:
        return max(int(now - int(text[:-1]) * UNITS[text[-1]]), 0)
    try:
        return int(datetime.datetime.fromisoformat(
            text[:-1] + "+00:00" if text.endswith("Z") else text).timestamp())
    except (ValueError, OverflowError, OSError):
        raise RequestTrouble(HOW) from None


def shown(seconds, form="%Y-%m-%d %H:%M:%S"):
    """Returns a local time (str), as in 2026-01-31 18:00:00.  form: of strftime(3)

    It is in UTC where the C library can't convert it: a time_t of 32 bits ends in 2038.
    """
    try:
        return time.strftime(form, time.localtime(seconds))
    except OverflowError:
        return (EPOCH + datetime.timedelta(seconds=seconds)).strftime(form)
