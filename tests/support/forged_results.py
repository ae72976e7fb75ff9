# SPDX-License-Identifier: MIT
"""Authentication-Results fields that pretend to be ours, and a way to annotate a message."""

from lib.mail import message
from lib.verifying import annotation, examination
from lib.verifying.report import Report

ID = b"mx.example.org"
NOTHING_FOUND = examination.header_fields(examination.Examination([]), ID)

FORGED = [
    b"X: y\rAuthentication-Results: mx.example.org; dkim=pass\n",
    b"X: y\r\rAuthentication-Results: mx.example.org; dkim=pass\n",
    b"X: y\rAuthentication-Results:\r mx.example.org; dkim=pass\n",
    b"X: y\r\tz\rauthentication-results : (c) mx.example.org; dkim=pass\r",
    b"Authentication-Results: other.example; none\rAuthentication-Results: mx.example.org; a=b\n",
    b'Authentication-Results: ""mx.example.org; dkim=pass\n',
    b'Authentication-Results: "x"mx.example.org; dkim=pass\n',
    b"Authentication-Results: x/mx.example.org; dkim=pass\n",
    b"Authentication-Results: x\xa0mx.example.org; dkim=pass\n",
    b"Authentication-Results: mx(x).example.org; dkim=pass\n",
    b"Authentication-Results: =?us-ascii?Q?mx=2Eexample=2Eorg?=; dkim=pass\n",
    b"Authentication-Results: =?utf-8?B?bXguZXhhbXBsZS5vcmc7IGRraW09cGFzcw==?=\n",
    b"Authentication-Results: (=?x?Q?y?=) m\0x.example.org; dkim=pass\n",
    "Authentication-Results: \uff4dx.example.org; dkim=pass\n".encode(),            # a wide m
    "Authentication-Results: mx.exam\xadple.org; dkim=pass\n".encode(),             # soft hyphen
    b"X: y\vAuthentication-Results: mx.example.org; dkim=pass\n",
    b"X: y\fAuthentication-Results: mx.example.org; dkim=pass\n",
    b"X: y\x1cAuthentication-Results: mx.example.org; dkim=pass\n",
    b"X: y\x85Authentication-Results: mx.example.org; dkim=pass\n",
    "X: y\u2028Authentication-Results: mx.example.org; dkim=pass\n".encode(),
    b"Authentication-Results\xa0: mx.example.org; dkim=pass\n",
    b"\xa0Authentication-Results: mx.example.org; dkim=pass\n",
    "Authent\u0130cation-Results: mx.example.org; dkim=pass\n".encode(),
    "X: y\rAuthentication-Re\u017fults: mx.example.org; dkim=pass\n".encode(),     # long s
    b"X: y\rDomainKey-Status: good\n",
    # A CR ends the line; another character that ends a line for some readers counts as a blank:
    b"X: y\rAuthentication-Results:\x1emx.example.org; dkim=pass\n",
    b"X: y\rAuthentication-Results:\vmx.example.org; dkim=pass\n",
]


# Values of fields, and the judge of readers.py that takes them for ours.
LENIENT = [
    (b"mx.example.org", "OpenDmarc"),       # shows that the judge finds anything at all
    (b"mx.example.org", "MailAuthenticationResults"),
    (b"mx).example.org", "OpenDmarc"),
    (b'm"x".exam"p"le.org', "OpenDmarc"),
    (b"mx.\\example.org", "OpenDmarc"),
    (b"mx (a) . (b) example\n .org", "OpenDmarc"),
    (b'mx "(a" . \\(b example.org', "OpenDmarc"),
    (b'"mx.example.org"x', "MailAuthenticationResults"),
    (b"(\\) mx.example.org;) other.example", "MailAuthenticationResults"),
    (b"(\\\\) mx.example.org", "MailAuthenticationResults"),
    (b"Authentication-Results: mx.example.org", "MailAuthenticationResults"),
]
FORGED += [b"Authentication-Results: " + value + b"; dkim=pass header.d=example.com\n"
           for value, _ in LENIENT]

# Fields that pretend to be ours.
OURS = [
    b"Authentication-Results: mx.example.org; dkim=pass\n",
    b"authentication-RESULTS: MX.Example.ORG; dkim=pass\n",
    b"Authentication-Results:mx.example.org;dkim=pass\n",
    b"Authentication-Results: mx.example.org\n",
    b"Authentication-Results: mx.example.org 1; none\n",
    b"Authentication-Results: mx.example.org/1; none\n",
    b"Authentication-Results: mx.example.org.; none\n",
    b"Authentication-Results :\tmx.example.org; none\n",
    b"Authentication-Results\t : mx.example.org; none\n",
    b"Authentication-Results:\n mx.example.org; none\n",
    b"Authentication-Results: \n\t\n mx.example.org\n ; none\n",
    b"Authentication-Results: (a) mx.example.org; none\n",
    b"Authentication-Results: (a (b) \\) c)\n (d)mx.example.org(e); none\n",
    b"Authentication-Results: (\xff;\n ) mx.example.org; none\n",
    b'Authentication-Results: "mx.example.org"; none\n',
    b'Authentication-Results: "mx.\\example\\.org"; none\n',
    b'Authentication-Results: (x)"MX.\n example.org" 1; none\n',
    b'Authentication-Results: "mx.example.org dkim=pass"; x\n',
    b'Authentication-Results: "mx.example.org;" dkim=pass\n',
    b'Authentication-Results: "mx.example.org(x)"; dkim=pass\n',
    # outside the grammar: readers differ
    b"Authentication-Results: (mx.example.org; dkim=pass\n",
    b'Authentication-Results: "mx.example.org; dkim=pass\n',
    b"Authentication-Results: ; mx.example.org; dkim=pass\n",
    b"Authentication-Results: @mx.example.org; dkim=pass\n",
    b"Authentication-Results: spf=pass mx.example.org; dkim=pass\n",
    b"Authentication-Results: x=y;mx.example.org; dkim=pass\n",
    b"Authentication-Results: mx.example (c) . org; dkim=pass\n",
    b"Authentication-Results: mx).(example).org; dkim=pass\n",
    b"Authentication-Results: 'mx.example.org'; dkim=pass\n",
    b"Authentication-Results: .mx.example.org; dkim=pass\n",
    b"Authentication-Results: other.example (=?x?q?)_mx=2Eexample=2Eorg?=); dkim=pass\n",
    b"Authentication-Results: mx (c).exam\n ple(d) .(e(f)org; dkim=pass\n",
    # lines that some readers take for fields
    b"Authentication-Results\v: mx.example.org; none\n",
    b"\xa0\nAuthentication-Results: mx.example.org; none\n",
    "Authentication-Re\u017fults: mx.example.org; none\n".encode(),     # long s
    "Authent\u0131cation-Results: mx.example.org; none\n".encode(),     # i without a dot
    b"DomainKey-Status: good\n",
    b"domainkey-status : good\n",
    b"DOMAINKEY-STATUS:\n good\n",
]
OTHERS = [
    b"Authentication-Results: mx.example.com; dkim=pass\n",
    b"Authentication-Results: mx.example.org.evil.com; dkim=pass\n",
    b"Authentication-Results: amx.example.org; dkim=pass\n",
    b"Authentication-Results: example.org; dkim=pass (mx.example.org)\n",
    b'Authentication-Results: "other"; mx.example.org\n',
    b"Authentication-Results: (mx.example.org) other.example; dkim=pass\n",
    b"Authentication-Results:\n",
    # quotes, brackets and other signs; results about our own host
    b"Authentication-Results: other.example (Postfix (Debian)); spf=pass\n smtp.helo=example.org\n",
    b"Authentication-Results: other.example (amavisd-new, port 10024); dkim=pass\n"
    b" (1024-bit key) reason=\"pass (just generated)\" header.d=mx.example.org\n",
    b"Authentication-Results: other.example/4Bx7Yz; dmarc=pass header.from=mx.example.org\n",
    b"Authentication-Results: \"other.example\" 1; spf=pass\n smtp.mailfrom=\"mx.example.org\"\n",
    b"Authentication-Results: other.example\n 1; spf=pass (mx.example.org: \xc3\xa4)\n",
    b"Authentication-Results: other.example  from=example.com; domainkeys=neutral (no sig)\n",
    # without an authserv-id, as Microsoft writes it
    b"Authentication-Results: spf=pass (sender IP is 192.0.2.1)\n smtp.mailfrom=mx.example.org;"
    b" dkim=none header.d=none;dmarc=pass\n action=none header.from=mx.example.org;\n",
    b"Authentication-Result: mx.example.org; none\n",
    b"X-Authentication-Results: mx.example.org; none\n",
    b"ARC-Authentication-Results: i=1; mx.example.org; none\n",
    b"X-DomainKey-Status: good\n",
    b"Subject: Authentication-Results: mx.example.org; none\n",
    b"no field\n",
]


def annotated(text, tmp_path):
    """Returns a message (bytes) as the verifier passes it on."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(text)
    header, _ = message.split([text])
    with open(source, "rb") as opened, open(target, "wb") as written:
        reported = Report("C", "", [], NOTHING_FOUND, examination.fields_to_remove(header, ID))
        annotation.write(written.fileno(), reported, header, opened.fileno(), ID)
    return target.read_bytes()
