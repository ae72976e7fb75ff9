# SPDX-License-Identifier: MIT
"""The look-ups of one SPF evaluation: counted, limited, and explained if wanted.

RFC 7208 section 4.6.4 limits what a record can make us ask of the DNS.
"""

from ..lookup.answer import weight
from ..mail.address import are_labels

MOST_TERMS = 10         # that need look-ups
MOST_VOID_TERMS = 2     # of these, with a look-up that finds nothing

# A limit of ours: weight() of all answers, a multiple of what records in use need.  The terms
# allow 111 answers of 256 records each, which would cost a second of CPU time, and 6 MiB.
MOST_WEIGHT = 100_000

NOT_ASKED = "not a domain name"     # reason of the answer for a name that can't be in the DNS
MOST_SHOWN = 10                     # values of an answer that a step shows
SHOWN = bytes(byte if 0x20 <= byte <= 0x7e else 0x3f for byte in range(256))    # else "?"


class Ended(Exception):
    """An evaluation ends with an error.  Only the spf modules raise it, and spf catches it.

    status: "permerror" or "temperror"; reason: as in spf.SpfResult
    """

    def __init__(self, status, reason):
        super().__init__(reason)
        self.status = status
        self.reason = reason


class CountedLookups:
    """Asks for one evaluation.

    find: as in spf.evaluate(); steps: list that gets a str for each step, or None
    terms, void_terms: int, counted against the limits
    is_void: whether the term that is being evaluated is among void_terms
    unanswered: as in spf.SpfResult
    weight_left: int, the weight() that further answers may have
    depth: int, how many records lead to the one that is being evaluated
    """

    def __init__(self, find, steps):
        self.find = find
        self.steps = steps
        self.terms = self.void_terms = 0
        self.is_void = self.unanswered = False
        self.weight_left = MOST_WEIGHT
        self.depth = 0

    def count_term(self):
        """Counts a term that needs look-ups.  Raises Ended if there are too many."""
        self.is_void = False
        self.terms += 1
        if self.terms > MOST_TERMS:
            raise Ended("permerror", f"more than {MOST_TERMS} terms need look-ups")

    def values(self, name, kind):
        """Returns the values (list) that a name has.  Raises Ended.

        RFC 7208 section 5: an error of the DNS ends the evaluation.
        """
        answer = self.answer(name, kind)
        if answer.status == "temporary":
            raise Ended("temperror", f"{kind} of {shown(name)}: {answer.reason}")
        return answer.values

    def values_if_any(self, name, kind):
        """Returns the values (list) that a name has, none if the look-up fails.  Raises Ended.

        Section 5.5: such an error does not end the evaluation.
        """
        answer = self.answer(name, kind)
        self.unanswered = self.unanswered or answer.status == "temporary"
        return answer.values

    def answer(self, name, kind):
        """Returns find()'s answer.  Raises Ended if there is too much, or too often nothing.

        Section 4.6.4 counts terms, so the void look-ups of one, as for the hosts of an mx,
        count once.
        """
        answer = self.find(name, kind)
        if self.steps is not None:
            self.note("  ", kind, " of ", name, ": ", *answered(answer, kind))
        self.weight_left -= weight(answer.values)
        if self.weight_left < 0:
            raise Ended("permerror", "the DNS has too many records for it")
        if answer.status == "none" and answer.reason != NOT_ASKED and not self.is_void:
            self.is_void = True
            self.void_terms += 1
            if self.void_terms > MOST_VOID_TERMS:
                raise Ended("permerror", f"more than {MOST_VOID_TERMS} terms find nothing")
        return answer

    def note(self, *words):
        """Adds a step, if they are wanted.  words: str, or bytes from outside"""
        if self.steps is not None:
            self.steps.append("  " * self.depth + "".join(
                word if isinstance(word, str) else word.translate(SHOWN).decode()
                for word in words))


def shown(name):
    """Returns a name (bytes) as a reason shows it: str."""
    return name.decode() if are_labels(name) else "a name"


def answered(answer, kind):
    """Returns what a step says of an answer, as words of note()."""
    if answer.status != "found":
        return [answer.reason]
    if kind == "TXT":
        return [f"{len(answer.values)} found"]
    from .client import unpacked
    words = []
    for value in answer.values[:MOST_SHOWN]:
        words += [", ", unpacked(value) if kind in ("A", "AAAA")
                  else value[1] if kind == "MX" else value]
    return words[1:] + ["..." if len(answer.values) > MOST_SHOWN else ""]
