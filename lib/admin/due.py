# SPDX-License-Identifier: MIT
"""Changes the keys of all domains, as far as it is their time: qmail-dk rotate --due.

One run does for each domain what can be done now:

  settle    brings to the other hosts what changed when they could not be reached
  withdraw  takes away the record and the file of a key that no mail needs any more
  make      makes the next key for one that is older than DKROTATE
  publish   brings its record into the DNS, as DKPUBLISH says
  activate  makes it sign, once each of the domain's name servers has the record

What comes next is known from the links beside the keys and their times alone, so a
run goes on where another has been killed.  A step that fails ends that domain's turn.
"""

import contextlib
import functools
import os
import sys
import time

from ..errors import PublishTrouble, RequestTrouble, Trouble
from ..lookup.threads import at_once
from . import (
    check_keys, check_permissions, distribution, key_places, key_storage, published, records,
    rotation,
)
from .due_keys import Finished, faults, is_published, record_of
from .findings import failures
from .key_places import FORMER, NEXT, OF_KEYS, UNSYNCED
from .publishing.choice import publisher
from .publishing.record import Record
from .rotation import DAY
from .summary import DONE, FAILED, TODO, WAITS, Summary

AT_ONCE = 64        # questions to the DNS; dnscache takes 200 at a time
SECONDS = 300       # for all questions of one round
PATIENCE = 10       # seconds to wait for name servers that load what was just published
PAUSE = 0.5
LOCK = ".rotate.lock"       # in the directory of all domains' directories

SUFFIXES = (*OF_KEYS, UNSYNCED)     # of what says that something may be due


def rotate(names, settings, bits, group):
    """Does what is due, and prints the summary.  Returns the exit code.

    names: of domains, list of str; all domains if it is empty
    The others: as for Run.  Raises RequestTrouble, SettingTrouble.
    """
    published.require_packages()
    run = Run(settings, bits, group)
    with alone(run.patterns) as run.hosts.inherited:
        is_watched = sys.stdout.isatty()
        try:
            run.change(run.known(names) if names else
                       key_places.domains(run.patterns, SUFFIXES))
            if is_watched and not run.summary.lines():
                print(run.outlook())
        finally:
            code = run.summary.show(is_watched)
    return code


class Run:
    """One run.  settings: settings.Settings; bits: of new RSA keys, None for ADVISED_BITS

    group: as in key_places.make_next().  Raises SettingTrouble, RequestTrouble.
    """

    def __init__(self, settings, bits, group):
        self.settings = settings
        self.patterns = settings.key_patterns()
        if not any(map(key_places.has_directory, self.patterns.split(":"))):
            raise RequestTrouble(key_places.no_directory(self.patterns))
        self.directories = key_places.by_directory(self.patterns)
        self.age = settings.number("DKROTATE", "days") * DAY
        self.publisher = publisher(settings)
        self.hosts = distribution.Distribution(settings)
        self.bits = check_keys.ADVISED_BITS if bits is None else bits
        self.group = group
        self.summary = Summary()
        self.following = []     # (when a key will be changed, domain)
        self.by_hand = {"add": [], "remove": []}    # Records that the administrator changes

    @functools.cached_property
    def paths(self):
        """What rotation.paths_by_file() has found when this run first asked."""
        return rotation.paths_by_file(self.patterns, OF_KEYS)

    def known(self, names):
        """Returns the domains among names that have keys, list of str."""
        found, with_keys = [], set(key_places.domains(self.patterns, SUFFIXES))
        for name in names:
            try:
                domain = key_places.checked_domain(name)
                if domain not in with_keys:
                    raise RequestTrouble("has no key in a directory of its own by DKSIGN; make "
                                         f"one: qmail-dk keygen {domain}")
                found.append(domain)
            except RequestTrouble as trouble:
                self.summary.add(FAILED, name, str(trouble))
        return found

    def outlook(self):
        """Returns what comes next, as text."""
        if not self.following:
            return "nothing is due"
        when, domain = min(self.following)
        return f"nothing is due; the next key to be changed is {domain}'s, on {rotation.date(when)}"

    def change(self, domains):
        """Does what is due for domains (list of str)."""
        places = list(dict.fromkeys(place for domain in domains
                                    for place in self.own_places(domain)))
        self.each(places, self.settle)
        self.withdraw([item for items in self.each(places, self.finished) for item in items])
        self.each(places, self.make)
        waiting = self.each(places, self.next_key)
        for place, key in self.publish(waiting):
            self.attempt(place, self.activate, key)
        if not self.publisher.by_itself:
            self.summary.appendix = [self.publisher.add(self.by_hand["add"]),
                                     self.publisher.remove(self.by_hand["remove"])]

    def own_places(self, domain):
        """Returns the Places of a domain with keys whose links are only its own."""
        found = [place for place in key_places.own_places(domain, self.patterns)
                 if any(key_storage.is_there(place.path + suffix) for suffix in SUFFIXES)]
        others = key_places.same_directory(domain, self.patterns, self.directories)
        if others:
            self.summary.add(WAITS, domain, f"shares its links with {', '.join(others)}: "
                             "change its keys by hand (doc/changing-keys)")
            return []
        return found

    def each(self, places, function):
        """Returns what function returns for each Place, without those for which it fails."""
        found = [self.attempt(place, function) for place in places]
        return [result for result in found if result is not None]

    def attempt(self, place, function, *arguments):
        """Returns function(place, *arguments), None if it fails: the summary says so."""
        try:
            return function(place, *arguments)
        except Trouble as trouble:
            self.summary.add(FAILED, place.domain, str(trouble))
        except OSError as error:
            self.summary.add(FAILED, place.domain,
                             f"{error.filename or 'input or output'}: {error.strerror}")
        return None

    def settle(self, place):
        """Goes on with a change that other hosts may lack.  Raises Trouble."""
        if distribution.is_unsettled(place):
            self.hosts.settle(place)
            if self.hosts.arguments:
                self.summary.add(DONE, place.domain, "DKSYNC has brought its keys to other hosts")
            key_storage.remove_if_empty(place.directory)

    def finished(self, place):
        """Returns the keys of a Place that no mail needs any more, list of Finished."""
        found = []
        with key_places.undisturbed(place.domain, self.patterns):
            for suffix in rotation.leaving(place):
                item = Finished(place, suffix)
                until = rotation.needed_until(item.former, self.settings.control)
                if distribution.is_unsettled(place):
                    self.summary.add(WAITS, place.domain, f"{item.name} stays: other hosts may "
                                     "still sign with this key")
                elif until > time.time():
                    self.summary.add(WAITS, place.domain, f"{item.name} is withdrawn after "
                                     f"{rotation.date(until)}")
                elif self.is_free(item):
                    found.append(item)
        return found

    def is_free(self, item):
        """Returns whether nobody else uses a Finished key; else the summary says who."""
        others = rotation.others_that_use(item.former, self.paths)
        if others:
            self.summary.add(WAITS, item.place.domain, f"{item.name} stays, and its key: others "
                             f"use it by {' '.join(others)}")
        return not others

    def withdraw(self, items):
        """Withdraws the records of Finished keys, then removes those that have gone."""
        if self.publisher.by_itself:
            failed = self.publish_all(self.publisher.remove, [
                (item.place.domain, item.records()) for item in items if item.key])
            items = [item for item in items if item.place.domain not in failed]
        questions = self.ask_until([item.name for item in items], lambda questions: not any(
            item.is_published(questions) for item in items))
        for item in items:
            if item.is_published(questions) is False:
                self.attempt(item.place, self.remove, item)
                continue
            since = rotation.needed_until(item.former, self.settings.control)
            self.say_what_waits(item.place.domain, since,
                                f"withdraw {item.name}: it is not needed since "
                                f"{rotation.date(since)}, and {item.where(questions)}")
            self.by_hand["remove"] += item.records()

    def remove(self, place, item):
        """Removes a Finished key, whose record has gone.  Raises Trouble, OSError."""
        with key_places.undisturbed(place.domain, self.patterns):
            if Finished(place, item.suffix).former != item.former:
                raise RequestTrouble("its keys have been changed meanwhile; try again")
            self.hosts.announce(place)
            for path in reversed(item.former.files):    # the link last: it is what a later run sees
                os.unlink(path)
        self.summary.add(DONE, place.domain, f"{item.name} and its key have been withdrawn")
        self.settle(place)
        key_storage.remove_if_empty(place.directory)

    def make(self, place):
        """Makes the next key if it is time for it.  Raises Trouble, OSError."""
        with key_places.undisturbed(place.domain, self.patterns):
            key = place.key()
            if key is None or os.path.lexists(place.path + NEXT) or FORMER in rotation.leaving(
                    place):
                return
        due = rotation.made(key) + self.age
        if due > time.time():
            self.following.append((due, place.domain))
            return
        if os.path.islink(key.path):
            self.summary.add(WAITS, place.domain, f"signs with {os.path.realpath(key.path)!r}, "
                             "which others have, too: change it by hand (doc/changing-keys)")
            return
        key, _ = key_places.make_next(
            lambda: place, place.domain, self.patterns, key.private_key.algorithm,
            self.bits, None, self.group)
        self.summary.add(DONE, place.domain, f"{key.selector.decode()} has been made: it will be "
                         "the next key")

    def next_key(self, place):
        """Returns (Place, its next key), None if it has none.  Raises Trouble."""
        with key_places.undisturbed(place.domain, self.patterns):
            key = place.key(NEXT)
        return key and (place, key)

    def publish(self, waiting):
        """Publishes next keys.  Returns those that each name server has.

        waiting: list of (Place, SigningKey)
        """
        questions = self.ask([name for place, key in waiting for name in (
            records.name_of(key), *self.policy_names(place))])
        lacking, shown = [], []
        for place, key in waiting:
            (lacking if faults(key, questions) else shown).append((place, key))
        if lacking and self.publisher.by_itself:
            self.publish_all(self.publisher.add, [
                (place.domain, self.wanted(place, key, questions)) for place, key in lacking])
            questions = self.ask_until(
                [records.name_of(key) for _, key in lacking],
                lambda questions: not any(faults(key, questions) for _, key in lacking))
        for place, key in lacking:
            found = faults(key, questions)
            if not found:
                shown.append((place, key))
                continue
            with contextlib.suppress(FileNotFoundError):    # the domain is removed meanwhile
                self.say_what_waits(place.domain, os.lstat(place.path + NEXT).st_mtime,
                                    f"the next key waits for its record {records.name_of(key)}: "
                                    + "; ".join(found))
            if not is_published(record_of(key), questions):
                self.by_hand["add"] += self.wanted(place, key, questions)
        return shown

    def policy_names(self, place):
        """Returns the name of the policy that a domain's first key needs, a list, else []."""
        return [] if key_storage.is_there(place.path) else [records.policy_name(place.domain)]

    def say_what_waits(self, domain, since, text):
        """Adds a line about a record that a publisher should have changed since then.

        After a day the administrator has to look; without a publisher, at once.
        """
        is_late = time.time() > since + DAY
        self.summary.add(TODO if is_late or not self.publisher.by_itself else WAITS, domain, text)

    def wanted(self, place, key, questions):
        """Returns the Records that a next key needs, list of record.Record.

        With a domain's first key also a policy, if it has none: without it tinydns
        denies the name above the keys.
        """
        return [record_of(key)] + [
            Record(name, records.TTL, records.POLICY) for name in self.policy_names(place)
            if all(answer.status == "none" for _, answer in questions.ask(name.encode()).answers)]

    def publish_all(self, function, changes):
        """Publishes or withdraws Records.  Returns the domains for which that failed, a set.

        function: of the publisher; changes: list of (domain, list of Record)
        """
        if len(changes) > 1:
            with contextlib.suppress(PublishTrouble):       # see below whose it is
                function([record for _, wanted in changes for record in wanted])
                return set()
        failed = set()
        for domain, wanted in changes:
            try:
                function(wanted)
            except PublishTrouble as trouble:
                self.summary.add(FAILED, domain, str(trouble))
                failed.add(domain)
        return failed

    def ask(self, names):
        """Asks the DNS for names (list of str), many at a time.  Returns the SharedQuestions."""
        questions = published.SharedQuestions(self.settings, SECONDS)
        for _ in at_once(lambda name: questions.ask(name.encode()), names, AT_ONCE):
            pass
        return questions

    def ask_until(self, names, is_enough):
        """As ask(), again and again, until is_enough(SharedQuestions) or PATIENCE is over."""
        end = time.monotonic() + (PATIENCE if self.publisher.by_itself else 0)
        while True:
            questions = self.ask(names)
            if is_enough(questions) or time.monotonic() >= end:
                return questions
            time.sleep(PAUSE)

    def activate(self, place, key):
        """Makes a next key sign.  Raises Trouble, OSError: then the old one goes on."""
        selector = key.selector.decode()
        for finding in failures(check_permissions.reading_findings(place.path + NEXT)):
            raise RequestTrouble(f"{finding.subject}: {finding.text}; remedy: {finding.remedy}")
        if FORMER in rotation.leaving(place) and key_storage.is_there(place.path):
            self.summary.add(WAITS, place.domain, f"{selector} signs once the key before the "
                             "present one is withdrawn")
            return
        self.hosts.activate(place, key)
        self.summary.add(DONE, place.domain, f"{selector} signs from now on")
        self.hosts.settle(place)
        self.finished(place)        # says when the former key goes


@contextlib.contextmanager
def alone(patterns):
    """Keeps a second run away while the context lasts, and yields the lock: descriptors, a list.

    patterns: DKSIGN, as Run takes them
    A program that has inherited them keeps the lock if this process is killed.  Raises
    RequestTrouble if another run, or such a program, is at work.
    """
    own = next(filter(key_places.has_directory, patterns.split(":")))
    held: list = []
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(FileNotFoundError):
            # A file of its own, because any user can lock a directory that he can read.
            fd = os.open(os.path.join(os.path.dirname(own.partition("%")[0]), LOCK),
                         os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            stack.callback(os.close, fd)
            if not key_storage.try_lock(fd):
                raise RequestTrouble("another qmail-dk rotate --due is at work and does what is "
                                     "due, or a program that a killed one has started")
            stack.callback(key_storage.unlock, fd)
            held.append(fd)
        yield held
