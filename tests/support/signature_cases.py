# SPDX-License-Identifier: MIT
"""DKIM signatures with various tags, and key records, with their results."""

from lib.lookup.answer import Answer
from tests.support.verifying import NOW, golden_rsa, rsa_of

LONG_FIELD = "A" * 16384

# (tags that a signature is made with, status, letter)
TAGS = [
    ({}, "pass", "A"),
    ({"c": "simple/simple"}, "pass", "A"),
    ({"c": "simple"}, "pass", "A"),
    ({"c": None}, "fail", "B"),                     # the default is simple/simple
    ({"c": "relaxed/nofws"}, "neutral", "G"),
    ({"c": "relaxed/relaxed/relaxed"}, "neutral", "G"),
    ({"c": ""}, "neutral", "G"),
    # version and algorithm
    ({"v": None}, "neutral", "C"),
    ({"v": "2"}, "neutral", "G"),
    ({"v": "1.0"}, "neutral", "G"),
    ({"v": "0.5"}, "neutral", "G"),
    ({"v": ""}, "neutral", "G"),
    ({"a": None}, "neutral", "C"),
    ({"a": "rsa-sha512"}, "neutral", "G"),
    ({"a": "RSA-SHA256"}, "neutral", "G"),          # RFC 6376 section 3.2: case matters
    ({"a": "ed25519-sha256"}, "permerror", "E"),    # the key says rsa
    # domain and selector
    ({"d": None}, "neutral", "C"),
    ({"d": ""}, "neutral", "G"),
    ({"d": "com"}, "neutral", "G"),
    ({"d": "example..com"}, "neutral", "G"),
    ({"d": ".example.com"}, "neutral", "G"),
    ({"d": "example.com."}, "neutral", "G"),
    ({"d": "exam ple.com"}, "neutral", "G"),
    ({"d": "example.com(.evil.com"}, "neutral", "G"),
    ({"d": "a" * 64 + ".com"}, "neutral", "G"),
    ({"d": "a." * 130 + "com"}, "neutral", "G"),
    ({"d": "EXAMPLE.com"}, "pass", "A"),
    ({"d": "other.example"}, "permerror", "D"),
    ({"s": None}, "neutral", "C"),
    ({"s": ""}, "neutral", "G"),
    ({"s": "a/b"}, "neutral", "G"),
    ({"s": "SEL"}, "pass", "A"),
    ({"s": "a." * 114 + "a"}, "permerror", "D"),    # with ._domainkey.example.com 252 bytes
    ({"s": "a." * 115 + "a"}, "neutral", "G"),      # with it 254 bytes, too long for a name
    # identity
    ({"i": "@example.com"}, "pass", "A"),
    ({"i": "alice@example.com"}, "pass", "A"),
    ({"i": "alice@EXAMPLE.COM"}, "pass", "A"),
    ({"i": "alice=40x@sub.example.com"}, "pass", "A"),
    ({"i": "alice=40sub.example=2Ecom"}, "pass", "A"),
    ({"i": "alice@notexample.com"}, "neutral", "G"),
    ({"i": "alice@com"}, "neutral", "G"),
    ({"i": "example.com"}, "neutral", "G"),
    ({"i": "sub.example.com"}, "neutral", "G"),
    ({"i": "alice=4fx@example.com"}, "pass", "A"),   # RFC 5234 section 2.3: f matches F
    ({"i": "alice=4@example.com"}, "neutral", "G"),
    ({"i": ""}, "neutral", "G"),
    # query methods
    ({"q": "dns/txt"}, "pass", "A"),
    ({"q": "http/x : dns/txt"}, "pass", "A"),
    ({"q": "dns"}, "neutral", "G"),
    ({"q": "http/x"}, "neutral", "G"),
    ({"q": ""}, "neutral", "G"),
    # header fields
    ({"h": None}, "neutral", "C"),
    ({"h": ""}, "neutral", "G"),
    ({"h": "To:Subject"}, "neutral", "G"),
    ({"h": "from"}, "pass", "A"),
    ({"h": "FROM : TO"}, "pass", "A"),
    ({"h": "From:From:To:To:Missing"}, "pass", "A"),
    ({"h": "From:To:"}, "pass", "A"),
    ({"h": "From:DKIM-Signature"}, "pass", "A"),    # covers no other, not even itself
    ({"h": "From:Su bject"}, "neutral", "G"),
    ({"h": "From:" + ":".join(f"x{number}" for number in range(300))}, "pass", "A"),
    ({"h": "From:" + ":".join(["x"] * 3000)}, "pass", "A"),
    # body hash and signature
    ({"bh": None}, "neutral", "C"),
    ({"bh": ""}, "neutral", "G"),
    ({"bh": "AAAA"}, "fail", "B"),
    ({"bh": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}, "fail", "B"),
    ({"bh": "?"}, "neutral", "G"),
    ({"b": None}, "neutral", "C"),
    ({"b": "?"}, "neutral", "G"),
    ({"b": "="}, "neutral", "G"),
    ({"b": "QQ=Q"}, "neutral", "G"),
    ({"b": "Q==="}, "neutral", "G"),
    ({"b": "QUE-"}, "neutral", "G"),
    ({"b": "AAAA"}, "fail", "B"),
    # in the grammar, but no encoder writes this
    ({"b": "AAA"}, "fail", "B"),
    ({"b": "QUF="}, "fail", "B"),
    ({"b": "A"}, "fail", "B"),
    ({"bh": "AAA"}, "fail", "B"),
    # time
    ({"t": str(NOW), "x": str(NOW + 1)}, "pass", "A"),
    ({"t": str(NOW - 9), "x": str(NOW - 1)}, "fail", "B"),
    ({"x": str(NOW)}, "pass", "A"),
    ({"x": "9" * 5000}, "pass", "A"),               # a number this long counts as infinite
    ({"t": "9" * 5000}, "policy", "B"),
    ({"t": str(NOW + 36000)}, "pass", "A"),         # a clock set to local time
    ({"t": str(NOW + 36001)}, "policy", "B"),
    ({"t": str(NOW), "x": str(NOW)}, "neutral", "G"),
    ({"t": "12a"}, "neutral", "G"),
    ({"t": ""}, "neutral", "G"),
    ({"x": "-1"}, "neutral", "G"),
    # body length: the canonical body of MESSAGE has 32 bytes
    ({"l": "32"}, "pass", "A"),
    ({"l": "31"}, "policy", "B"),
    ({"l": "0"}, "policy", "B"),
    ({"l": "33"}, "fail", "B"),
    ({"l": "9" * 76}, "fail", "B"),
    ({"l": "9" * 77}, "neutral", "G"),
    ({"l": "9" * 5000}, "neutral", "G"),
    ({"l": ""}, "neutral", "G"),
    ({"l": "-1"}, "neutral", "G"),
    # the tag list
    ({"unknown": "x"}, "pass", "A"),
    ({"z": "From: b=x| b=y"}, "pass", "A"),         # only the tag b= counts as b=
    ({"x b": "y"}, "neutral", "G"),
    ({"_": "y"}, "neutral", "G"),
    ({"y": "1; v=1"}, "neutral", "G"),              # twice
    ({"y": "1;"}, "neutral", "G"),                  # an empty tag
    ({"y": LONG_FIELD}, "neutral", "G"),
]

P = golden_rsa().record("")
# (key record, status and letter of a signature that is good otherwise)
RECORDS = [
    (P, "pass", "A"),
    ("v=DKIM1; " + P, "pass", "A"),
    (" v = DKIM1 ; " + P + " ; ", "pass", "A"),
    ("v=DKIM2; " + P, "permerror", "E"),
    ("v=dkim1; " + P, "permerror", "E"),
    ("k=rsa; v=DKIM1; " + P, "pass", "A"),          # v= must be first; others accept this
    ("k=rsa; v=DKIM2; " + P, "permerror", "E"),
    ("k=rsa; " + P, "pass", "A"),
    ("k=ed25519; " + P, "permerror", "E"),
    ("k=dsa; " + P, "permerror", "E"),
    ("h=sha256; " + P, "pass", "A"),
    ("h=sha1 : sha256 : other; " + P, "pass", "A"),
    ("h=sha1; " + P, "permerror", "E"),
    ("h=; " + P, "permerror", "E"),
    ("s=email; " + P, "pass", "A"),
    ("s=other:email; " + P, "pass", "A"),
    ("s=*; " + P, "pass", "A"),
    ("s=tlsrpt; " + P, "permerror", "E"),
    ("t=s; " + P, "pass", "A"),
    ("t=y:s:new; " + P, "pass", "A"),
    ("g=nobody; n=a note; x=1; " + P, "pass", "A"),     # RFC 6376 knows no g=
    ("v=DKIM1; p=", "permerror", "J"),
    ("v=DKIM1; p= ", "permerror", "J"),
    ("v=DKIM1; k=rsa", "permerror", "E"),
    ("v=DKIM1; p=AAAA", "permerror", "E"),
    ("v=DKIM1; p=?", "permerror", "E"),
    ("v=DKIM1; p=" + "A" * 60000, "permerror", "E"),
    ("v=DKIM1; k=rsa; t; " + P, "permerror", "E"),
    ("k=rsa; k=rsa; " + P, "permerror", "E"),
    (P.replace("AQAB", "AQAB AAAA"), "permerror", "E"),  # bytes after the key
    ("", "permerror", "E"),
    ("v=spf1 -all", "permerror", "E"),
    (b"\xff\xfe\0", "permerror", "E"),
    (["v=spf1 -all", P], "pass", "A"),
    (["p=", P], "pass", "A"),
    ([rsa_of(1024).record(), rsa_of(1025).record(), P], "pass", "A"),
    ([rsa_of(1024).record(), rsa_of(1025).record(), rsa_of(1026).record(), P], "fail", "B"),
    (["p=", rsa_of(1024).record()], "fail", "B"),
    ([], "permerror", "E"),
    (Answer("none", reason="NXDOMAIN"), "permerror", "D"),
    (Answer("none", reason="no TXT record"), "permerror", "D"),
    (Answer("temporary", reason="SERVFAIL"), "temperror", "F"),
    (Answer("temporary", reason="timeout"), "temperror", "F"),
]
