# SPDX-License-Identifier: MIT
"""Answers of a resident verifier: a true one for a message, and what else a server may say.

They are for a message that begins with MESSAGE.
"""

import re

MESSAGE = b"Subject: x\nFrom: a@example.com\n\n"
ANSWER = (b"3 C -\n\n\ngood\nAuthentication-Results: mx.example.net;\n  dkim=none;\n"
          b"  domainkeys=none\nDomainKey-Status: no signature\n")


def changed(old, new):
    assert ANSWER.count(old) == 1
    return ANSWER.replace(old, new)


# What a server may say that is mad, broken or hostile.
LIES = {
    "nothing": b"",
    "one byte": b"1",
    "noise": bytes(range(256)) * 20,
    "another version": changed(b"3 C", b"2 C"),
    "no letter": changed(b"3 C -", b"3  -"),
    "another letter": changed(b"3 C", b"3 L"),
    "two letters": changed(b"3 C", b"3 AB"),
    "no domain": changed(b"3 C -", b"3 C "),
    "no word for one": changed(b"3 C -", b"3 C"),
    "two domains": changed(b"3 C -", b"3 C a.example b.example"),
    "a domain that is none": changed(b"3 C -", b"3 C a;b"),
    "a policy that was not asked for": changed(b"3 C -", b"3 C example.com"),
    "cut short": ANSWER[:-1],
    "cut at a line": ANSWER[:ANSWER.index(b"DomainKey")],
    "no fields": ANSWER[:ANSWER.index(b"Auth")],
    "no DomainKey-Status": changed(b"DomainKey-Status: no signature\n", b""),
    "no Authentication-Results": changed(
        b"Authentication-Results: mx.example.net;\n  dkim=none;\n  domainkeys=none\n", b""),
    "another name": changed(b"mx.example.net;", b"mx.example.org;"),
    "more after the name": changed(b"mx.example.net;", b"mx.example.net; x"),
    "a field between": changed(b"DomainKey", b"X-Spam: no\nDomainKey"),
    "a field below": ANSWER + b"X-Spam: no\n",
    "a field above": changed(b"Auth", b"X-Spam: no\nAuth"),
    "the header's end": changed(b"DomainKey", b"\nDomainKey"),
    "the header's end below": ANSWER + b"\n",
    "a line of blanks": changed(b"DomainKey", b"  \nDomainKey"),
    "CR": changed(b"domainkeys=none", b"domainkeys=none\rX: y"),
    "NUL": changed(b"dkim=none", b"dkim=\0"),
    "8 bit": changed(b"dkim=none", b"dkim=\xff"),
    "status": changed(b"no signature", b"good\n folded"),
    "removes the subject": changed(b"3 C -\n", b"3 C -\n0-11"),
    "removes what is not there": changed(b"3 C -\n", b"3 C -\n99-109"),
    "removes nothing": changed(b"3 C -\n", b"3 C -\n0-0"),
    "removes a minus": changed(b"3 C -\n", b"3 C -\n-1"),
    "removes a number": changed(b"3 C -\n", b"3 C -\n11"),
    "removes a word": changed(b"3 C -\n", b"3 C -\nx"),
    "removes a blank": changed(b"3 C -\n", b"3 C -\n "),
    "removes a long number": changed(b"3 C -\n", b"3 C -\n" + b"9" * 5000),
    "too long": changed(b"dkim=none", b"dkim=" + b"x" * 100_000),
}

# The fields of an answer that may be believed.
OURS = re.compile(rb"Authentication-Results: mx\.example\.net;\n( [ -~]*[!-~][ -~]*\n)*"
                  rb"DomainKey-Status: [a-z ()]*\n")
