# SPDX-License-Identifier: MIT
"""DMARC policy records at the edges of their grammar (RFC 9989 sections 4.7 and 4.8)."""

import pytest

from lib.verifying import dmarc_record
from tests.support.dmarc import is_printable

NONE = "p=none sp=none np=none adkim=r aspf=r t=n"
REJECT = "p=reject sp=reject np=reject adkim=r aspf=r t=n"
NO_POLICY = "a record without a valid policy"
REPORTED = b"v=DMARC1; rua=mailto:a@example.com; "

# text -> the record as it is shown, None: it is none
RECORDS = {
    # Appendix B.2, as published.
    b"v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com": NONE,
    b"v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com;"
    b"ruf=mailto:auth-reports@example.com": NONE,
    b"v=DMARC1; p=quarantine; rua=mailto:dmarc-feedback@example.com,"
    b"mailto:tld-test@thirdparty.example.net; t=y":
        "p=quarantine sp=quarantine np=quarantine adkim=r aspf=r t=y",
    # All tags that matter here.
    b"v=DMARC1; p=none; sp=quarantine; np=reject; adkim=s; aspf=s; psd=n; t=y":
        "p=none sp=quarantine np=reject adkim=s aspf=s t=y psd=n",
    b"v=DMARC1; p=reject; np=none": "p=reject sp=reject np=none adkim=r aspf=r t=n",
    b"v=DMARC1; p=reject; sp=none": "p=reject sp=none np=none adkim=r aspf=r t=n",
    b"v=DMARC1; p=reject; psd=y": REJECT + " psd=y", b"v=DMARC1; p=reject; psd=u": REJECT,
    # v= identifies a record, is its first tag, and its value has case.
    b"v=DMARC1": NO_POLICY, b"v=DMARC1;": NO_POLICY, b"V \t=\tDMARC1 ;p=reject": REJECT,
    b" v=DMARC1;p=reject": REJECT,
    b"": None, b";": None, b"v": None, b"v=": None, b"v=DMARC": None, b"v=DMARC12; p=reject": None,
    b"v=dmarc1; p=reject": None, b"v=DMARC1 p=reject": None, b"p=reject; v=DMARC1": None,
    b"; v=DMARC1; p=reject": None, b"v=DMARC2; p=reject": None, b"v==DMARC1; p=reject": None,
    b"\xffv=DMARC1; p=reject": None, b"v=DMARC1\0; p=reject": None, b"v=DKIM1; p=": None,
    b"v=spf1 -all": None,
    # Blanks and case.
    b"v=DMARC1;p=reject": REJECT, b"v=DMARC1;  P \t= \tReject  ;": REJECT,
    b"v=DMARC1; p=reject; adkim=S; T=Y": "p=reject sp=reject np=reject adkim=s aspf=r t=y",
    # The rest is ignored: unknown tags, those of RFC 7489, what is no tag, flawed values.
    b"v=DMARC1; p=reject; x=y; pct=50; rf=afrf; ri=86400": REJECT,
    b"v=DMARC1; ; p; =; p=reject;; 1=2; \xff=\0": REJECT,
    b"v=DMARC1; p=reject; adkim=strict; aspf=; t=yes; psd=yes; fo=?": REJECT,
    b"v=DMARC1; p=reject; v=DMARC2": REJECT,
    b"v=DMARC1; p=reject; t=y; t=n; adkim=s; adkim=s": REJECT,
    b"v=DMARC1; p=reject; rua=mailto:a@example.com; rua=mailto:b@example.com": REJECT,
    # No valid policy: p=none if somebody asks for reports (section 4.10.1).
    REPORTED: NONE, REPORTED + b"p=": NONE, REPORTED + b"p=rejected": NONE,
    REPORTED + b"p=rej": NONE, REPORTED + b"p=reject x": NONE, REPORTED + b"p=r\xc3\xa9ject": NONE,
    REPORTED + b"p=reject; p=reject": NONE, REPORTED + b"sp=reject; np=reject": NONE,
    REPORTED + b"p=reject; sp=": NONE, REPORTED + b"p=reject; np=none,reject": NONE,
    REPORTED + b"adkim=s; psd=n": "p=none sp=none np=none adkim=s aspf=r t=n psd=n",
    b"v=DMARC1; sp=reject": NO_POLICY, b"v=DMARC1; p=deny; psd=y": NO_POLICY + " psd=y",
    b"v=DMARC1; p=reject; sp=deny; ruf=mailto:a@example.com": NO_POLICY,
    b"v=DMARC1; p=deny; rua=mailto:a@example.com; rua=mailto:b@example.com": NO_POLICY,
}


@pytest.mark.parametrize("text", RECORDS, ids=repr)
def test_record(text):
    found = dmarc_record.only_record([b"x", text])
    shown = None if found is None else str(found)
    assert shown == RECORDS[text]
    assert shown is None or is_printable(shown)
    assert dmarc_record.only_record([text, text]) is None


@pytest.mark.parametrize("value, asks", [
    ("mailto:a@example.com", True), ("mailto:a@example.com!10m", True), ("MAILTO:a", True),
    ("https://example.com/a?b=c#d", True), ("x+y-1.0:", True), ("mailto:%21", True),
    ("nobody, mailto:a@example.com", True), ("\tmailto:a@example.com \t, ", True),
    ("", False), (",", False), ("a@example.com", False), (":a@example.com", False),
    ("1:a", False), ("mail to:a", False), ("mailto:a b", False), ("mailto:<a>", False),
    ("mailto:\xe9", False), ("mailto:a\0", False)])
def test_addresses_of_reports(value, asks):
    text = b"v=DMARC1; p=?; rua=" + value.encode("latin-1")
    assert str(dmarc_record.only_record([text])) == (NONE if asks else NO_POLICY)


def test_a_record_that_is_too_long_is_none():
    text = b"v=DMARC1; p=reject; x="
    longest = text + b"x" * (4096 - len(text))
    assert str(dmarc_record.only_record([longest])) == REJECT
    assert dmarc_record.only_record([longest + b"x"]) is None
    assert str(dmarc_record.only_record([longest + b"x", text])) == REJECT
