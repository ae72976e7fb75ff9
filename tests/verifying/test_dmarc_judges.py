# SPDX-License-Identifier: MIT
"""DMARC as other programs evaluate it."""

import random

import pytest

from tests.support.dmarc import CASES, Case, evaluated, summary
from tests.support.dmarc_judges import libopendmarc, mailauth


# Section -> why libopendmarc, which is older, need not agree; of RFC 9989 where no other is named.
OLDER = {
    "B.2.5 1": "t=", "4.7 t=y": "t=", "4.7 t=y of sp": "t=",
    "4.7 adkim=s": "its own rule for strict alignment",
    "4.7 adkim=s, not SPF": "its own rule for strict alignment",
    "4.7 aspf=s": "its own rule for strict alignment",
    "4.7 np=": "np=", "4.7 np= beside sp=": "np=",
    "4.10.1 psd=n between": "psd=",
    "4.10.1 public suffix": "RFC 7489 section 6.6.3: no policy of a suffix",
    "4.10.1 public suffix, np=": "RFC 7489 section 6.6.3: no policy of a suffix",
    "4.10.1 public suffix, for all that has no organization's record":
        "RFC 7489 section 6.6.3: no policy of a suffix",
    "4.10.1 two records are none": "it reads the first TXT record alone",
    "4.10.1 two records below one": "it reads the first TXT record alone",
    "4.10 one among other texts": "it reads the first TXT record alone",
    "4.10.1 no p=": "RFC 7489 section 6.3: p= is required",
    "4.10.1 no p=, sp= does not count": "RFC 7489 section 6.3: p= is required",
    "4.10.1 invalid p=": "it ignores rua=", "4.10.1 invalid sp=": "it ignores rua=",
    "4.10.1 invalid np=": "np=",
    "4.10.2 psd=n of the signer": "psd=", "4.10.2 psd=n of the author": "psd=",
    "4.10.2 psd=y of the author itself": "psd=",
    "4.10.2 no suffix list": "RFC 7489 section 3.2: organizations by a list of suffixes",
    "4.10.2 a parent without a record":
        "RFC 7489 section 3.2: organizations by a list of suffixes",
    "5.3.6 a parent's record": "no tree walk", "5.3.6 the author's organization": "no tree walk",
    "5.3.6 a signer's record": "no tree walk", "5.3.6 SPF is aligned": "no tree walk",
}
SAME = [case for case in CASES if case.section not in OLDER]


def assert_agreement(case, result, judged):
    """The judge, unlike us, looks for all that is aligned."""
    status, policy, aligned = judged
    assert (result.status, result.disposition if result.status == "fail" else "") == (
        status, policy), case
    assert {result.aligned} - {""} <= aligned and bool(result.aligned) == bool(aligned), case


@pytest.mark.parametrize("judge, cases", [(mailauth, CASES), (libopendmarc, SAME)])
def test_cases(judge, cases):
    with judge() as evaluate:
        for case in cases:
            assert_agreement(case, evaluated(case)[0], evaluate(case))


def test_mailauth_has_another_word_for_a_broken_record():
    """Section 9.2: permerror; "none" is for a domain without a record."""
    case = Case("4.10.1", "example.com", "", "", {"example.com": "p=deny"}, "")
    with mailauth() as judge:
        assert (evaluated(case)[0].status, judge(case)[0]) == ("permerror", "none")


POLICIES = ("none", "quarantine", "reject", "None", "REJECT", "deny", "")
TAGS = {"p": POLICIES[:5], "sp": POLICIES, "np": POLICIES, "adkim": "rsS?", "aspf": "rsS?",
        "t": "yYn?", "psd": "ynu?", "pct": ("0", "50"), "rua": ("mailto:a@example.com", "nobody")}
LABELS = ("a", "b", "c")
# Words that occur: each status, and policies with and without t=y.
WORDS = {"none", "temperror", "permerror", "pass none dkim", "pass reject spf", "fail none",
         "fail quarantine", "fail quarantine quarantine", "fail reject quarantine",
         "fail reject reject"}


def drawn_domain(choice):
    """Returns a domain, mostly of few labels, sometimes of more than a walk looks at."""
    labels = choice.choices(LABELS, k=choice.choice((0, 0, 1, 1, 2, 2, 3, 6, 7, 9)))
    return ".".join(labels + choice.choice((["x", "com"], ["x", "com"], ["com"], ["y", "com"])))


def drawn_record(choice):
    if choice.random() < 0.05:
        return "SERVFAIL"
    tags = [(name, choice.choice(values)) for name, values in TAGS.items()
            if choice.random() < (0.9 if name == "p" else 0.2)]
    choice.shuffle(tags)
    blank = choice.choice(("", " ", "\t"))
    return ";".join(f"{blank}{name}{blank}={blank}{value}{blank}" for name, value in tags) or "t=n"


def drawn_case(choice):
    """Returns a Case whose domains and records are near each other."""
    author = drawn_domain(choice)
    others = [choice.choice((author, "b." + author, author.partition(".")[2] or author,
                             drawn_domain(choice))) for _ in range(5)]
    zone = {}
    for domain in (author, *others[:4]):
        labels = domain.split(".")
        for at in range(len(labels)):
            if choice.random() < 0.3:
                zone[".".join(labels[at:])] = drawn_record(choice)
    return Case("", author, " ".join(others[:choice.randrange(4)]),
                others[4] if choice.random() < 0.5 else "", zone, "",
                author if choice.random() < 0.5 else "")


def test_mailauth_in_cases_at_random():
    choice = random.Random(9989)
    words = set()
    with mailauth() as judge:
        for _ in range(4000):
            case = drawn_case(choice)
            result, _ = evaluated(case)
            words.add(summary(result))
            if result.status == "permerror":
                result.status = "none"      # see above
            assert_agreement(case, result, judge(case))
    assert WORDS <= words


def test_the_differences_are_of_cases():
    assert set(OLDER) < {case.section for case in CASES}
