# SPDX-License-Identifier: MIT
"""Parses DMARC policy records: RFC 9989 sections 4.7 and 4.8.

These are no tag lists as DKIM's: a flaw in one tag invalidates only that tag, and the
tags of RFC 7489 that are no more (pct=, rf=, ri=) are unknown ones.
"""

from itertools import islice

from ..mail.tag_values import BLANKS

# Bytes; records in use have some hundred, and a longer one only costs time at each message.
LONGEST_RECORD = 4096

POLICIES = {b"none": "none", b"quarantine": "quarantine", b"reject": "reject"}
WEAKER = {"reject": "quarantine", "quarantine": "none", "none": "none"}    # section 4.7, t=y

# RFC 3986 section 2, and "!" before a size (RFC 9989 section 4.8, obs-dmarc-uri).
SCHEME = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-."
URI = SCHEME + b"_~:/?#[]@$&'()*;=%!"


class DmarcRecord:
    """A DMARC policy record, with the defaults of absent tags.

    policy, subdomain_policy, absent_policy: of the record's own domain, of domains below
    it, and of those below it that do not exist (p=, sp=, np=), each "none", "quarantine"
    or "reject"; "" if the record has no policy for anything
    dkim_strict, spf_strict: whether only equal domains are aligned (adkim=s, aspf=s)
    psd: "y", "n" or "u" (unspecified); testing: whether a weaker policy applies (t=y)
    """

    __slots__ = ("policy", "subdomain_policy", "absent_policy", "dkim_strict", "spf_strict",
                 "psd", "testing")

    def __init__(self, policies: "tuple[str, str, str]", dkim_strict: bool, spf_strict: bool,
                 psd: str, testing: bool):
        self.policy, self.subdomain_policy, self.absent_policy = policies
        self.dkim_strict = dkim_strict
        self.spf_strict = spf_strict
        self.psd = psd
        self.testing = testing

    def __str__(self):
        if not self.policy:
            return "a record without a valid policy" + self.described_psd()
        return (f"p={self.policy} sp={self.subdomain_policy} np={self.absent_policy}"
                f" adkim={'rs'[self.dkim_strict]} aspf={'rs'[self.spf_strict]}"
                f" t={'ny'[self.testing]}" + self.described_psd())

    def described_psd(self):
        return "" if self.psd == "u" else f" psd={self.psd}"


def only_record(texts):
    """Returns the DmarcRecord among the TXT records of a name (list of bytes), or None.

    Section 4.10 steps 2 and 6: other texts are discarded, and so are several records.
    """
    found = list(islice(filter(is_record, texts), 2))
    return parse(found[0]) if len(found) == 1 else None


def is_record(text):
    """Returns whether a text starts with v=DMARC1 as a tag, and is not too long.

    The name of a tag has no case, since it is an ABNF string (RFC 5234 section 2.3); the
    value has (section 4.7, v=).
    """
    name, _, value = text.partition(b";")[0].partition(b"=")
    return (len(text) <= LONGEST_RECORD
            and name.strip(BLANKS).lower() == b"v" and value.strip(BLANKS) == b"DMARC1")


def parse(text):
    """Returns the DmarcRecord in a text that is_record().

    Values have no case either.  Section 4.8: the default replaces a value that is not
    in the grammar.
    """
    tags = tag_list(text)
    psd = tags.get(b"psd", b"").lower()
    return DmarcRecord(
        policies(tags),
        dkim_strict=tags.get(b"adkim", b"").lower() == b"s",
        spf_strict=tags.get(b"aspf", b"").lower() == b"s",
        psd=psd.decode("ascii") if psd in (b"y", b"n") else "u",
        testing=tags.get(b"t", b"").lower() == b"y")


def tag_list(text):
    """Returns the tags in a text, {name in lower case: value}, all bytes.

    A part without "=" is ignored (section 4.8).  A tag must not occur twice (RFC 6376
    section 3.2); its value is then b"", which none may have.
    """
    tags = {}
    for part in text.split(b";"):
        name, equals, value = part.partition(b"=")
        name = name.strip(BLANKS).lower()
        if equals:
            tags[name] = b"" if name in tags else value.strip(BLANKS)
    return tags


def policies(tags):
    """Returns (p=, sp=, np=) of a tag_list(), each of POLICIES, or all "".

    Section 4.7: np= defaults to sp=, and sp= to p=.  Section 4.10.1: if p= is missing or
    one of them is invalid, p=none applies, or nothing if nobody asks for reports.
    """
    found = {name: POLICIES.get(tags[name].lower(), "") for name in (b"p", b"sp", b"np")
             if name in tags}
    if b"p" not in found or "" in found.values():
        policy = "none" if asks_for_reports(tags) else ""
        return policy, policy, policy
    below = found.get(b"sp", found[b"p"])
    return found[b"p"], below, found.get(b"np", below)


def asks_for_reports(tags):
    """Returns whether rua= has a URI (RFC 3986 section 3) among its list of them."""
    return any(is_uri(text.strip(BLANKS)) for text in tags.get(b"rua", b"").split(b","))


def is_uri(text):
    scheme, colon, rest = text.partition(b":")
    return (bool(colon) and scheme[:1].isalpha() and not scheme.translate(None, SCHEME)
            and not rest.translate(None, URI))
