# SPDX-License-Identifier: MIT
"""Publishing by hand: the records are shown, and the administrator does the rest."""

from .. import records


class Printing:
    """The publisher of DKPUBLISH=print."""

    by_itself = False

    def add(self, wanted):
        """Returns the text that says what to publish, "" for nothing.  wanted: list of Record"""
        return shown("publish", wanted)

    def remove(self, unwanted):
        """Returns the text that says what to withdraw.  unwanted: list of Record"""
        return shown("withdraw", unwanted)


def shown(remark, entries):
    """Returns Records in the forms of name servers, each below a remark."""
    return records.zone_data([(remark, entry.name, entry.text) for entry in entries]
                             ) if entries else ""
