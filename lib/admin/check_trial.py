# SPDX-License-Identifier: MIT
"""Signs a message with the installed program, and verifies it with the installed verifier."""

import os
import subprocess
import sys
import tempfile

from .. import maillog
from ..settings import QMAIL
from ..verifying import exchange
from . import check_installation, trial_process
from .account import signers_account
from .findings import FAIL, Finding, named, on_one_line
from .host import PREFIX
from .trial_outcomes import (
    ANY, RECIPIENT, deferred, message, sender, unfolded, unsigned, unverified, verdicts,
)

STAND_IN = os.path.join(PREFIX, "lib", "admin", "print_message")
VERIFIER = os.path.join(PREFIX, check_installation.VERIFIER)
AUTHSERV_ID = exchange.TRIAL.decode()
LONGEST = 300       # seconds that each program may run
HOST = "mx.invalid"     # of a delivery that does not take place
NOTHING = "no output"
DEFERRED = (b"Z", b"s\0Z")      # first bytes of a report by the signer or its launcher


class Trials:
    """The trials of domains (str), some of which are made in the background from now on.

    The programs themselves are run for the first domain; they start anew for each message,
    so one process that does the same makes the trials of the others.
    host: host.Host; questions: published.SharedQuestions, or None if nothing can be verified
    lacks: what is missing for that (str)
    """

    def __init__(self, domains, host, questions, lacks):
        self.domains = domains
        self.launcher = check_installation.launcher(host)
        self.settings = host.settings
        self.lacks = lacks
        self.others = trial_process.Trials(domains[1:], self.launcher, host.settings, questions,
                                           lacks)

    def findings(self):
        """Waits for the Findings on all trials; equal ones are merged into one."""
        outcomes = [domain_findings(domain, self.launcher, self.settings, self.lacks)
                    for domain in self.domains[:1]] + self.others.outcomes()
        alike = {}
        for domain, outcome in zip(self.domains, outcomes):
            for level, text, remedy in outcome:
                alike.setdefault((level, text, remedy), []).append(domain)
        return [Finding(level, f"trial {named(of)}", text,
                        remedy.replace(ANY, of[0]) if len(of) == 1 else remedy,
                        of[0] if len(of) == 1 else "")
                for (level, text, remedy), of in alike.items()]


def domain_findings(domain, launcher, settings, lacks):
    """Makes a trial for one domain (str).  Returns a list of (level, text, remedy).

    launcher: path of the program that qmail runs as qmail-remote
    settings: settings.Settings, whose environment the programs get; lacks: as in Trials
    """
    try:
        signed = signed_by_program(domain, launcher, settings)
        if signed.startswith(DEFERRED):
            return [deferred(signed.partition(b"Z")[2])]
        if not signed.startswith((b"DKIM-Signature:", b"DomainKey-Signature:")):
            return [unsigned(launcher, "" if signed else f": {NOTHING}")]
        if lacks:
            return [unverified(lacks)]
        field = verified_by_program(signed, settings)
    except (OSError, subprocess.SubprocessError) as error:
        return [(FAIL, f"can't be made: {error}", check_installation.REPAIR)]
    return verdicts(field)


def signed_by_program(domain, launcher, settings):
    """Returns what the launcher writes for a message from the domain (bytes).

    This is the message as STAND_IN prints it, or a report of the signer.  Raises as run().
    """
    return run([launcher, HOST, sender(domain), RECIPIENT], message(domain),
               {**settings.environment, "DKREMOTE": STAND_IN, "DKMAY": ""})


def verified_by_program(signed, settings):
    """Returns the value of the Authentication-Results field that the verifier adds, unfolded; str.

    It has the results of signatures alone: check_dmarc and check_spf look at the rest.
    Raises OSError if the verifier adds none, and as run().
    """
    environment = {**settings.environment, "DKVERIFY": "-", "DKAUTHSERVID": AUTHSERV_ID,
                   "DKPOLICY": "no", "DKDMARC": "off"}
    environment.pop("RELAYCLIENT", None)
    annotated = run([sys.executable, "-IS", "-X", "utf8", "-X", "qmail=" + QMAIL, VERIFIER,
                     "--filter"], signed, environment)
    if annotated.partition(b":")[0].lower() != b"authentication-results":
        raise OSError(f"the verifier gave no result: {on_one_line(annotated) or NOTHING}")
    return unfolded(annotated)


def run(command, text, environment):
    """Returns the output of a program for a message, both bytes; root runs it as the signer's user.

    command: list of str; environment: {str: str}
    Raises OSError, also for an exit code other than 0, and subprocess.SubprocessError.
    """
    account = signers_account() if os.geteuid() == 0 else None
    user = ({"user": account.user, "group": account.group, "extra_groups": []}
            if account else {})
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
        source.write(text)
        source.seek(0)
        done = subprocess.run(command, stdin=source, stdout=target, stderr=subprocess.PIPE,
                              env={**environment, maillog.TRIAL: "1"}, cwd="/",
                              timeout=LONGEST, check=False, **user)
        target.seek(0)
        written = target.read()
    if done.returncode:
        raise OSError(f"{command[0]} ended with status {done.returncode}: "
                      + (on_one_line(done.stderr) or NOTHING))
    return written
