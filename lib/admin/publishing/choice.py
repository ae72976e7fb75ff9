# SPDX-License-Identifier: MIT
"""Chooses the publisher that DKPUBLISH names.

A publisher has

  add(records)     brings a list of record.Record into the DNS.  What is there already
                   stays as it is, and nothing else is replaced, so a call that was
                   interrupted can be repeated
  remove(records)  takes exactly these out; what is not there is passed over
  by_itself        whether it does that; else it only says what is to be done

Both functions return the text to show to the administrator, "" for none, and raise
errors.PublishTrouble.
"""

from ...errors import SettingTrouble
from . import nsupdate
from .printing import Printing
from .program import Program
from .tinydns_data import TinydnsData

FORMS = ("print, tinydns:FILE, nsupdate:SERVER[#PORT] [KEYFILE] or run:PROGRAM [ARGUMENT ...], "
         "where FILE, KEYFILE and PROGRAM begin with /")


def publisher(settings):
    """Returns the publisher that a settings.Settings names.

    Looks at no file but the control file.  Raises SettingTrouble, which does not show
    the value: somebody may have written a key into it.
    """
    value = settings["DKPUBLISH"]
    kind, _, rest = value.partition(":")
    if value == "print":
        return Printing()
    if kind == "tinydns" and is_path(rest):
        return TinydnsData(rest)
    if kind == "run" and is_path(rest):
        return Program(rest.split())
    by_update = nsupdate.from_words(rest.split()) if kind == "nsupdate" else None
    if by_update:
        return by_update
    raise SettingTrouble(f"DKPUBLISH is none of: {FORMS}")


def is_path(text):
    """Returns whether a text begins as an absolute path, and is printable."""
    return text.startswith("/") and text.isprintable()
