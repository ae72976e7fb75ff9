# SPDX-License-Identifier: MIT
"""DMARC by cases: messages as what passes for them, and the DNS as a dict.

A case's zone maps a domain to what `_dmarc.` in front of it publishes: the tags after
v=DMARC1, a list of whole TXT records, or in capitals the reason why nobody knows now.
Its names exist, and so do the others that the case lists.
"""

from collections import namedtuple

from lib.verifying import dmarc

Answer = namedtuple("Answer", "status values reason", defaults=((), ""))

# author: the domain in From:; dkim: d= of the signatures that pass, spf: the domain for which
# SPF passes, or ""; strings, in which blanks separate domains
# result: "status policy disposition aligned", the last three without what is empty or none
Case = namedtuple("Case", "section author dkim spf zone result exists", defaults=("",))


class Zone:
    """The DNS of a case.

    published: the zone; exists: more names, separated by blanks
    asked: list of (name, type), both str
    """

    def __init__(self, published, exists=""):
        self.texts = {f"_dmarc.{domain}": value for domain, value in published.items()}
        self.names = [*self.texts, *exists.split()]
        self.asked = []

    def find(self, name, kind):
        name = name.decode()
        self.asked.append((name, kind))
        value = self.texts.get(name) if kind == "TXT" else None
        if isinstance(value, str) and value.isupper():
            return Answer("temporary", [], value)
        if isinstance(value, str):
            value = ["v=DMARC1; " + value]
        if value:
            return Answer("found", [text if isinstance(text, bytes) else text.encode()
                                    for text in value])
        # RFC 8020: a name exists if one below it does.
        exists = any(other == name or other.endswith("." + name) for other in self.names)
        return Answer("none", [], f"no {kind} record" if exists else "NXDOMAIN")

    @property
    def walked(self):
        """The domains at which DMARC records were looked for, list of str."""
        return [name[len("_dmarc."):] for name, _ in self.asked if name.startswith("_dmarc.")]


def evaluated(case, to_explain=False):
    """Returns (the DmarcResult of a Case, its Zone)."""
    zone = Zone(case.zone, case.exists)
    result = dmarc.evaluate(case.author.encode(), case.dkim.encode().split(),
                            case.spf.encode() or None, zone.find, to_explain)
    return result, zone


def summary(result):
    """Returns a DmarcResult in the words of Case.result."""
    return " ".join(filter(None, (
        result.status, result.policy, "" if result.disposition == "none" else result.disposition,
        result.aligned)))


def is_printable(text):
    return text.isascii() and text.isprintable()


LONG = "a.b.c.d.e.f.g.h.i.j.mail.example.com"
BANK = {"bank.example": "p=reject; psd=y", "giant.bank.example": "p=quarantine"}
APEX = {"example.com": "p=reject; sp=quarantine"}

CASES = [
    # Appendix B.1: strict, relaxed and no alignment of SPF, then of DKIM.
    Case("B.1.1 1", "example.com", "", "example.com", APEX, "pass reject spf"),
    Case("B.1.1 2", "example.com", "", "child.example.com", APEX, "pass reject spf"),
    Case("B.1.1 3", "child.example.com", "", "example.net", APEX, "fail quarantine quarantine"),
    Case("B.1.2 1", "example.com", "example.com", "", APEX, "pass reject dkim"),
    Case("B.1.2 2", "child.example.com", "example.com", "", APEX, "pass quarantine dkim"),
    Case("B.1.2 3", "child.example.com", "example.net", "", APEX, "fail quarantine quarantine"),
    # Section 4.4, table 1.
    Case("4.4 1", "news.example.com", "foo.example.com", "", APEX, "pass quarantine dkim"),
    Case("4.4 2", "news.example.com", "", "news.example.com", APEX, "pass quarantine spf"),
    Case("4.4 3", "news.example.com", "foo.example.net", "", APEX, "fail quarantine quarantine"),
    # Appendix B.4.
    Case("B.4.1", "example.com", "signing.example.com", "",
         {"example.com": "p=reject", "signing.example.com": "p=none"}, "pass reject dkim"),
    Case("B.4.2", LONG, "signing.example.com", "",
         {"example.com": "p=reject", "signing.example.com": "p=none"}, "pass reject dkim"),
    Case("B.4.3", "giant.bank.example", "mail.mega.bank.example", "mail.giant.bank.example",
         BANK, "pass quarantine spf"),
    Case("B.4.3 without SPF", "giant.bank.example", "mail.mega.bank.example", "", BANK,
         "fail quarantine quarantine"),
    # Appendix B.2.5: t=y on one subdomain, then the same without it.
    Case("B.2.5 1", "test.example.com", "", "", {"test.example.com": (
        "p=quarantine; rua=mailto:dmarc-feedback@example.com,"
        "mailto:tld-test@thirdparty.example.net; t=y")}, "fail quarantine"),
    Case("B.2.5 2", "test.example.com", "", "", {"test.example.com": "p=reject"},
         "fail reject reject"),

    # Section 4.7, the tags one by one.
    Case("4.7 t=y", "example.com", "", "", {"example.com": "p=reject; t=y"},
         "fail reject quarantine"),
    Case("4.7 t=y of none", "example.com", "", "", {"example.com": "p=none; t=y"}, "fail none"),
    Case("4.7 t=y of sp", "a.example.com", "", "", {"example.com": "p=none; sp=reject; t=y"},
         "fail reject quarantine"),
    Case("4.7 adkim=s", "example.com", "a.example.com", "", {"example.com": "p=reject; adkim=s"},
         "fail reject reject"),
    Case("4.7 adkim=s, not SPF", "example.com", "a.example.com", "a.example.com",
         {"example.com": "p=reject; adkim=s"}, "pass reject spf"),
    Case("4.7 aspf=s", "example.com", "", "a.example.com", {"example.com": "p=reject; aspf=s"},
         "fail reject reject"),
    Case("4.7 aspf=s, equal", "a.example.com", "", "a.example.com",
         {"example.com": "p=reject; aspf=s"}, "pass reject spf"),
    Case("4.7 np=", "a.example.com", "", "", {"example.com": "p=none; np=reject"},
         "fail reject reject"),
    Case("4.7 np=, it exists", "a.example.com", "", "", {"example.com": "p=none; np=reject"},
         "fail none", "a.example.com"),
    Case("4.7 np=, a name below it", "a.example.com", "", "",
         {"example.com": "p=none; np=reject"}, "fail none", "mx.a.example.com"),
    Case("4.7 np= of the domain itself", "example.com", "", "",
         {"example.com": "p=none; np=reject"}, "fail none"),
    Case("4.7 sp= for np=", "a.example.com", "", "", {"example.com": "p=none; sp=reject"},
         "fail reject reject"),
    Case("4.7 np= beside sp=", "a.example.com", "", "",
         {"example.com": "p=reject; sp=none; np=quarantine"}, "fail quarantine quarantine"),
    Case("4.7 sp= of the domain itself", "example.com", "", "",
         {"example.com": "p=none; sp=reject"}, "fail none"),
    Case("4.7 pct= is no more", "example.com", "", "",
         {"example.com": "p=reject; pct=0; ri=1; rf=afrf"}, "fail reject reject"),

    # Section 4.10.1: which record applies.
    Case("4.10.1 none", "a.example.com", "a.example.com", "a.example.com", {}, "none"),
    Case("4.10.1 the author's own", "a.example.com", "", "",
         {"a.example.com": "p=quarantine; sp=none", **APEX}, "fail quarantine quarantine"),
    Case("4.10.1 not one between", "a.mail.example.com", "", "",
         {"mail.example.com": "p=none", **APEX}, "fail quarantine quarantine",
         "a.mail.example.com"),
    Case("4.10.1 psd=n between", "a.mail.example.com", "", "",
         {"mail.example.com": "p=none; psd=n", **APEX}, "fail none"),
    Case("4.10.1 public suffix", "example.gov", "example.gov", "",
         {"gov": "p=none; sp=reject; psd=y"}, "pass reject dkim"),
    Case("4.10.1 public suffix, np=", "example.gov", "", "",
         {"gov": "p=none; sp=quarantine; np=reject; psd=y"}, "fail reject reject"),
    Case("4.10.1 public suffix, for all that has no organization's record",
         "a.mail.example.gov", "", "", {"mail.example.gov": "p=none", "gov": "p=reject; psd=y"},
         "fail reject reject"),
    Case("4.10.1 two records are none", "example.com", "", "",
         {"example.com": ["v=DMARC1; p=reject", "v=DMARC1; p=reject"]}, "none"),
    Case("4.10.1 two records below one", "a.example.com", "", "",
         {"a.example.com": ["v=DMARC1; p=none", "v=DMARC1; p=none"], **APEX},
         "fail quarantine quarantine", "a.example.com"),
    Case("4.10 one among other texts", "example.com", "", "",
         {"example.com": ["v=spf1 -all", "v=DMARC1; p=reject", "v=DMARC2; p=none", b"\xff\0"]},
         "fail reject reject"),
    Case("4.10.1 no p=", "example.com", "", "", {"example.com": "rua=mailto:a@example.com"},
         "fail none"),
    Case("4.10.1 no p=, sp= does not count", "a.example.com", "", "",
         {"example.com": "sp=reject; rua=mailto:a@example.com"}, "fail none"),
    Case("4.10.1 invalid p=", "example.com", "example.com", "",
         {"example.com": "p=deny; rua=mailto:a@example.com"}, "pass none dkim"),
    Case("4.10.1 invalid sp=", "example.com", "", "",
         {"example.com": "p=reject; sp=deny; rua=mailto:a@example.com"}, "fail none"),
    Case("4.10.1 invalid np=", "example.com", "", "",
         {"example.com": "p=reject; np=; rua=https://example.com/reports"}, "fail none"),

    # Section 4.10.2: who is aligned.
    Case("4.10.2 psd=n of the signer", "example.com", "dept.example.com", "",
         {"example.com": "p=reject", "dept.example.com": "p=none; psd=n"}, "fail reject reject"),
    Case("4.10.2 psd=n of the author", "a.dept.example.com", "example.com", "dept.example.com",
         {"example.com": "p=reject", "dept.example.com": "p=reject; psd=n"}, "pass reject spf"),
    Case("4.10.2 psd=y of the author itself", "bank.example", "a.bank.example", "", BANK,
         "fail reject reject"),
    Case("4.10.2 psd=y of the author itself, equal", "bank.example", "bank.example", "", BANK,
         "pass reject dkim"),
    Case("4.10.2 no suffix list", "a.example.co.uk", "b.other.co.uk", "",
         {"co.uk": "p=none; sp=reject"}, "pass reject dkim"),
    Case("4.10.2 a parent without a record", "a.example.com", "example.com", "",
         {"a.example.com": "p=reject"}, "fail reject reject"),
    Case("4.10.2 the second signature", "example.com", "example.net a.example.com", "",
         {"example.com": "p=reject"}, "pass reject dkim"),
    Case("4.10.2 only the end of the name", "example.com", "notexample.com", "",
         {"example.com": "p=reject"}, "fail reject reject"),

    # Section 5.3.6: no answer now.
    Case("5.3.6 the author's record", "example.com", "example.com", "",
         {"example.com": "SERVFAIL"}, "temperror"),
    Case("5.3.6 a parent's record", "a.example.com", "", "", {"com": "TIMEOUT", **APEX},
         "temperror"),
    Case("5.3.6 it does not matter for an equal domain", "example.com", "example.com", "",
         {"example.com": "p=reject", "com": "SERVFAIL"}, "pass reject dkim"),
    Case("5.3.6 nor where nothing can be aligned", "example.com", "example.net", "",
         {"example.com": "p=reject", "com": "SERVFAIL", "net": "SERVFAIL"},
         "fail reject reject"),
    Case("5.3.6 the author's organization", "example.com", "a.example.com", "",
         {"example.com": "p=reject", "com": "SERVFAIL"}, "temperror"),
    Case("5.3.6 a signer's record", "example.com", "a.example.com", "",
         {"example.com": "p=reject", "a.example.com": "SERVFAIL"}, "temperror"),
    Case("5.3.6 another signer is aligned", "example.com", "a.example.com b.example.com", "",
         {"example.com": "p=reject", "a.example.com": "SERVFAIL"}, "pass reject dkim"),
    Case("5.3.6 SPF is aligned", "example.com", "a.example.com", "b.example.com",
         {"example.com": "p=reject", "a.example.com": "SERVFAIL"}, "pass reject spf"),
]
