# SPDX-License-Identifier: MIT
"""What the files and the DNS say about keys that are to be changed, for qmail-dk rotate --due."""

import os

from ..errors import KeyTrouble
from . import check_keys, records, rotation
from .findings import OK, failures
from .publishing.record import Record


class Finished:
    """A key that does not sign any more.  place: key_places.Place; suffix: of LEAVING

    former: rotation.Former; key: SigningKey, None if its file is gone; name: of its record
    """

    def __init__(self, place, suffix):
        self.place, self.suffix = place, suffix
        try:
            self.former = rotation.former_key(place, suffix)
            self.key = place.key(suffix)
        except KeyTrouble as trouble:
            if not check_keys.leads_nowhere(trouble):
                raise
            link = place.path + suffix      # the file was removed, and a kill saved the link
            self.former = rotation.Former(os.path.basename(os.readlink(link)),
                                          os.lstat(link).st_ctime, [link])
            self.key = None
        self.name = records.key_name(self.former.selector, place.domain)

    def records(self):
        """Returns its record.Records, list, empty if its text can't be known any more."""
        return [Record(self.name, records.TTL, records.key_text(self.key.private_key))
                ] if self.key else []

    def is_published(self, questions):
        """Returns whether a name server has the record, None if that can't be known."""
        text = records.key_text(self.key.private_key) if self.key else "p="
        return is_published(Record(self.name, records.TTL, text), questions)

    def where(self, questions):
        """Returns who has the record, as text."""
        who = [who for who, answer in questions.ask(self.name.encode()).answers if answer.values]
        return (f"{', '.join(who)} still has it" if who
                else "the DNS can't be asked whether it has gone")


def record_of(key):
    """Returns a SigningKey's record.Record."""
    return Record(records.name_of(key), records.TTL, records.key_text(key.private_key))


def is_published(record, questions):
    """Returns whether a name server has a Record's p=, None if that can't be known.

    Its other tags do not matter: the record of an old key may have been written otherwise.
    """
    public = record.text[record.text.rindex("p="):].encode()
    answers = [answer for _, answer in questions.ask(record.name.encode()).answers]
    if any(public in value.translate(None, b" \t")
           for answer in answers for value in answer.values):
        return True
    return False if any(answer.status != "temporary" for answer in answers) else None


def faults(key, questions):
    """Returns why a SigningKey must not sign yet, list of str, empty if it may.

    Each of the domain's name servers has to have the record: one that does not answer
    now may answer others, and may lack it.
    """
    said = questions.ask(records.name_of(key).encode())
    found = check_keys.record_findings(key, questions)
    if said.instead:
        return [f"is not known of any name server: {said.instead}"]
    if not failures(found) and all(answer.status == "found" for _, answer in said.answers):
        return []
    return [finding.text for finding in found if finding.level != OK]
