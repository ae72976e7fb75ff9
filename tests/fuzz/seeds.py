# SPDX-License-Identifier: MIT
"""What the fuzzer starts from: the project's own cases, and the corpus where it is there."""

import os

import dnslib

from tests.support import (
    dmarc, forged_results, headers, odd_messages, signature_cases, spf_cases, verifying,
    wire_answers,
)
from tests.fuzz.verifying_targets import SEPARATOR, SIGNED, signed
from tests.support.corpus import CORPUS, entries
from tests.support.from_fields import BELOW, DISPLAYED, FROM

LONGEST = 20000     # bytes: longer ones only slow the fuzzer down


def messages():
    """Odd, signed and real ones, LF line ends."""
    found = [text for _, text, _ in odd_messages.TABLE]
    found += [row[0] for row in headers.IN_ORDER + headers.FLAWED] + SIGNED
    for entry in entries():
        with open(os.path.join(CORPUS, entry["file"]), "rb") as file:
            found.append(file.read().replace(b"\r\n", b"\n"))
    return [text for text in found if len(text) <= LONGEST]


def records():
    found = [row[0] for row in signature_cases.RECORDS]
    found = [text if isinstance(text, bytes) else text.encode("latin-1")
             for text in found if isinstance(text, (str, bytes))]
    return found + [verifying.golden_rsa().record().encode(), verifying.Ed25519().record().encode()]


def signature_seeds():
    found = [text + SEPARATOR + record for text in SIGNED for record in records()[:4]]
    found += [text for text, _ in signed()]
    return [text for text in found + messages() if len(text) <= LONGEST]


def fields():
    """Pretended Authentication-Results fields and others."""
    return (forged_results.OURS + forged_results.OTHERS
            + forged_results.FORGED)


def from_fields():
    return [value for value, _ in FROM + DISPLAYED + BELOW]


def public_keys():
    modulus, public = verifying.golden_rsa().modulus, verifying.golden_rsa().public
    bare = verifying.der(0x30, verifying.der_integer(modulus) + verifying.der_integer(public))
    algorithm = bytes.fromhex("300d06092a864886f70d0101010500")
    return [bare, verifying.der(0x30, algorithm + verifying.der(0x03, b"\0" + bare))]


SPAWN = [b"\0" + b"12/345\0joe@example.com\0jane@example.net\0" * 3, b"rok\0Kaccepted\n\0",
         b"hno\0Dfailed\n\0", b"s\0Zlater\n", b"", b"\0\0\0", b"Kone\0Dtwo\0"]

ZONES = ['a.example.com 60 TXT "v=DKIM1; p=AAAA"', "a.example.com 60 CNAME a.example.com",
         'a.example.com 60 CNAME b.example.com\nb.example.com 60 TXT "v=DKIM1;" "p="', ""]


def dns_answers():
    """With a record, a loop, an alias, with nothing, and with malformed records."""
    replies = [dnslib.DNSRecord.question("a.example.com", "TXT").reply() for _ in ZONES]
    for reply, zone in zip(replies, ZONES):
        reply.add_answer(*dnslib.RR.fromZone(zone))
    return ([reply.pack() for reply in replies]
            + [wire for wire, _ in wire_answers.AMONG_OTHERS.values()])


def spf_records():
    """Sender, HELO name and a record each; or one record after the other."""
    terms = [term.encode() for term, _ in spf_cases.TERMS] + [
        b"exists:" + macros.encode() for macros, _ in spf_cases.EXAMPLES] + [
        text.encode()[:1000] for text in spf_cases.HOSTILE.values()] + [
        b"a:%{p}.example ptr -all", b"redirect=a.example", b"include:a.example ~mx/24//64"]
    mailfrom = spf_cases.SENDER + b"\nmx.example.com\n"
    return ([mailfrom + b"v=spf1 " + term for term in terms]
            + [mailfrom + b"v=spf1 include:a.example -all\nV=spf1 ?ip6:fe80::/10 a",
               b"\nmx.example.com\nv=spf1 mx", b"a\n\nv=spf1"])


def dmarc_records():
    """The cases of DMARC, with the answers in the order in which they are asked for."""
    found = []
    for case in dmarc.CASES:
        zone = dmarc.evaluated(case)[1]
        answers = [dmarc.Zone(case.zone, case.exists).find(name.encode(), kind)
                   for name, kind in zone.asked]
        found.append(b"\n".join([
            *(text.encode() for text in (case.author, case.spf, case.dkim, "")),
            *(b"!" if answer.status == "temporary" else b"\0".join(answer.values)
              for answer in answers)]))
    return found


# target: (what the first byte is, texts)
SEEDS = {
    "header": (b"\x06", messages), "long_header": (b"\x40", messages),
    "without_cr": (b"\x02", messages), "signing": (b"\x00", messages),
    "removal": (b"\x00", lambda: messages() + [field + b"\nbody\n" for field in fields()]),
    "claim": (b"\x00", lambda: [field.partition(b":")[2] for field in fields()]),
    "sender": (b"", from_fields), "addresses": (b"", from_fields),
    "tags": (b"", lambda: records() + [text.partition(b":")[2].partition(b"\nRec")[0]
                                       for text in SIGNED]),
    "record": (b"", records), "public_key": (b"\x00", public_keys),
    "signature": (b"\x00", signature_seeds), "body": (b"\x03", messages),
    "field": (b"\x00", lambda: [text.partition(b"\n\n")[0] for text in messages()]),
    "spawn": (b"\x03", lambda: SPAWN), "dns_answer": (b"", dns_answers),
    "spf_record": (b"\x00", spf_records),
    "dmarc_record": (b"", dmarc_records),
}


def seeds(target):
    """The inputs to start from."""
    first, texts = SEEDS[target]
    return [first + text for text in texts()]
