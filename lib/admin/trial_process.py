# SPDX-License-Identifier: MIT
"""Makes the trials of many domains in one process, by what the programs run for each message."""

import json
import os
import queue
import tempfile
import threading
import time

from ..errors import SettingTrouble, Trouble
from ..mail import message
from ..settings import Settings
from ..signing import outbound
from . import account, explain_signing, progress, trial_outcomes
from .findings import FAIL

ENDED = (FAIL, "the process for the trials ended too early", "report this as a bug")


class Trials:
    """The trials of many domains, in a process of their own that starts at once.

    domains: list of str; launcher: path of the program that qmail runs as qmail-remote
    settings: Settings; questions: published.SharedQuestions, whose answers are used again;
    None to verify nothing; lacks: what is missing for that (str)
    As root it makes them with the rights of the signer's user, for good.
    """

    def __init__(self, domains, launcher, settings, questions, lacks):
        self.number = len(domains)
        self.lines: "queue.SimpleQueue" = queue.SimpleQueue()     # of its output; None at the end
        self.child = 0
        if domains:
            load(questions is not None)
            # The administrator's choice of clients is about others than this command.
            settings = Settings({**settings.environment, "DKMAY": ""}, settings.control)
            self.start(domains, launcher, settings, questions, lacks)

    def start(self, domains, launcher, settings, questions, lacks):
        """Starts the process, and a thread that reads what it prints."""
        reader, writer = os.pipe()
        self.child = os.fork()
        if self.child == 0:
            try:
                os.close(reader)
                give_up_rights()
                with open(writer, "w", encoding="ascii") as pipe:
                    for domain in domains:
                        found = outcome(domain, launcher, settings, questions, lacks)
                        print(json.dumps(found), file=pipe, flush=True)
            finally:
                os._exit(0)     # the parent's open files are not this one's to flush
        os.close(writer)
        threading.Thread(target=self.read, args=(reader,), daemon=True).start()

    def read(self, reader):
        """Puts the lines of a pipe into self.lines.  reader: its descriptor"""
        with open(reader, encoding="ascii") as pipe:
            for line in pipe:
                self.lines.put(line)
        self.lines.put(None)

    def outcomes(self):
        """Waits for the outcomes for each domain: a list of lists, see trial_outcomes."""
        if not self.child:
            return []
        found = []
        with progress.shown("trials made", self.number) as count:
            for line in iter(self.lines.get, None):
                found.append([tuple(one) for one in json.loads(line)])
                count()
        os.waitpid(self.child, 0)
        return found + [[ENDED]] * (self.number - len(found))


def load(verifies):
    """Imports all modules that the trials need, before the right to read them is given up."""
    explain_signing.load()
    if verifies:
        from ..verifying import (      # noqa: F401
            body_hash, dkim, dkimpy, domainkeys, examination, key_record, signature,
        )


def give_up_rights():
    """Takes the signer's account, if this is root."""
    own = account.signers_account() if os.geteuid() == 0 else None
    if own:
        os.setgroups([])
        os.setgid(own.group)
        os.setuid(own.user)


def outcome(domain, launcher, settings, questions, lacks):
    """Returns the outcomes of one domain's trial.  domain: str; the others: as in Trials"""
    text = trial_outcomes.message(domain)
    try:
        with tempfile.TemporaryFile() as file:
            file.write(text)
            file.flush()
            fields, _ = outbound.sign_message(
                file.fileno(), trial_outcomes.sender(domain).encode(), settings)
    except (Trouble, OSError) as trouble:
        return [not_signed(trouble, launcher, settings)]
    if not fields:
        return [trial_outcomes.unsigned(launcher)]
    if questions is None:
        return [trial_outcomes.unverified(lacks)]
    field = verified(fields + text, settings, questions)
    if "=temperror" in field and questions.is_over():
        return [trial_outcomes.unverified("more time")]
    return trial_outcomes.verdicts(field)


def not_signed(trouble, launcher, settings):
    """Returns the outcome if signing raises an exception, by DKONERROR."""
    try:
        if settings.unsigned_on_error():
            return trial_outcomes.unsigned(launcher)
    except SettingTrouble as unreadable:
        return not_passed_on(unreadable)
    return not_passed_on(trouble)


def not_passed_on(trouble):
    """Returns the outcome if an exception defers mail, in the words of qmail_remote_dk.defer()."""
    reason = f"qmail-remote-dk: {type(trouble).__name__}: {trouble} (#4.3.0)"
    return trial_outcomes.deferred(reason.encode("ascii", "replace"))


def verified(signed, settings, questions):
    """Returns the value of Authentication-Results for a message (bytes), unfolded; str."""
    from ..verifying import examination, exchange
    from ..verifying.report import Terms
    header, body = message.split(iter([signed]))
    terms = Terms(settings.number("DKRSAMIN", "bits"), authserv_id=exchange.TRIAL)
    examined = examination.examine(header, body, terms, questions.by_resolver, int(time.time()))
    return trial_outcomes.unfolded(examination.header_fields(examined, terms.authserv_id))
