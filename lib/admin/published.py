# SPDX-License-Identifier: MIT
"""Asks the DNS for key records, for the administrator's command.

It asks each of a domain's own name servers: the cache of a resolver does not help
an administrator who has just published a record.
"""

from typing import NamedTuple

from ..errors import RequestTrouble, SettingTrouble
from ..lookup import budget
from ..lookup.answer import Answer
from . import check_packages


class Said(NamedTuple):
    """The answers to a question.

    answers: list of (who, answer.Answer); who: str
    instead: why the resolver was asked instead of the name servers (str), else ""
    """
    answers: list
    instead: str


class Questions:
    """Asks the questions about one domain.  settings: settings.Settings

    The resolver's look-ups together have as much time as those of one message, and so
    has each question to the name servers.  An invalid setting is reported in the
    answer, so that the rest can still be checked.
    """

    def __init__(self, settings):
        self.settings = settings
        self.lookups = None
        self.said = {}

    def by_resolver(self, name, kind="TXT"):
        """Returns the resolver's answer.Answer for a name (bytes) and a type."""
        try:
            if self.lookups is None:
                self.lookups = budget.Lookups(self.settings["DNSCACHEIP"],
                                              self.settings.seconds("DKTIMEOUT"))
            return self.lookups.find(name, kind)
        except SettingTrouble as trouble:
            return Answer("temporary", [], str(trouble))

    def ask(self, name):
        """Returns the name servers' Said for a name (bytes), and asks once for each name."""
        if name not in self.said:
            self.said[name] = self.by_name_servers(name)
        return self.said[name]

    def by_name_servers(self, name):
        """As ask(), but always asks."""
        try:
            recursive = budget.resolver(self.settings["DNSCACHEIP"]).servers
            from ..lookup import name_servers      # only now: it needs the packages
            try:
                return Said(name_servers.ask_all(name, recursive,
                                                 self.settings.seconds("DKTIMEOUT")), "")
            except name_servers.Unknown as unknown:
                reason = str(unknown)
        except SettingTrouble as trouble:
            reason = str(trouble)
        return Said([("the resolver", self.by_resolver(name))], reason)


def require_packages(otherwise=""):
    """Raises RequestTrouble if a package is missing or too old.  otherwise: another remedy"""
    lacking = check_packages.flaws()
    if lacking:
        raise RequestTrouble(f"the DNS can't be asked: {lacking}; "
                             f"remedy: {check_packages.REMEDY}{otherwise}")
