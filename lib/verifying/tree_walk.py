# SPDX-License-Identifier: MIT
"""Walks up the DNS for DMARC records, and finds organizational domains by them.

RFC 9989 section 4.10.  Domains are bytes as of tag_values.domain_name().
"""

from ..lookup.answer import weight
from . import dmarc_record

# A limit of ours: weight() of all answers, a multiple of what a domain with a TXT record for
# all names needs.  The walks of ten signatures could have 70 answers of 64 KB.
MOST_WEIGHT = 100_000
MOST_LABELS = 7     # of a name above the first one (section 4.10 step 4)


class Unanswered(Exception):
    """Something that the result depends on can't be had now; the text says what and why."""


class Records:
    """The DMARC records of domains, each looked up once.

    find, note: as in dmarc.Evaluation
    """

    def __init__(self, find, note):
        self.find = find
        self.note = note
        self.weight_left = MOST_WEIGHT
        self.known = {}     # domain: DmarcRecord, None, or the text of Unanswered

    def of(self, domain):
        """Returns the DmarcRecord that a domain publishes, or None.  Raises Unanswered."""
        if domain not in self.known:
            self.known[domain] = self.looked_up(b"_dmarc." + domain)
        found = self.known[domain]
        if isinstance(found, str):
            raise Unanswered(found)
        return found

    def looked_up(self, name):
        """Returns a name's DmarcRecord, None if it has none, or a text if nobody knows now."""
        if self.weight_left < 0:
            return "the DNS has too many records below _dmarc names"
        answer = self.find(name, "TXT")
        self.weight_left -= weight(answer.values)
        if answer.status != "found":
            fault = f"{name.decode()}: {answer.reason}"
            self.note(fault)
            return fault if answer.status == "temporary" else None
        found = dmarc_record.only_record(answer.values)
        self.note(f"{name.decode()}: "
                  + (str(found) if found else f"{len(answer.values)} TXT, not one DMARC record"))
        return found

    def walk(self, domain):
        """Returns [(name, DmarcRecord)] found from a domain upwards (section 4.10).

        Raises Unanswered.
        """
        found = []
        for name in targets(domain):
            record = self.of(name)
            if record is not None:
                found.append((name, record))
                if record.psd != "u":       # steps 2 and 6
                    break
        return found

    def organization(self, domain):
        """Returns the organizational domain of a domain (section 4.10.2).  Raises Unanswered."""
        return organization(domain, self.walk(domain))


def targets(domain):
    """Returns the names to look at, eight at most: the domain, then those above it.

    Section 4.10 steps 3, 4 and 7: of more than seven labels, only the first name.
    """
    above = domain.split(b".")[1:][-MOST_LABELS:]
    return [domain] + [b".".join(above[at:]) for at in range(len(above))]


def organization(domain, found):
    """Returns the organizational domain of a domain whose walk() found these (section 4.10.2)."""
    if not found:
        return domain
    name, record = found[-1]
    if record.psd == "y" and name != domain:
        return below(name, domain)
    # psd=n, which ended the walk, or else the name with the fewest labels.
    return name


def below(parent, domain):
    """Returns the name one label below parent, at or above domain.

    It is made from the domain, because a walk skips some names of a long one.
    """
    return domain[:-len(parent) - 1].rpartition(b".")[2] + b"." + parent


def policy_record(domain, found):
    """Returns the (name, DmarcRecord) that applies to a domain, or None (section 4.10.1).

    found: of its walk().  The record of the domain comes before that of its organizational
    domain, and this before that of the public suffix domain.
    """
    records = dict(found)
    for name in (domain, organization(domain, found)):
        if name in records:
            return name, records[name]
    return found[-1] if found else None
