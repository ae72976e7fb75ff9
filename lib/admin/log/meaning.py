# SPDX-License-Identifier: MIT
"""Reads the texts of our lines, and counts what they say.

Each function takes Sums, a text without its line's end (str), and how many lines have it.
It raises NotOurs for a text that is not in the grammar of doc/log, or not whole.
"""

import re

from ... import maillog
from ...mail import address
from .lines import RESIDENT_SIGNER, RESIDENT_VERIFIER, SIGNER, VERIFIER, rows
from .sums import Sums

LONGEST_REASON = 200    # characters

# Whose results are counted, in the words of the table.
RESIDENT, ALONE, NO_ANSWER = "the resident verifier", "the verifier itself", (
    "the verifier itself, as the resident one did not answer")
BY = {b"; resident": RESIDENT, b"; no answer": NO_ANSWER, b"": ALONE}
ONE_SHOT, BY_RESIDENT = "qmail-remote-dk, for each delivery", "qmail-rspawn, the resident signer"
OUT, IN = "outgoing", "incoming"
SIGNED_BY = {SIGNER: ONE_SHOT, RESIDENT_SIGNER: BY_RESIDENT}

NAME = r"([a-z0-9_.-]{1,253})"
SIGNATURE = re.compile(rf"(dkim|domainkeys) d={NAME} s={NAME} a=(?:rsa|ed25519)-sha(?:1|256)")
CUT_VERDICT = re.compile(r"qp \d{1,10} (?=[a-z]+: )")
VERDICT = re.compile(r"(accepted|rejected|deferred): ([a-z ]{1,20} \([A-K]\))")
OWNER = r"([A-Za-z0-9_.-]{0,253})"
REASON = r"(?: \((.*?)\))?"
# What follows, each from a semicolon to the next part or the end.
RESULT = re.compile(rf"; (dkim|domainkeys)=([a-z]+) d={OWNER} s={OWNER}{REASON}(?=; |$)")
SPF = re.compile(rf"; (spf)=([a-z]+) (?:mailfrom|helo)=(\S*){REASON}(?=; |$)")
DMARC = re.compile(rf"; (dmarc)=([a-z]+) from={OWNER}(?: p=[a-z]+)?{REASON}(?=; |$)")
OTHER = re.compile(r"; (?:spf not evaluated: |no DomainKey-Status, )[^;]*(?=; |$)")

COLUMNS = {"pass": 0, "fail": 1, "temperror": 2}    # of Sums.domains; the others are 3
NOT_NOW = "the key can't be had now: "

# Texts about a delivery -> the reason; the group is a domain.
UNSIGNED = [(re.compile(expression), reason) for expression, reason in (
    (rf"not signed: no key for {NAME}", "no key"),
    (r"not signed: no domain that could have a key", "no domain that could have a key"),
    (rf"not signed as {NAME}: by DKMAY, .*", "withheld by DKMAY: not for that client"),
    (rf"not signed as {NAME}: the message came from outside .*",
     "withheld: came from outside without a good signature of it"),
    (rf"warning: sent unsigned, though {NAME} has a key: .*",
     "not all readers find one author in From:"),
    (rf"warning: not signed as [a-z0-9.-]+, though {NAME} has a key: .*",
     "not all readers find one author in From:"),
    (r"warning: sent unsigned: (?P<reason>.*), so verifiers would not agree on it", ""),
    (r"warning: sent unsigned \(DKONERROR\): (?P<reason>.*)", "DKONERROR: "))]
REMARKS = "warning: ", "no DomainKeys signature, "
WAITS = re.compile(r"warning: (?:deferred|bounced): (.*)")
LINE_NUMBER = re.compile(r"line \d+")

# Texts about resident programs -> what happened.
EVENTS = [(re.compile(expression), event) for expression, event in (
    (r"started: signs for \d+ deliveries at once", "started"),
    (r"warning: ended: .*", "ended by an error"),
    (r"warning: the resident signer does not start, .*", "did not start"),
    (r"\d+ workers are ready", "started"), (r"settings are read again", "settings read again"),
    (r"nothing is changed: .*", "settings could not be read again"),
    (r"ended by a signal", "ended by a signal"),
    (r"worker \d+ was killed by signal \d+", "a worker was killed"),
    (r"unable to start a worker: .*", "a worker could not be started"),
    (r"all \d+ workers run again", "all workers run again"),
    (r"worker \d+ failed", "a worker failed"), (r"worker \d+: .*", None))]
# As rsyslog writes equal lines, if it is told to, as on Ubuntu.
REPEATED = re.compile(rb"message repeated (\d{1,6}) times: \[ ((?!message).*)\]")
NO_RESULT = re.compile(r"no answer: (?:[a-z0-9_.-]+: )?(.*); \d+\.\d{3} s")
TRIAL = "trial: "


class NotOurs(Exception):
    """A text is not one that our programs write, or not all of it is there."""


def count(sums: Sums, row: tuple, number: int) -> None:
    """Counts lines.  row: what they have in common, as in lines.rows(), but the time"""
    program, signed, verified, note, other = row
    repeated = REPEATED.fullmatch(other)
    if repeated:
        for _, *same in rows(b"\nqmail-%b: %b\n" % (program, repeated[2])):
            count(sums, tuple(same), number * int(repeated[1]))
        return
    try:
        text = readable(signed or verified or other)
        if program in SIGNED_BY and not verified:
            (count_signed if signed else count_signer)(sums, program, text, number)
        elif program == VERIFIER and verified:
            count_verified(sums, text, note, number)
        elif program == VERIFIER and other:
            count_verifier(sums, text, number)
        elif program == RESIDENT_VERIFIER and not (signed or verified):
            count_resident(sums, text, number)
        else:
            raise NotOurs
    except NotOurs:
        sums.broken += number


def readable(text):
    """Returns bytes as str.  Raises NotOurs unless they are as maillog.printable() leaves them."""
    if not text.isascii() or not text.decode("ascii").isprintable():
        raise NotOurs
    return text.decode("ascii")


def is_cut(text):
    """Returns whether a line may have been cut, at maillog's limit."""
    return len(text) >= maillog.LONGEST


def count_signed(sums, program, text, number):
    """Counts "signed: " with its signatures."""
    keys = {}       # (domain, selector): protocols
    for part in text.removeprefix("signed: ").split(", "):
        found = SIGNATURE.fullmatch(part)
        if not found or not address.is_domain(found[2].encode()):
            raise NotOurs
        keys.setdefault((found[2], found[3]), set()).add(found[1])
    for key, protocols in keys.items():
        sums.keys.add(key, [number, number * ("dkim" in protocols),
                            number * ("domainkeys" in protocols)])
    sums.signed_by.add(SIGNED_BY[program], [number])


def count_signer(sums, program, text, number):
    """Counts another text of a signer."""
    text, delivery, end = text.partition("; host=")
    if delivery and not end.endswith(">") and not is_cut(text + delivery + end):
        raise NotOurs
    if not delivery:
        waits = WAITS.fullmatch(text)
        if waits:
            sums.deferred.add((OUT, waits[1][:LONGEST_REASON]), [number])
        else:
            count_event(sums, program, text, number)
    elif text.startswith("signed: "):
        count_signed(sums, program, text, number)
    else:
        count_unsigned(sums, text, number)


def count_unsigned(sums, text, number):
    """Counts the text about a delivery that was not signed, or not as a domain; else a remark."""
    for expression, reason in UNSIGNED:
        found = expression.fullmatch(text)
        if found and "reason" in expression.groupindex:
            reason += LINE_NUMBER.sub("line N", found["reason"])[:LONGEST_REASON]
            sums.unsigned.add(("", reason), [number])
            return
        if found:
            domain = found[1] if expression.groups else ""
            if domain and not address.is_domain(domain.encode()):
                raise NotOurs
            sums.unsigned.add((domain, reason), [number])
            return
    if not text.startswith(REMARKS):
        raise NotOurs
    remark = text.removeprefix("warning: ").partition("; remedy: ")[0]
    sums.remarks.add(remark[:LONGEST_REASON], [number])


def count_event(sums, program, text, number):
    """Counts what happened to a resident program."""
    for expression, event in EVENTS:
        if expression.fullmatch(text):
            if event:
                sums.events.add((program.decode(), event), [number])
            return
    raise NotOurs


def count_resident(sums, text, number):
    """Counts a text of the resident verifier, "" for a result."""
    without = NO_RESULT.fullmatch(text)
    if without:
        event = "gave no result: " + without[1][:LONGEST_REASON]
        sums.events.add((RESIDENT_VERIFIER.decode(), event), [number])
    elif text and not text.startswith(TRIAL):
        count_event(sums, RESIDENT_VERIFIER, text, number)
    elif not text:
        sums.events.add((RESIDENT_VERIFIER.decode(), "gave a result"), [number])


def count_verifier(sums, text, number):
    """Counts another text of the verifier: an error of ours, or one of which results are cut."""
    said, origin, _ = text.partition("; client=")
    verdict = CUT_VERDICT.match(said)
    if origin and said.startswith("deferred: "):
        reason = said.removeprefix("deferred: ").partition("; remedy: ")[0]
        sums.verdicts.add(("deferred", "an error here"), [number])
        sums.deferred.add((IN, reason[:LONGEST_REASON]), [number])
    elif verdict and is_cut(text):
        count_verified(sums, said[verdict.end():], None, number)
    else:
        raise NotOurs


def count_verified(sums, text, note, number):
    """Counts the verdict on messages and their results.

    note: a key of BY; None if the text is cut, so that it may end within a result
    """
    found = VERDICT.match(text)
    if not found:
        raise NotOurs
    at, results = found.end(), []
    while at < len(text):
        part = (RESULT.match(text, at) or DMARC.match(text, at) or SPF.match(text, at)
                or OTHER.match(text, at))
        if not part:
            if note is None:
                break
            raise NotOurs
        if part.re is not OTHER:
            results.append(part)
        at = part.end()
    sums.verdicts.add((found[1], found[2]), [number])
    sums.verified_by.add(BY.get(note, ALONE), [number])
    count_results(sums, results, found[1] == "rejected", number)


def count_results(sums, results, is_rejected, number):
    """Counts results by domain.  results: list of matches of RESULT, SPF and DMARC"""
    best, forged = {}, {}       # {domain: column of Sums.domains}, {domain: set of what fails}
    for part in results:
        kind, status, domain = part[1], part[2], part[3].lower()
        if status == "temperror":
            reason = (part.groups()[-1] or "").removeprefix(NOT_NOW)[:LONGEST_REASON]
            sums.undecided.add((domain, f"{kind}: {reason}"), [number])
        if part.re is RESULT and domain:
            best[domain] = min(best.get(domain, 3), COLUMNS.get(status, 3), key=RANK.index)
        elif kind == "dmarc" and status == "fail":
            forged.setdefault(domain, set()).add(kind)
    for domain, column in best.items():
        sums.domains.add(domain, [number * (column == each) for each in range(4)])
        if column == COLUMNS["fail"]:
            forged.setdefault(domain, set()).add("signature")
    for domain, failing in forged.items():
        sums.forged.add(domain, [number, number * ("dmarc" in failing),
                                 number * ("signature" in failing), number * is_rejected])


RANK = [0, 2, 1, 3]     # columns of Sums.domains, the best first
