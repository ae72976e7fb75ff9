# SPDX-License-Identifier: MIT
"""Asks the DNS for key records, for the administrator's command.

It asks each of a domain's own name servers: the cache of a resolver does not help
an administrator who has just published a record.
"""

import time
from typing import NamedTuple

from ..errors import RequestTrouble, SettingTrouble
from ..lookup import budget
from ..lookup.answer import Answer
from ..lookup.memory import Memory
from . import check_packages

MOST_SECONDS = 20       # for one of many questions, whatever DKTIMEOUT is


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
        self.servers = Memory()     # that have been found

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

    def resolver(self):
        """Returns the resolver.Resolver of DNSCACHEIP.  Raises SettingTrouble."""
        return budget.resolver(self.settings["DNSCACHEIP"])

    def once(self, what, find):
        """Returns find(), which follows from answers.  what: names it, a tuple of str"""
        return find()

    def seconds(self):
        """Returns the seconds that one question to the name servers may take."""
        return self.settings.seconds("DKTIMEOUT")

    def by_name_servers(self, name):
        """As ask(), but always asks."""
        try:
            from ..lookup import name_servers
            try:
                return Said(name_servers.ask_all(name, self.resolver(), self.seconds(),
                                                 self.servers), "")
            except name_servers.Unknown as unknown:
                reason = str(unknown)
        except SettingTrouble as trouble:
            reason = str(trouble)
        return Said([("the resolver", self.by_resolver(name))], reason)


class SharedQuestions(Questions):
    """Asks the questions about many domains, each once, also if several threads have it.

    seconds: limit for all of them together; one takes MOST_SECONDS, or DKTIMEOUT if less
    """

    def __init__(self, settings, seconds):
        super().__init__(settings)
        self.limit = seconds
        self.deadline = time.monotonic() + seconds
        self.memory = Memory()

    def is_over(self):
        """Returns whether the time for all questions is over."""
        return time.monotonic() >= self.deadline

    def seconds(self):
        """As Questions.seconds(); 0 if the time is over."""
        return max(0, min(super().seconds(), MOST_SECONDS, self.deadline - time.monotonic()))

    def by_resolver(self, name, kind="TXT"):
        return self.memory.get((name, kind), lambda: self.look_up(name, kind))

    def look_up(self, name, kind):
        """As by_resolver(), but always asks."""
        try:
            left = self.deadline - time.monotonic()
            # A name gets half of the time that Lookups have; here each has Lookups of its own.
            seconds = max(0, min(self.settings.seconds("DKTIMEOUT"), MOST_SECONDS, 2 * left))
            return budget.Lookups("", seconds, self.resolver()).find(name, kind)
        except SettingTrouble as trouble:
            return Answer("temporary", [], str(trouble))

    def resolver(self):
        return self.memory.get("resolver", super().resolver)

    def ask(self, name):
        return self.memory.get(name, lambda: self.by_name_servers(name))

    def once(self, what, find):
        return self.memory.get(("findings", *what), find)


def require_packages(otherwise=""):
    """Raises RequestTrouble if a package is missing or too old.  otherwise: another remedy"""
    lacking = check_packages.flaws()
    if lacking:
        raise RequestTrouble(f"the DNS can't be asked: {lacking}; "
                             f"remedy: {check_packages.REMEDY}{otherwise}")
