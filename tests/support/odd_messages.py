# SPDX-License-Identifier: MIT
"""Messages of odd shapes, and the signatures that the signer gives them."""

FROM = b"From: Alice <alice@example.com>\n"
HEADER = FROM + (b"To: bob@example.net\nSubject: hi\nDate: Tue, 14 Nov 2023 22:13:20 +0000\n"
                 b"Message-ID: <1@example.com>\n")
BODY = b"\nhello \t there\n\n.\n..\n.dot\n"
MESSAGE = HEADER + BODY
MBOX = b"From alice@example.com Tue Nov 14 22:13:20 2023\n"
ALL_BYTES = bytes(c for c in range(256) if c not in b"\r\n")

ALL = "dkim rsa, dkim ed25519, domainkeys"
DKIM = "dkim rsa, dkim ed25519"     # the sending address is ambiguous
UNSIGNED = ""

# (what is odd, message, its signatures); alice@example.com sends them, whose domain has keys
TABLE = [
    ("nothing", MESSAGE, ALL),
    ("header alone", HEADER, ALL),
    ("empty body", HEADER + b"\n", ALL),
    ("body of empty lines", HEADER + b"\n\n\n\n", ALL),
    ("body of blank lines", HEADER + b"\n \t \n\n \n", ALL),
    ("blanks at the end", HEADER + b"\nx \n\n\t\n", ALL),
    ("empty message", b"", UNSIGNED),
    ("one empty line", b"\n", UNSIGNED),
    ("body alone", b"\nhello\n", UNSIGNED),
    ("text without header", b"hello\nworld\n", UNSIGNED),
    # From:
    ("no From", b"To: bob@example.net\n" + BODY, UNSIGNED),
    ("empty From", b"From:\nTo: bob@example.net\n" + BODY, UNSIGNED),
    ("From without address", b"From: Alice\nTo: bob@example.net\n" + BODY, UNSIGNED),
    ("From with an empty group", b"From: undisclosed:;\n" + BODY, UNSIGNED),
    ("From with a comment that does not end", b"From: Alice :( <alice@example.com>\n" + BODY,
     UNSIGNED),
    ("From with a string that does not end", b"From: Alice 3\" <alice@example.com>\n" + BODY,
     UNSIGNED),
    ("From with a comment that does not begin", b"From: Alice :) <alice@example.com>\n" + BODY,
     DKIM),
    ("two From", FROM + MESSAGE, DKIM),
    ("two From, other's first", b"From: eve@example.org\n" + MESSAGE, DKIM),
    ("two mailboxes", b"From: a@example.com, b@example.org\n" + BODY, DKIM),
    ("unquoted comma", b"From: Example, Inc. <a@example.com>\n" + BODY, DKIM),
    ("others' Sender", b"Sender: eve@example.org\n" + MESSAGE, DKIM),
    # Lines that are no header fields
    ("mbox From_ first", MBOX + MESSAGE, UNSIGNED),
    ("mbox >From_ first", b">" + MBOX + MESSAGE, UNSIGNED),
    ("leading continuation", b" continued\n" + MESSAGE, UNSIGNED),
    ("leading blank line", b" \n" + MESSAGE, UNSIGNED),
    ("garbage line first", b"garbage\n" + MESSAGE, UNSIGNED),
    ("garbage line in the middle", FROM + b"garbage\n" + MESSAGE[len(FROM):], UNSIGNED),
    ("garbage line last", HEADER + b"garbage\n" + BODY, UNSIGNED),
    ("garbage line, folded", FROM + b"garbage\n folded\nTo: b@example.net\n" + BODY, UNSIGNED),
    ("garbage with a colon", FROM + b"no field here: x\n" + BODY, UNSIGNED),
    ("no name", FROM + b": x\n" + BODY, UNSIGNED),
    # dkimpy rejects these three, Mail::DKIM and OpenDKIM read the first two
    ("blank before colon", FROM + b"Subject : x\n" + BODY, UNSIGNED),
    ("blank before From's colon", b"From : alice@example.com\n" + BODY, UNSIGNED),
    ("tab before colon", FROM + b"Subject\t: x\n" + BODY, UNSIGNED),
    ("8-bit name", FROM + b"Subj\xe4ct: x\n" + BODY, UNSIGNED),
    ("semicolon in a name", FROM + b"X;Y: z\n" + BODY, UNSIGNED),
    # Lines that are header fields
    ("other punctuation in a name", FROM + b"X-~!#$%&'*+^`{|}=,\"<>()[]@\\/?: x\n" + BODY, ALL),
    ("long name", FROM + b"X" * 2000 + b": x\n" + BODY, ALL),
    ("empty values", FROM + b"Subject:\nTo:\nX-Empty:\n" + BODY, ALL),
    ("blank continuation line", FROM + b"Subject: x\n \n y\nTo: b@example.net\n" + BODY, ALL),
    ("blank continuation line last", FROM + b"Subject: x\n \t\n" + BODY, ALL),
    ("blanks and folds", FROM + b"SUBJECT:x\ncC:\n\ta@example.org\n  ,  b@example.org  \n" + BODY,
     ALL),
    ("names between others", b"X-A: 1\nTo: x@example.net\n" + FROM
     + b"x-a: 2\nSubject: s\nTO: z@example.net\nX-A: 3\n" + BODY, ALL),
    ("8-bit value", FROM + b"Subject: \xe4 \xff\n" + BODY, ALL),
    ("NUL in a value", FROM + b"Subject: a\0b\n" + BODY, UNSIGNED),
    ("NUL in a name", FROM + b"Sub\0ject: a\n" + BODY, UNSIGNED),
    ("VT and FF in a value", FROM + b"Subject: \v x \f\n" + BODY, UNSIGNED),
    ("other control characters", FROM + b"Subject: \1 \x1b$B \x1f \x7f\n" + BODY, ALL),
    ("field of 64 kB", FROM + b"Subject: " + b"x" * 64000 + b"\n" + BODY, ALL),
    ("field of 1 MB", FROM + b"Subject: " + b"x" * 1000000 + b"\n" + BODY, UNSIGNED),
    ("10,000 Received", b"".join(b"Received: from a by b\n\tid %d\n" % i for i in range(10000))
     + MESSAGE, ALL),
    ("10,000 other fields", b"".join(b"X-%d: x\n" % i for i in range(10000)) + MESSAGE, ALL),
    ("10,000 To", b"".join(b"To: a%d@example.net\n" % i for i in range(10000)) + MESSAGE, UNSIGNED),
    ("700 To", b"".join(b"To: a%d@example.net\n" % i for i in range(700)) + MESSAGE, DKIM),
    ("300 To", b"".join(b"To: a%d@example.net\n" % i for i in range(300)) + MESSAGE, ALL),
    # Bodies
    ("NUL", HEADER + b"\na\0b\n\0\n", ALL),
    ("every byte", HEADER + b"\n" + ALL_BYTES + b"\n" + ALL_BYTES[::-1] + b"\n", ALL),
    ("VT, FF at ends of lines", HEADER + b"\n\v\f\x1a \v\n\f\n", ALL),
    ("line of 1 MB", HEADER + b"\n" + b"x" * 1000000 + b"\n", ALL),
    ("dots", HEADER + b"\n.\n.\n..\n...\n. \n.\n", ALL),
    # CR: a signed message must contain none
    ("CR LF", MESSAGE.replace(b"\n", b"\r\n"), ALL),
    ("some CR LF", MESSAGE.replace(b"there\n", b"there\r\n"), ALL),
    ("lone CR", MESSAGE + b"a\rb\r\rc\n", ALL),
    ("CR at the end", MESSAGE + b"last\r", ALL),
    ("CR CR LF", MESSAGE + b"a\r\r\nb\r\r\n", ALL),
    ("CR makes a field", FROM + b"Subject: a\rX-Other: b\n" + BODY, ALL),
    ("CR ends the header", FROM + b"Subject: a\r\r\nbody\n" + BODY, ALL),
    ("CR makes a garbage line", FROM + b"Subject: a\rb\n" + BODY, UNSIGNED),
    # CR used for smuggling: to end DATA within the message
    ("CR . CR LF", MESSAGE + b"x\r.\r\nMAIL FROM:<>\r\n", ALL),
    ("CR . LF", MESSAGE + b"x\r.\nMAIL FROM:<>\n", ALL),
    ("CR . CR", MESSAGE + b"x\r.\rMAIL FROM:<>\n", ALL),
    ("LF . CR", MESSAGE + b"x\n.\rMAIL FROM:<>\n", ALL),
    ("LF . CR LF", MESSAGE + b"x\n.\r\nMAIL FROM:<>\n", ALL),
    ("CR LF . CR LF", MESSAGE + b"x\r\n.\r\nMAIL FROM:<>\r\n", ALL),
    ("CR CR LF . CR LF", MESSAGE + b"x\r\r\n.\r\nMAIL FROM:<>\r\n", ALL),
    # Signatures of others, below ours
    ("signed already", b"DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=x; h=From; bh=YQ==;\n"
     b" b=YQ==\nDomainKey-Signature: a=rsa-sha1; c=nofws; d=example.org; s=x; b=YQ==\n" + MESSAGE,
     ALL),
]
